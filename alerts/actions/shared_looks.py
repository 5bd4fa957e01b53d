"""Looking at a server for many who ask: one look at a time, shared, and never by all web threads of a process.

A Prometheus that hangs would hold every thread that asks for its status. So at most half of them wait for looks; who
comes later is told to come again, unless the look ends within a second of its beginning.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as OutOfPatience

from alerts.actions.asides import begun
from alerts.adapters.deliverer import Seen
from alerts.adapters.prometheus import PrometheusUnavailable

SOON = 1.0


class OthersWait(PrometheusUnavailable):
    """Half of the threads wait already; nothing is known of the server but that it takes its time."""


class SharedLooks:
    """``what`` tells looks apart; a look runs in a thread of its own, so it must not ask the database."""

    def __init__(self, room: int = 2) -> None:
        self.room = room
        self._lock = threading.Lock()
        self._waiting = 0
        self._under_way: dict[str, tuple[float, Future[Seen]]] = {}

    def ask(self, what: str, look: Callable[[], Seen]) -> Seen:
        """What the look finds, or raises; OthersWait when it takes too long for one more to wait."""
        with self._lock:
            if what not in self._under_way:
                self._begin(what, look)
            begun, asked = self._under_way[what]
            patient = self._waiting < self.room
            self._waiting += patient
        try:
            return asked.result(None if patient else max(0.0, begun + SOON - time.monotonic()))
        except OutOfPatience:
            if asked.done():  # at the last moment, or the error is the look's own
                return asked.result()
            raise OthersWait("the server has not answered yet, and others wait for it already") from None
        finally:
            with self._lock:
                self._waiting -= patient

    def _begin(self, what: str, look: Callable[[], Seen]) -> None:
        self._under_way[what] = (time.monotonic(), begun(lambda: self._look(what, look)))

    def _look(self, what: str, look: Callable[[], Seen]) -> Seen:
        try:
            return look()
        finally:
            with self._lock:  # who asks from now on gets a look of now
                del self._under_way[what]


looks = SharedLooks()


def make_room(threads: int) -> None:
    """This process serves with so many threads."""
    looks.room = threads // 2
