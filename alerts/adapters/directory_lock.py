"""One process at a time in a rule directory: a lock on an open directory, which dies with its holder."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path

from alerts.adapters.release_files import StoreError

LOOK_EVERY = 0.02


def take(descriptor: int, rule_dir: Path, patience: float) -> None:
    """Waits so many seconds for whoever has it; then StoreError ``busy``, naming them. Given back by closing."""
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                who = holder(descriptor) or "another process"
                message = f"{who} has been writing to {rule_dir} for {patience:g} s"
                hint = "it goes on by itself when that process ends, or is ended"
                raise StoreError("busy", message, hint) from None
            time.sleep(LOOK_EVERY)
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                return  # no locks on this filesystem; the lease on the server has to do
            raise


def holder(descriptor: int) -> str:
    """The process on this machine that holds the lock on an open directory, e.g. ``process 7 (stopped)``, or ""."""
    inode = str(os.fstat(descriptor).st_ino)
    try:
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()  # 1: FLOCK ADVISORY WRITE 4711 00:2c:8675309 0 EOF
            if words[1] == "FLOCK" and words[5].rpartition(":")[2] == inode:
                state = Path(f"/proc/{int(words[4])}/stat").read_text().rpartition(")")[2].split()[0]
                return f"process {words[4]}" + (" (stopped)" if state in "Tt" else "")
    except (OSError, IndexError, ValueError):
        pass
    return ""
