"""A web server as it runs in production: gunicorn with several processes, and a token for it."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.servers.binaries import ROOT
from tests.servers.processes import Process, eventually, free_port


@dataclass
class WebServer:
    """``call`` speaks with the token of an administrator."""

    process: Process
    url: str
    token: str
    environment: dict[str, str]
    session: requests.Session = field(default_factory=requests.Session)

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        """A connection each: any of the processes may take it."""
        headers = {"Authorization": f"Bearer {self.token}", "Connection": "close", **more.pop("headers", {})}
        return requests.request(method, self.url + path, json=body, headers=headers, timeout=60, **more)

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Values by (name, label values in the order of the labels' names)."""
        answer = self.call("GET", "/metrics")
        assert answer.ok, (answer.text, self.process.output[-6000:])
        families = text_string_to_metric_families(answer.text)
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }

    def workers(self) -> list[int]:
        """Its processes but the first."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]


def manage(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def start_web(
    product_environment: dict[str, str], migrated_var_dir: Path, run_process: Callable[..., Process]
) -> Callable[..., WebServer]:
    """start_web(workers=2, DATABASE_URL="postgresql://…"): migrated and serving."""

    def start(*, workers: int = 2, name: str = "web", migrate: bool = True, **variables: str) -> WebServer:
        environment = product_environment | {"SECRET_KEY": secrets.token_urlsafe(50)} | variables
        Path(environment["PROMETHEUS_RULE_DIR"]).mkdir(exist_ok=True)
        if migrate and "DATABASE_URL" in variables:
            manage(environment, "migrate", "--verbosity", "0")
        elif migrate:
            shutil.copytree(migrated_var_dir, environment["VAR_DIR"], dirs_exist_ok=True)
        token = manage(environment, "create_api_token", "--user", "tester", "--role", "admin")
        address = f"127.0.0.1:{free_port()}"
        command = [sys.executable, "-m", "gunicorn", "--config", "python:config_server.gunicorn", "--bind", address]
        command += ["--workers", str(workers), "--threads", "4", "--no-control-socket", "--graceful-timeout", "5"]
        process = run_process([*command, "config_server.wsgi"], env=environment, name=name)
        server = WebServer(process, f"http://{address}", token, environment)

        def serves() -> bool:
            assert process.running, process.output
            return requests.get(f"{server.url}/-/ready", timeout=10).ok and len(server.workers()) == workers

        eventually(serves, timeout=60, what="the web server being ready")
        return server

    return start
