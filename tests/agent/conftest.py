"""An agent as a process, beside a real Prometheus, with a control plane on the other side."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.agent.plane import ControlPlane
from tests.servers.processes import Process, eventually
from tests.servers.prometheus import PrometheusServer

TOKEN = "cs_agent-token-of-the-tests"


def rules(**alerts: str) -> dict[str, str]:
    """One file with these alerts."""
    lines = [f"  - alert: {name}\n    expr: {expr}\n" for name, expr in alerts.items()]
    return {"global.yml": "groups:\n- name: g\n  rules:\n" + "".join(lines)} if lines else {}


class Site:
    """What stands at a remote place: a rule directory, a Prometheus reading it, and agents that come and go."""

    def __init__(
        self, folder: Path, server: PrometheusServer, plane: ControlPlane, promtool: Path, run: Callable[..., Process]
    ) -> None:
        self.rule_dir = folder / "rules"
        self.token_file = folder / "token"
        self.server, self.plane, self.promtool, self._run = server, plane, promtool, run
        self.agent: Process | None = None

    def start(self, *more: str, failpoint: str = "", environment: Mapping[str, str] | None = None) -> Process:
        command = [sys.executable, "manage.py", "agent", *self.options, "--interval", "0.5", "--wait", "5", *more]
        private = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "PYTEST_"))}
        private |= {"CONFIG_SERVER_FAILPOINT": failpoint} if failpoint else {}
        self.agent = self._run(command, env=private | dict(environment or {}), name="agent")
        return self.agent

    @property
    def options(self) -> list[str]:
        return [
            *("--server", self.plane.url, "--token-file", str(self.token_file), "--rule-dir", str(self.rule_dir)),
            *("--prometheus", self.server.url, "--promtool", str(self.promtool)),
        ]

    def loaded(self) -> set[str]:
        return {rule["name"] for group in self.server.rules() for rule in group["rules"]}

    def wait_for(self, *names: str) -> None:
        eventually(lambda: self.loaded() == set(names), what=f"{names} loaded, not {self.loaded()}")


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    plane = ControlPlane(TOKEN)
    yield plane
    plane.stop()


@pytest.fixture
def site(
    server_folder: Path,
    start_prometheus: Callable[..., PrometheusServer],
    plane: ControlPlane,
    promtool: Path,
    run_process: Callable[..., Process],
) -> Site:
    folder = server_folder / "site"
    (folder / "rules").mkdir(parents=True)
    (folder / "token").write_text(TOKEN + "\n")
    (folder / "token").chmod(0o600)
    return Site(folder, start_prometheus(rule_dir=folder / "rules"), plane, promtool, run_process)
