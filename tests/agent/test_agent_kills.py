"""`kill -9` of the agent anywhere: what is in place is a whole set, and the next agent converges on what is offered."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time

import pytest

from alerts.adapters.failpoints import DELIVERY_FAILPOINTS, STORE_FAILPOINTS
from tests.agent.conftest import Site, rules
from tests.agent.plane import bundle_of
from tests.servers.processes import eventually

pytestmark = pytest.mark.slow

UP, DOWN = rules(Up="up == 1"), rules(Down="up == 0")
COMPILING = {"compile.before", "compile.after", "render.after"}  # done at the other end
GOING_BACK = {"rollback.before", "rollback.after"}


def require_whole(site: Site) -> None:
    """What Prometheus would load at this instant is one of the sets, and promtool accepts it."""
    link = site.rule_dir / "current"
    if not link.is_symlink():
        return
    files = sorted(link.glob("*.yml"))
    assert [path.read_text() for path in files] in ([UP["global.yml"]], [DOWN["global.yml"]])
    subprocess.run([site.promtool, "check", "rules", *files], check=True, capture_output=True)


@pytest.mark.parametrize("failpoint", sorted({*DELIVERY_FAILPOINTS, *STORE_FAILPOINTS} - COMPILING - GOING_BACK))
def test_killed_at_any_step_the_next_agent_finishes(site: Site, failpoint):
    site.start()
    for number in range(3 if failpoint.startswith("prune") else 0):  # so many that the next one pushes some out
        site.plane.report_on(site.plane.offer(bundle_of(100 + number, rules(Old=f"up == {number}"))))
    site.plane.report_on(site.plane.offer(bundle_of(1, UP)))
    site.agent.stop()
    second = site.plane.offer(bundle_of(2, DOWN))
    assert site.start(failpoint=failpoint).wait(60) == -signal.SIGKILL
    require_whole(site)
    site.start()
    report = site.plane.report_on(second, timeout=60)
    assert report["loaded_hash"] == second["content_hash"]
    assert site.loaded() == {"Down"}
    assert not [name for name in os.listdir(site.rule_dir / "releases") if name.startswith(".")]
    assert sorted(os.listdir(site.rule_dir / ".agent")) == ["alive", "last_good.json", "lock"]


@pytest.mark.parametrize("failpoint", ["swap.renamed", "reload.after", "read_back.before", "record.before"])
def test_killed_with_a_new_set_in_place_the_next_agent_finishes_without_the_control_plane(site: Site, failpoint):
    first = site.plane.offer(bundle_of(1, UP))
    site.start()
    site.plane.report_on(first)
    site.agent.stop()
    site.plane.offer(bundle_of(2, DOWN))
    assert site.start(failpoint=failpoint).wait(60) == -signal.SIGKILL
    site.plane.stop()
    site.start().expect("started, holding release 2")
    assert site.loaded() == {"Down"}


@pytest.mark.parametrize("failpoint", sorted(GOING_BACK))
def test_killed_while_going_back_the_good_set_stays(site: Site, failpoint):
    beside = site.rule_dir.parent / "beside.yml"
    site.server.rule_files.append(str(beside))
    site.server.restart()
    first = site.plane.offer(bundle_of(1, UP))
    site.start()
    site.plane.report_on(first)
    site.agent.stop()
    site.plane.offer(bundle_of(2, DOWN))
    beside.write_text("groups:\n- name: g\n  rules:\n  - {alert: Bad, expr: 'sum('}\n")
    assert site.start(failpoint=failpoint).wait(60) == -signal.SIGKILL
    site.plane.stop()
    site.start().expect("started, holding release 1")
    assert os.readlink(site.rule_dir / "current").endswith(first["content_hash"])
    assert site.loaded() == {"Up"}


@pytest.mark.parametrize("kills", [8, pytest.param(100, marks=pytest.mark.full)])
def test_killed_at_random_under_a_stream_of_offers_the_last_one_is_loaded(site: Site, kills):
    chance = random.Random(kills)
    release = 0
    for _ in range(kills):
        site.start()
        end = time.monotonic() + chance.uniform(0.3, 1.5)
        while time.monotonic() < end:
            release += 1
            site.plane.offer(bundle_of(release, (UP, DOWN)[release % 2]))
            time.sleep(chance.uniform(0, 0.2))
        site.agent.kill()
        require_whole(site)
    site.start()
    last = site.plane.offer(bundle_of(release + 1, rules(Last="up == 5")))
    site.plane.report_on(last, timeout=60)
    eventually(lambda: site.loaded() == {"Last"})
