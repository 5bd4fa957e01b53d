"""Waiting for a new bundle: many agents, few threads, two reads a second for all who wait in this process.

A web thread that waits can serve nobody else. So at most half of them wait; who comes later is answered at once. While
a thread sleeps it holds no database connection.
"""

from __future__ import annotations

import threading
import time
from collections import Counter

from django.db import connection

from alerts.actions.bundles import Offer, offers

LOOK_EVERY = 0.5
MOST_FOR_ONE = 2
"""Of one server: its agent, and that agent's question from before a reconnect. One token shall not take all room."""

_room = 2
_lock = threading.Lock()
_waiting: Counter[str] = Counter()
_seen: dict[str, Offer] = {}
_seen_at = float("-inf")


def make_room(threads: int) -> None:
    """This process serves with so many threads."""
    global _room
    _room = threads // 2


def wait_for_other(server: str, known: str | None, seconds: float) -> tuple[Offer | None, bool]:
    """What is offered, as soon as it is something else than the content ``known``, or when the time is up.

    False: there was no room to wait, although there was time to.
    """
    deadline = time.monotonic() + seconds
    offer = offers([server]).get(server)
    if not _is_old(offer, known) or seconds <= 0:
        return offer, True
    with _lock:
        if _waiting.total() >= _room or _waiting[server] >= MOST_FOR_ONE:
            return offer, False
        _waiting[server] += 1
    try:
        while _is_old(offer, known) and (left := deadline - time.monotonic()) > 0:
            _let_go()
            time.sleep(min(LOOK_EVERY, left))
            offer = _look().get(server, offer)
    finally:
        with _lock:
            _waiting[server] -= 1
            if not _waiting[server]:
                del _waiting[server]
    return offer, True


def _is_old(offer: Offer | None, known: str | None) -> bool:
    return offer is None or offer.content_hash == known


def _look() -> dict[str, Offer]:
    """What is offered to all who wait here, read by whoever comes first and not older than half a second."""
    global _seen, _seen_at
    with _lock:
        if time.monotonic() - _seen_at >= LOOK_EVERY:
            _seen = offers(list(_waiting))
            _seen_at = time.monotonic()
        return _seen


def _let_go() -> None:
    if not connection.in_atomic_block:
        connection.close()
