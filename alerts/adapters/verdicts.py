"""What promtool has found good in this process: many servers get the same files, and each start of it costs 40–70 ms.

Only success is remembered, for exactly these bytes and exactly this program. Bytes are read anew each time, so a
file that was damaged since is judged again; and nothing is remembered of a file that changed while it was judged.
What several want to be judged at once is judged for one of them, and the others wait for that.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

REMEMBERED = 20_000  # a few MB
LONGEST_WAIT = 30.0  # for a judge who may hang: after that everybody asks one of his own


class Program(NamedTuple):
    """A file as it was installed: another version is another file."""

    path: str
    device: int
    inode: int
    size: int
    modified: int
    changed: int


class Content(NamedTuple):
    """``digest`` of what was read, ``state`` of the file it was read from."""

    digest: bytes
    state: tuple[int, ...] = ()


def program(path: str) -> Program | None:
    try:
        real = os.path.realpath(path, strict=True)
        found = os.stat(real)
    except OSError:
        return None
    return Program(real, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def content_of(file: Path) -> Content | None:
    """None: it cannot be read, so whoever judges it has to say so."""
    try:
        with file.open("rb") as opened:
            return Content(sha256(opened.read()).digest(), _state(os.fstat(opened.fileno())))
    except OSError:
        return None


def is_still(file: Path, content: Content) -> bool:
    """Whether the file has not been touched since it was read."""
    try:
        return _state(file.stat()) == content.state
    except OSError:
        return False


def _state(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class Verdicts:
    """The contents that passed, those asked for last."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._passed = OrderedDict[tuple[Program, bytes], None]()
        self._lock = threading.Lock()
        self._under_way = set[tuple[Program, bytes]]()
        self._judged = threading.Condition(self._lock)

    def has_passed(self, by: Program, content: Content) -> bool:
        with self._lock:
            if (by, content.digest) not in self._passed:
                return False
            self._passed.move_to_end((by, content.digest))
            return True

    def passed(self, by: Program, contents: Iterable[Content]) -> None:
        with self._lock:
            for content in contents:
                self._passed[by, content.digest] = None
                self._passed.move_to_end((by, content.digest))
            while len(self._passed) > self._remembered:
                self._passed.popitem(last=False)

    @contextmanager
    def judging(self, by: Program, contents: Iterable[Content]) -> Iterator[None]:
        """Waits for those who judge any of these now, and makes others wait. Ask ``has_passed`` again inside."""
        ours = {(by, content.digest) for content in contents}
        with self._judged:
            if not self._judged.wait_for(lambda: self._under_way.isdisjoint(ours), LONGEST_WAIT):
                ours -= self._under_way
            self._under_way |= ours
        try:
            yield
        finally:
            with self._judged:
                self._under_way -= ours
                self._judged.notify_all()
