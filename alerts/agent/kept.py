"""What the agent remembers on its disk: the last good bundle, and the one it is just trying.

``next.json`` is written before a set goes in, and becomes ``last_good.json`` by rename when it was read back: that
needs no room, and whoever comes after a ``kill -9`` knows which of the two lies in place. Files are 0600 and replaced,
never changed. One agent per directory, by a lock that dies with it.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
from contextlib import suppress
from pathlib import Path

from alerts.adapters import directory_lock, release_files
from alerts.adapters.failpoints import reach
from alerts.agent.offer import BrokenBundle, Offer, offer_from

logger = logging.getLogger(__name__)

TEMPORARY = ".tmp-"


class AlreadyRunning(Exception):
    """Another agent has this directory."""


class Kept:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.good = directory / "last_good.json"
        self.next = directory / "next.json"
        self._lock: int | None = None

    def open(self) -> None:
        """Takes the directory for this process. The rule directory it is in has to be there: it may be a mount."""
        with suppress(FileExistsError):
            self.directory.mkdir(mode=0o700)
        lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = directory_lock.holder(lock) or "another process"
            os.close(lock)
            raise AlreadyRunning(f"{who} is the agent of {self.directory} already") from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            logger.warning("%s knows no locks: see to it that only one agent runs there", self.directory)
        self._lock = lock
        for path in self.directory.glob(f"{TEMPORARY}*"):
            path.unlink()

    def last_good(self) -> Offer | None:
        return self._load(self.good)

    def unfinished(self) -> Offer | None:
        """What was just being tried when an agent died here."""
        return self._load(self.next)

    def begin(self, offer: Offer) -> None:
        fresh = self.directory / f"{TEMPORARY}{secrets.token_hex(8)}"
        try:
            release_files.write_fresh(fresh, offer.to_json(), 0o600)
            release_files.sync(fresh)
            os.replace(fresh, self.next)
            release_files.sync(self.directory)
        except OSError:
            with suppress(OSError):
                fresh.unlink()
            raise

    def succeed(self) -> None:
        reach("record.before")
        os.replace(self.next, self.good)
        release_files.sync(self.directory)
        reach("record.after")

    def give_up(self) -> None:
        self.next.unlink(missing_ok=True)

    def _load(self, path: Path) -> Offer | None:
        """Verified as if it had just arrived: a damaged one is none."""
        try:
            return offer_from(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, BrokenBundle) as error:
            logger.warning("%s is of no use: %s", path, error)
            return None
