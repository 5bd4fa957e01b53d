"""gunicorn's threads, but none of them waits for a slow client.

A request is gathered by the loop that watches all connections, and given to a thread when it is whole: two hundred
clients that send a byte a second cost two hundred sockets and nobody's time. What is too large to gather is read in a
thread as ever, but only a quarter of the threads may *wait* for such a client, and none for long.

Which bytes make a request is gunicorn's judgement alone; here it is only guessed when asking it is worth while.

A connection that is kept stays with the process that took it, so the processes of a server see to it that each has as
many as the others: who has more leaves a new one to them for a moment. Whoever is quickest would take all otherwise.
"""

from __future__ import annotations

import mmap
import re
import threading
import time
from functools import partial
from typing import Any
from weakref import WeakSet

from gunicorn import util
from gunicorn.workers import gthread

SMALL = 64 * 1024
"""Bytes that a client that is not done may leave here in any case: nearly every request, and every head."""
GATHERED = 1024 * 1024 + SMALL
"""Bytes that are kept of one: what may be larger (many rules at once) is read on by a thread from here."""
SKIPPED = 64 * 1024
"""Bytes of a body that gunicorn reads for nothing, so that the connection can be kept."""
LARGE_ONES = 64
"""Clients not done that may leave more than a small request here, in each process; the next are sent away."""
LARGEST = 17 * 1024 * 1024
"""Announced to be larger: refused before it is read."""
PATIENCE = 10.0
"""Seconds from the first byte of a request to its last."""
LARGE_PATIENCE = 30.0
"""The same for what a thread reads; and how long an answer may take to be fetched."""
MOMENT = 0.01
"""Seconds that a thread waits for the next piece without asking whether it may."""

TURN = 0.005
"""Seconds that a new connection is left to processes that have fewer."""

# Shared with all that are forked from here: one more than the connections that each process has, 0 where there is none.
_open = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("I")[:64]

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_ASKS_FIRST = re.compile(rb"\r\n(expect|upgrade):", re.IGNORECASE)


def is_worth_reading(data: bytes | bytearray) -> bool:
    """Whether a thread would hardly have to wait, or the request is none that can be gathered."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return len(data) >= SMALL
    if len(data) >= GATHERED:
        return True
    head = bytes(data[: end + 2])
    if _ASKS_FIRST.search(head):
        return True
    if _CHUNKED.search(head):
        return len(data) > end + 4 and data.endswith(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return length is None or int(length[1]) > LARGEST or len(data) >= end + 4 + int(length[1])


def forget(worker: Any) -> None:
    """It is gone, whatever ended it."""
    _open[worker.age % len(_open)] = 0


def telling_of_its_end(application: Any, environ: Any, start_response: Any) -> Any:
    """A connection ends after an answer that leaves more of the body than gunicorn skips; the answer has to say so, or
    the client sends its next request into nothing."""

    def start(status: str, headers: Any, exc_info: Any = None) -> Any:
        unread = getattr(environ["wsgi.input"].reader, "length", 0)
        if unread > SKIPPED or status.startswith("413"):  # of a chunked one nobody knows how much is left
            start_response.__self__.force_close()
        return start_response(status, headers, exc_info)

    return application(environ, start)


class PatientWorker(gthread.ThreadWorker):
    """gthread; a connection carries what is ``gathered`` of its next request and the ``deadline`` for the rest."""

    wsgi: Any

    def init_process(self) -> None:
        self.has_left_it, self.left_until = False, 0.0
        self.waiting = threading.BoundedSemaphore(max(1, self.cfg.threads // 4))
        self.large: WeakSet[Any] = WeakSet()
        super().init_process()

    def accept(self, listener: Any) -> None:
        fewest = min((others for others in _open if others), default=1) - 1
        self.has_left_it = self.nr_conns > fewest and not self.has_left_it
        if self.has_left_it:
            self.left_until = time.monotonic() + TURN
            self.set_accept_enabled(False)
        else:
            super().accept(listener)
            self._tell()

    def set_accept_enabled(self, enabled: bool) -> None:
        if not enabled or time.monotonic() >= self.left_until:
            super().set_accept_enabled(enabled)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        self._tell()
        left = self.left_until - time.monotonic()
        super().wait_for_and_dispatch_events(min(timeout, left) if left > 0 else timeout)

    def _tell(self) -> None:
        _open[self.age % len(_open)] = self.nr_conns + 1 if self.alive else 0

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self.wsgi = partial(telling_of_its_end, self.wsgi)

    def handle(self, conn: Any) -> Any:
        if self.cfg.is_ssl or conn.is_http2:
            return super().handle(conn)
        try:
            whole = self._gather(conn)
        except OSError:
            return False
        if whole:
            conn.deadline = time.monotonic() + LARGE_PATIENCE
            return super().handle(conn)
        if time.monotonic() < conn.deadline:
            if len(conn.gathered) <= SMALL or self._has_room_for(conn):
                return gthread._DEFER
            util.write_error(conn.sock, 503, "Service Unavailable", "too many large requests are not done")
            return False
        util.write_error(conn.sock, 408, "Request Timeout", f"a request has to be sent within {PATIENCE:g} seconds")
        return False

    def _has_room_for(self, conn: Any) -> bool:
        if conn in self.large:
            return True
        if len(self.large) >= LARGE_ONES:
            return False
        self.large.add(conn)
        return True

    def _gather(self, conn: Any) -> bool:
        """Takes what is there; True: gunicorn may parse it."""
        data = getattr(conn, "gathered", None) or bytearray(
            conn.parser.unreader.take_buffered() if conn.parser else b""
        )
        if not data:
            conn.deadline = time.monotonic() + PATIENCE
        conn.gathered = data
        conn.sock.setblocking(False)
        ended = False
        while not (ended or is_worth_reading(data)):
            try:
                piece = conn.sock.recv(SMALL)
            except BlockingIOError:
                return False
            data += piece
            ended = not piece
        conn.gathered = None
        self.large.discard(conn)
        conn.sock.setblocking(True)
        conn.init()
        if not conn.is_http2:
            conn.parser.unreader.unread(bytes(data))
            conn.parser.unreader.chunk = partial(self._read, conn)
        return True

    def _read(self, conn: Any, size_hint: int | None = None) -> bytes:
        """The next piece of a request that a thread is at already."""
        size = max(8192, min(size_hint or 0, 1024 * 1024))
        before = conn.sock.gettimeout()
        left = min(conn.deadline - time.monotonic(), LARGE_PATIENCE if before is None else before)
        try:
            conn.sock.settimeout(max(0.001, min(left, MOMENT)))
            try:
                return bytes(conn.sock.recv(size))
            except TimeoutError:
                if left <= MOMENT or not self.waiting.acquire(blocking=False):
                    raise
            try:
                conn.sock.settimeout(left)
                return bytes(conn.sock.recv(size))
            finally:
                self.waiting.release()
        finally:
            conn.sock.settimeout(before)
