"""The holder of a lease is frozen past its time, another takes over, the first wakes up: it writes nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from alerts.adapters import fence
from alerts.adapters.failpoints import VARIABLE
from tests.servers.processes import eventually
from tests.servers.stand_in import StandIn
from tests.tasks.conftest import Installation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
WORKER = [sys.executable, "manage.py", "worker", "--reconcile-every", "600"]
LEASE_SECONDS = 2


def everything(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Inode, size and time of change of all that lies there."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        status = path.lstat()
        found[str(path)] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found


REACHED = {"promtool.after:2": "staged", "reload.before:2": "active", "record.before:2": "active"}
"""The state in which the release stands there."""
PLACES = ["promtool.after:2", "reload.before:2", pytest.param("record.before:2", marks=pytest.mark.full)]


@pytest.mark.parametrize("place", PLACES)
def test_who_wakes_up_after_its_lease_was_taken_writes_nothing(
    make_installation: Callable[..., Installation], start_stand_in: Callable[..., StandIn], place: str
) -> None:
    installation = make_installation(1, LEASE_SECONDS=str(LEASE_SECONDS), PROMETHEUS_RELOAD_ENABLED="true")
    rule_dir = installation.rule_dir("default")
    server = start_stand_in(rule_dir)
    installation.environment["PROMETHEUS_URL"] = server.url
    installation.start_web()
    rule = installation.call("POST", "/alert-rules", name="Down", query_template="up == 0")["id"]
    frozen = installation.run(WORKER, env=installation.environment | {VARIABLE: f"{place}=sleep:6"}, name="frozen")
    server.await_query("up == 0")
    eventually(lambda: installation.releases("default")[-1]["state"] == "verified", timeout=30)
    first = fence.recorded(rule_dir)
    installation.call("PATCH", f"/alert-rules/{rule}", query_template="up == 7")
    # A busy machine takes its time: whoever is frozen earlier may have the whole database locked.
    eventually(lambda: installation.releases("default")[-1]["state"] == REACHED[place], timeout=60, what=REACHED[place])
    time.sleep(1)  # it sleeps there for six
    frozen.freeze()
    stopped = time.monotonic()
    heir = installation.run(WORKER, env=installation.environment, name="heir")
    server.await_query("up == 7")
    heir.expect(r"release \d+ verified", timeout=30)
    print(
        f"\nfrozen at {place[:-2]}: taken over {time.monotonic() - stopped:.1f} s later, a lease is {LEASE_SECONDS} s"
    )
    installation.call("PATCH", f"/alert-rules/{rule}", query_template="up == 8")
    server.await_query("up == 8")
    eventually(lambda: installation.releases("default")[-1]["state"] == "verified", timeout=30)
    heir.stop()
    second = fence.recorded(rule_dir)
    assert second > first

    files, releases, reloads = everything(rule_dir), installation.releases("default"), len(server.reloads)
    frozen.thaw()
    frozen.expect(r"taken over|another process", timeout=20)
    time.sleep(3)
    assert fence.recorded(rule_dir) == second
    assert everything(rule_dir) == files
    assert installation.releases("default") == releases
    # On its way to the reload already, it can make the server read once more what its successor put there.
    assert len(server.reloads) - reloads <= (1 if place.startswith("reload") else 0)
    assert server.queries() == {"Down": "up == 8"}
    assert frozen.running
    installation.call("PATCH", f"/alert-rules/{rule}", query_template="up == 9")  # and afterwards it works again
    server.await_query("up == 9")
