"""`kill -9` anywhere: `current` always points to a whole, promtool-clean set, and the next start converges."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from alerts.adapters.failpoints import DELIVERY_FAILPOINTS, DRIFT_FAILPOINTS, STORE_FAILPOINTS
from tests.servers.prometheus import PrometheusServer

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("deploy_process.py")
ROOT = SCRIPT.parents[2]
# Reached only when a set is taken back, which the tests of rollback do on purpose.
NOT_ON_THE_WAY = {"rollback.before", "rollback.after"}


class Installation:
    """A control plane as processes, with its own database and a real Prometheus."""

    def __init__(self, environment: dict[str, str], server: PrometheusServer, promtool: Path) -> None:
        self.environment = environment
        self.server = server
        self.promtool = promtool
        self.rule_dir = Path(environment["PROMETHEUS_RULE_DIR"])

    def start(self, *arguments: str, failpoint: str = "") -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(SCRIPT), *arguments],
            cwd=ROOT,
            env=self.environment | ({"CONFIG_SERVER_FAILPOINT": failpoint} if failpoint else {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, failpoint: str = "") -> tuple[int, dict[str, object], str]:
        process = self.start(*arguments, failpoint=failpoint)
        out, err = process.communicate(timeout=120)
        return process.returncode, json.loads(out) if out.strip() else {}, err

    def require_whole(self) -> None:
        """What Prometheus would load at this instant is a complete set that promtool accepts."""
        current = self.rule_dir / "current"
        if not current.is_symlink():
            return
        files = sorted(current.glob("*.yml"))
        assert (self.rule_dir / os.readlink(current)).is_dir(), "current dangles"
        if files:
            done = subprocess.run(
                [self.promtool, "check", "rules", *files], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr

    def converge(self) -> dict[str, object]:
        code, result, err = self.run("deploy")
        assert code == 0, err
        assert result["state"] == "verified", result
        return result

    def queries(self) -> set[str]:
        return {rule["query"] for group in self.server.rules() for rule in group["rules"]}


@pytest.fixture
def installation(
    migrated_environment: dict[str, str],
    start_prometheus: Callable[..., PrometheusServer],
    promtool: Path,
) -> Installation:
    rule_dir = Path(migrated_environment["PROMETHEUS_RULE_DIR"])
    rule_dir.mkdir(exist_ok=True)
    server = start_prometheus(rule_dir=rule_dir)
    return Installation(migrated_environment | {"PROMETHEUS_URL": server.url}, server, promtool)


def expected(value: int) -> set[str]:
    return {f'up{{key="{key}"}} > {value}' for key in ("One", "Two", "Three")}


GROUPS = [
    ("before anything is written", [name for name in DELIVERY_FAILPOINTS if name.startswith(("compile", "render"))]),
    ("while a set is written", [name for name in STORE_FAILPOINTS if name.startswith("stage")]),
    ("around promtool and the swap", ["promtool.before", "promtool.after", "swap.before", "swap.linked"]),
    ("after the swap", ["swap.renamed", "swap.after", "reload.before", "reload.after"]),
    ("around reading back", ["read_back.before", "read_back.after", "record.before", "record.after"]),
    ("while old sets are removed", [name for name in STORE_FAILPOINTS if name.startswith("prune")]),
]


def test_every_failpoint_on_the_way_is_tried() -> None:
    tried = {name for _, names in GROUPS for name in names}
    assert tried == {*DELIVERY_FAILPOINTS, *STORE_FAILPOINTS} - NOT_ON_THE_WAY
    assert not tried & set(DRIFT_FAILPOINTS)  # those have their own tests at the store


@pytest.mark.parametrize("names", [names for _, names in GROUPS], ids=[title for title, _ in GROUPS])
def test_a_kill_at_any_arrow_leaves_a_whole_set_and_the_next_start_converges(
    installation: Installation, names: list[str]
) -> None:
    for value in range(6):  # sets to be pruned later
        assert installation.run("edit", str(value))[1]["state"] == "verified"
    value = 100
    for name in names:
        value += 1
        code, _, err = installation.run("edit", str(value), failpoint=name)
        assert code == -signal.SIGKILL, f"{name} was not reached: {err}"
        installation.require_whole()
        result = installation.converge()
        assert result["release_revision"] == result["revision"]
        assert installation.queries() == expected(value), name
        installation.require_whole()


@pytest.mark.parametrize(
    "kills", [pytest.param(12, id="a dozen"), pytest.param(200, marks=pytest.mark.full, id="two hundred")]
)
def test_kills_at_random_moments_never_leave_half_a_set(installation: Installation, kills: int) -> None:
    dice = random.Random(20)
    installation.run("edit", "0")
    for value in range(1, kills + 1):
        process = installation.start("edit", str(value))
        time.sleep(dice.uniform(0.3, 1.3))
        process.kill()
        process.communicate()
        installation.require_whole()
    installation.converge()
    assert len({query.rpartition(" ")[2] for query in installation.queries()}) <= 3
    assert installation.run("edit", "999")[1]["state"] == "verified"
    assert installation.queries() == expected(999)
