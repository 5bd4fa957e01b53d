"""Named places where a test may kill the process for real.

``CONFIG_SERVER_FAILPOINT`` takes ``name`` (the first time), ``name:N`` (the N-th time), and either with
``=sleep:SECONDS`` to stall there instead of dying. Every arrow of a release has a name on both sides, and so has
every step within an arrow after which the disk looks different.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter

VARIABLE = "CONFIG_SERVER_FAILPOINT"

STORE_FAILPOINTS = (
    "stage.before",
    "stage.temporary",  # an empty temporary directory exists
    "stage.file",  # one more file in it is complete (reached once per file)
    "stage.written",  # all of them are, under the temporary name
    "stage.renamed",  # the release has its name; its parent directory is not yet synced
    "stage.after",
    "swap.before",
    "swap.linked",  # the new link exists under a temporary name
    "swap.renamed",  # "current" is the new link; its directory is not yet synced
    "swap.after",
    "prune.before",
    "prune.renamed",  # one old release has lost its name but still has its files
    "prune.removed",  # and now those are gone as well
    "prune.after",
)
"""Reached inside the release store, by every release."""

DRIFT_FAILPOINTS = (
    "heal.written",  # a fresh copy of a damaged file lies aside
    "heal.file",  # it has replaced the damaged one (reached once per file)
    "heal.after",
    "swap.displaced",  # a foreign directory called "current" was moved out of the way
)
"""Reached inside the release store, only where somebody has changed something by hand."""

FENCE_FAILPOINTS = (
    "fence.written",  # the new writer's number is complete under a temporary name
    "fence.renamed",  # it is the recorded one; its directory is not yet synced
)
"""Reached inside the release store, where a new holder of the lease writes for the first time."""

DELIVERY_FAILPOINTS = (
    "compile.before",
    "compile.after",
    "render.after",
    "promtool.before",
    "promtool.after",
    "reload.before",
    "reload.after",
    "read_back.before",
    "read_back.after",
    "rollback.before",
    "rollback.after",
    "record.before",
    "record.after",
)
"""Reached by whoever drives a release through its steps."""

FAILPOINTS = DELIVERY_FAILPOINTS + STORE_FAILPOINTS + DRIFT_FAILPOINTS + FENCE_FAILPOINTS

_SPECIFICATION = re.compile(r"(?P<name>[a-z_.]+)(?::(?P<nth>[1-9][0-9]*))?(?:=sleep:(?P<sleep>[0-9.]+))?")
_reached: Counter[str] = Counter()


def reach(name: str) -> None:
    """Die here, as if the power had gone, when the environment asks for it; otherwise nothing."""
    wanted = os.environ.get(VARIABLE)
    if wanted:
        _act(name, wanted)


def _act(name: str, wanted: str) -> None:
    parsed = _SPECIFICATION.fullmatch(wanted)
    if parsed is None or parsed["name"] not in FAILPOINTS:
        raise ValueError(f"{VARIABLE}={wanted!r} names no failpoint")
    if name not in FAILPOINTS:
        raise ValueError(f"{name!r} is not listed as a failpoint")
    if name != parsed["name"]:
        return
    _reached[name] += 1
    if _reached[name] != int(parsed["nth"] or 1):
        return
    if parsed["sleep"]:
        time.sleep(float(parsed["sleep"]))
    else:
        os.kill(os.getpid(), signal.SIGKILL)
