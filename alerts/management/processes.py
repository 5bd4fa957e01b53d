"""Child processes of ``up``: they die with it, whatever kills it, and are asked politely first."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1


def start(arguments: Sequence[str], environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """A child in a group of its own, so that Ctrl-C reaches only us and we stop children in order."""
    return subprocess.Popen(
        arguments,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,
    )


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def stop(children: Sequence[subprocess.Popen[bytes]], patience: float = 30.0) -> None:
    """SIGTERM to all; who has not ended when the patience has is killed."""
    for child in children:
        if child.poll() is None:
            child.terminate()
    deadline = time.monotonic() + patience
    for child in children:
        try:
            child.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
