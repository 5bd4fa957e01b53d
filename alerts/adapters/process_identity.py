"""Which process this is, so that another one on the same machine can tell whether it still lives.

A process is its place (host name, boot, pid namespace), its pid and its start: pids are used again, containers share
host names and count from 1. Where one of these cannot be read, nothing is concluded.
"""

from __future__ import annotations

import os
import socket
import zlib
from pathlib import Path

GONE = "ZX"
"""States in which a process writes nothing any more: zombie, dead."""


def myself() -> str:
    """``host/place/pid/start``, at most 200 characters."""
    pid = os.getpid()
    return f"{socket.gethostname()[:120].replace('/', '_')}/{_place()}/{pid}/{_stat(pid)[1]}"


def is_gone(identity: str) -> bool:
    """Whether that process ran here and has ended; False whenever that cannot be known."""
    parts = identity.split("/")
    if len(parts) != 4 or parts[:2] != myself().split("/")[:2]:
        return False
    pid, start = parts[2:]
    if not pid.isdigit() or not start:
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # somebody else's: it exists
    state, started = _stat(int(pid))
    return bool(started) and (started != start or state in GONE)


def _stat(pid: int) -> tuple[str, str]:
    """State and start (clock ticks since boot); an empty start where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "?", ""
    return fields[0], fields[19]


def _place() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
    return f"{zlib.crc32(f'{boot} {namespace}'.encode()):08x}"
