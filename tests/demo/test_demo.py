"""`make demo`, from the first line to the last process: what it prints is what a person runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.servers import took_part
from tests.servers.binaries import ROOT, PrometheusBinaries
from tests.servers.processes import Process, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
PATIENCE = 200
Start = Callable[..., Process]


@pytest.fixture
def demo(
    run_process: Callable[..., Process], tmp_path: Path, prometheus_binaries: dict[str, PrometheusBinaries]
) -> Start:
    """demo("--once", PROMETHEUS="…"): the demo with state below tmp_path/state."""
    release = list(prometheus_binaries.values())[-1]
    programs = {"PROMETHEUS": str(release.prometheus), "PROMTOOL": str(release.promtool)}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}

    def start(*options: str, **variables: str) -> Process:
        command = [ROOT / ".venv/bin/python", ROOT / "scripts/run_demo.py", "--state", tmp_path / "state", *options]
        if not Path(command[0]).exists():
            command[0] = "python3"
        return run_process(command, env={**clean, **programs, **variables}, name="demo")

    return start


def commands(output: str) -> list[str]:
    """The text between a line `# Try …` and the next empty line."""
    return [part.split("\n", 1)[1].split("\n\n")[0] for part in output.split("# Try ")[1:]]


def run(command: str) -> str:
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=90, env=shell())
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def shell() -> dict[str, str]:
    """A person's shell knows nothing of this test."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def left_over(state: Path) -> list[str]:
    """Processes that were started for this state directory."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"VAR_DIR={state}".encode() in environment and words:
            found.append(f"{folder.name}: {words}")
    return found


def nothing_is_left(state: Path) -> bool:
    return not left_over(state)


def expressions(prometheus: str, name: str) -> list[str]:
    groups = requests.get(f"{prometheus}/api/v1/rules", timeout=10).json()["data"]["groups"]
    return [rule["query"] for group in groups for rule in group["rules"] if rule["name"] == name]


def alerting_targets(prometheus: str, name: str) -> set[str]:
    alerts: list[dict[str, Any]] = requests.get(f"{prometheus}/api/v1/alerts", timeout=10).json()["data"]["alerts"]
    return {alert["labels"]["target"] for alert in alerts if alert["labels"]["alertname"] == name}


def test_it_shows_firing_alerts_and_its_commands_do_what_they_say(demo: Start, tmp_path: Path) -> None:
    state = tmp_path / "state"
    process = demo()
    process.expect("Ctrl-C stops everything", timeout=PATIENCE)
    took_part.note("demo")
    output = process.output
    web = re.search(r"Look around:  (http://\S+)/", output)
    prometheus = re.search(r"Prometheus:   (http://\S+)/alerts", output)
    waited = re.search(r"The first alert fired (\d+) s", output)
    assert web
    assert prometheus
    assert waited
    assert int(waited[1]) <= 90
    assert re.search(r"^checkout-1 +TargetDown +firing \(critical\) +environment/production$", output, re.MULTILINE)
    assert re.search(r"^checkout-dev-1 +- +- +-$", output, re.MULTILINE)
    for secret in ("admin-token", "discovery-token", "initial-admin-password"):
        assert (state / secret).stat().st_mode & 0o077 == 0
    assert requests.get(f"{web[1]}/", timeout=10, allow_redirects=False).status_code == 302
    health = requests.get(f"{prometheus[1]}/api/v1/targets", timeout=10).json()["data"]["activeTargets"]
    assert {target["labels"]["target"] for target in health if target["health"] == "up"} == {
        "prometheus",
        "prometheus-staging",
        "control-plane",
    }

    override, explain, undo = commands(output)
    assert alerting_targets(prometheus[1], "PrometheusSeriesHigh") == {"prometheus"}
    shown = run(override)
    assert "read back from Prometheus" in shown
    assert "prometheus-staging" in shown
    assert any(
        'environment="staging"' in query and "> 50" in query
        for query in expressions(prometheus[1], "PrometheusSeriesHigh")
    )
    assert alerting_targets(prometheus[1], "PrometheusSeriesHigh") == {"prometheus", "prometheus-staging"}

    why = run(explain)
    assert re.search(r"template_vars\.series +50 +<- environment/staging", why)
    assert "beaten by environment/staging" in why

    assert "prometheus-staging" not in run(undo)
    assert alerting_targets(prometheus[1], "PrometheusSeriesHigh") == {"prometheus"}
    # And with our own stand-in, for machines that lack curl.
    assert "prometheus-staging" in run(override.replace("curl ", ".venv/bin/python scripts/small_curl.py "))

    process.send(signal.SIGINT)
    assert process.wait(60) == 0
    assert left_over(state) == []


def test_nothing_survives_it_even_when_it_is_killed(demo: Start, tmp_path: Path) -> None:
    process = demo()
    process.expect("waiting for the first alert", timeout=PATIENCE)
    assert left_over(tmp_path / "state")
    process.send(signal.SIGKILL)
    eventually(lambda: nothing_is_left(tmp_path / "state"), timeout=60, every=0.5, what="end of all processes")


def test_two_do_not_share_a_state(demo: Start, tmp_path: Path) -> None:
    first = demo()
    first.expect("demo: control plane on", timeout=PATIENCE)
    second = demo()
    assert second.wait(30) == 1
    assert "a demo is running in" in second.output
    first.send(signal.SIGTERM)
    assert first.wait(60) == 0
    assert nothing_is_left(tmp_path / "state")


def test_it_says_what_is_missing(demo: Start) -> None:
    process = demo("--once", PROMETHEUS="/nowhere/prometheus")
    assert process.wait(30) == 1
    assert "prometheus is missing" in process.output
    assert "set PROMETHEUS" in process.output
    assert "Traceback" not in process.output


def test_it_says_why_a_server_does_not_start(demo: Start, tmp_path: Path) -> None:
    process = demo("--once", PROMETHEUS="/bin/false")
    assert process.wait(PATIENCE) == 1
    assert "prometheus ended with code 1" in process.output
    assert left_over(tmp_path / "state") == []


def test_it_does_not_empty_somebody_elses_directory(demo: Start, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "precious").write_text("mine")
    process = demo("--once")
    assert process.wait(30) == 1
    assert "holds something that is not a demo's" in process.output
    assert (tmp_path / "state" / "precious").read_text() == "mine"
