"""Wakes Celery workers after commits, from a thread of its own: a write never waits for Redis.

Edits that follow one another are one wake. While Redis cannot be reached, wakes are kept (a set of names, no more), it
is left alone for some seconds after each failure, and the log says so once.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Collection

from django.db import connections

from alerts.actions.due import survey
from alerts.actions.waking import register

logger = logging.getLogger(__name__)

SETTLED = 0.3
LONGEST_WAIT = 1.5
LEFT_ALONE = 5.0
LAST_WORDS = 1.0

Send = Callable[[Collection[str]], None]


class Messenger:
    """``send`` gets the servers to deploy to; it may block or raise."""

    def __init__(self, send: Send, *, left_alone: float = LEFT_ALONE) -> None:
        self._send = send
        self._left_alone = left_alone
        self.reset()

    def reset(self) -> None:
        """As new: a forked child has no thread, and perhaps a lock that nobody will open."""
        self._changed = threading.Condition()
        self._wanted: set[str | None] = set()
        self._first = self._last = 0.0
        self._thread: threading.Thread | None = None
        self._closing = False
        self._failing = False

    def wake(self, server: str | None) -> None:
        """None: every enabled server. Returns at once."""
        with self._changed:
            self._last = time.monotonic()
            if not self._wanted:
                self._first = self._last
            self._wanted.add(server)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="messenger", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self, patience: float = LAST_WORDS) -> None:
        """Sends what is left, if that can be done quickly; else the next sweep finds it."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._wanted or self._failing, patience)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._wanted))
                self._wait_until_settled()
                wanted = set(self._wanted)
            try:
                self._send(_names(wanted))
            except Exception as error:
                self._failed(error)
                continue
            if self._failing:
                logger.info("Celery workers can be woken again")
            with self._changed:
                self._failing = False
                self._wanted -= wanted if self._last <= self._settled_at else set()
                self._first = self._last
                self._changed.notify_all()

    def _wait_until_settled(self) -> None:
        while not self._closing:
            now = time.monotonic()
            left = min(self._last + SETTLED, self._first + LONGEST_WAIT) - now
            if left <= 0:
                break
            self._changed.wait(left)
        self._settled_at = time.monotonic()

    def _failed(self, error: Exception) -> None:
        if not self._failing:
            logger.warning("Celery workers cannot be woken, sweeps must do: %s", str(error).strip() or repr(error))
        with self._changed:
            self._failing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closing, self._left_alone)


def _names(wanted: Collection[str | None]) -> list[str]:
    """The servers that are enabled and, as seen now, need something."""
    try:
        due = [need.server for need in survey().due]
    finally:
        connections.close_all()  # this thread's own
    return [name for name in due if None in wanted or name in wanted]


def send_deploys(servers: Collection[str]) -> None:
    """One message each, over one connection; never tried twice."""
    from alerts.tasks.delivering import deploy_server

    if not servers:
        return
    with deploy_server.app.producer_pool.acquire(block=True, timeout=2) as producer:
        for server in servers:
            deploy_server.apply_async(args=[server], producer=producer, retry=False)


def employ() -> None:
    """This process wakes Celery workers from now on."""
    messenger = Messenger(send_deploys)
    register(messenger.wake)
    os.register_at_fork(after_in_child=messenger.reset)
    atexit.register(messenger.close)
