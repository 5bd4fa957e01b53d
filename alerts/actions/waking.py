"""Tells whoever delivers that there is something to do: after the commit, never before, and never instead of it.

A wake is a hint. Losing one costs seconds until the next look at the database, nothing else; so a waker must return at
once and may never raise into the write that woke it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from django.db import transaction

logger = logging.getLogger(__name__)

Waker = Callable[[str | None], None]
"""Called with a server's name, or None: every server that policy is delivered to."""

_wakers: list[Waker] = []


def register(waker: Waker) -> None:
    """From now on it is called after every commit that changes what servers should hold."""
    if waker not in _wakers:
        _wakers.append(waker)


def unregister(waker: Waker) -> None:
    _wakers.remove(waker)


def policy_changed() -> None:
    """The transaction under way changes the policy."""
    _after_commit(None)


def server_changed(server: str) -> None:
    """What one server should hold was changed by hand: asked for, pinned, resumed."""
    _after_commit(server)


def _after_commit(server: str | None) -> None:
    for waker in _wakers:
        transaction.on_commit(partial(_wake, waker, server))


def _wake(waker: Waker, server: str | None) -> None:
    try:
        waker(server)
    except Exception:
        logger.exception("nobody could be woken; the next sweep finds the change")
