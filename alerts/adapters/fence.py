"""Who may write to a rule directory: the highest number ever seen there (a fencing token).

Whoever writes to a server holds a lease with a number that grows with every holder. One that was frozen past its
lease and wakes up still has its old number: the directory itself turns it away, whatever the holder believes.

Law: under the store's lock, a lower number than the recorded one changes nothing; a higher one is recorded, and
synced, before anything else is written. A record that cannot be read counts as 0 and is written anew.

What this cannot do: take the store's lock from a holder that is frozen *inside* it. Renames know no "unless", so a
lock that could be broken would let that holder's next rename through after its successor's. The successor waits and
then says who holds the lock (`busy`); when the holder wakes up it ends its step before anybody else wrote, which is
in order, and finds its lease gone at the next. When it dies, the lock dies with it.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import stat
from pathlib import Path

from alerts.adapters import release_files
from alerts.adapters.failpoints import reach
from alerts.adapters.release_files import StoreError

logger = logging.getLogger(__name__)

NAME = ".fence"
TEMPORARY = ".fence-"
MODE = 0o640
_NUMBER = re.compile(rb"([0-9]{1,18})\n")


def recorded(rule_dir: Path) -> int:
    """The highest number that has written here; 0 when none is recorded, or it cannot be read."""
    try:
        descriptor = os.open(rule_dir / NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        data = os.read(descriptor, 64) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    except OSError:
        return 0
    finally:
        os.close(descriptor)
    number = _NUMBER.fullmatch(data)
    return int(number[1]) if number else 0


def pass_through(rule_dir: Path, number: int | None) -> None:
    """Raises `fenced_off` for a number that has been overtaken. None: this writer is the only one by other means.

    Called with the store's lock held.
    """
    if number is None:
        return
    highest = recorded(rule_dir)
    if number < highest:
        message = f"another process writes to {rule_dir} since: its number is {highest}, this one's is {number}"
        raise StoreError("fenced_off", message, "nothing was changed; the other one goes on")
    if number > highest:
        _record(rule_dir, number)


def _record(rule_dir: Path, number: int) -> None:
    fresh = rule_dir / f"{TEMPORARY}{secrets.token_hex(8)}"
    release_files.write_fresh(fresh, b"%d\n" % number, MODE)
    release_files.sync(fresh)
    reach("fence.written")
    if (rule_dir / NAME).is_dir() and not (rule_dir / NAME).is_symlink():
        displaced = rule_dir / f"fence.displaced-{secrets.token_hex(4)}"
        os.rename(rule_dir / NAME, displaced)
        logger.warning("%s was a directory; moved to %s", rule_dir / NAME, displaced)
    os.replace(fresh, rule_dir / NAME)
    reach("fence.renamed")
    release_files.sync(rule_dir)
