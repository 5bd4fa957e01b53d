"""A control plane as its operator has it: commands against a database of its own, and a Prometheus that it feeds."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.servers.binaries import ROOT
from tests.servers.postgresql import PostgreSQL
from tests.servers.prometheus import PrometheusServer

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Installation:
    environment: dict[str, str]

    def run(self, *command: str | Path, expect: int = 0) -> str:
        """What the command printed; fails unless it ended as expected."""
        done = subprocess.run(
            [str(word) for word in command], cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=150
        )
        assert done.returncode == expect, (command, done.returncode, done.stdout[-2000:], done.stderr[-3000:])
        return done.stdout

    def manage(self, *arguments: str, expect: int = 0) -> str:
        return self.run(sys.executable, "manage.py", *arguments, expect=expect)

    def act(self, statement: str) -> None:
        """One call of an action, as the API would make it."""
        lines = (
            "import django",
            "django.setup()",
            "from alerts.actions import deploy, prometheus_servers, rules",
            statement,
        )
        self.run(sys.executable, "-c", "\n".join(lines))

    def wanted(self) -> dict[str, str]:
        """The content hash that the policy wants of every server."""
        found: dict[str, str] = json.loads(self.run(sys.executable, HERE / "wanted_hashes.py"))
        return found

    def with_database(self, url: str) -> Installation:
        return replace(self, environment=self.environment | {"DATABASE_URL": url})


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'policy.sqlite3'}"
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return server.create_database(f"production_{secrets.token_hex(4)}")


@pytest.fixture
def installation(
    database_url: str,
    tmp_path: Path,
    product_environment: dict[str, str],
    start_prometheus: Callable[..., PrometheusServer],
) -> Installation:
    """The demo's policy, delivered to a real Prometheus and verified."""
    (tmp_path / "rules").mkdir()
    server = start_prometheus(rule_dir=tmp_path / "rules")
    own = {
        "DJANGO_SETTINGS_MODULE": "config_server.settings",
        "DATABASE_URL": database_url,
        "SECRET_KEY": secrets.token_hex(40),
        "PROMETHEUS_URL": server.url,
    }
    made = Installation(product_environment | own)
    made.manage("migrate", "--no-input", "--verbosity", "0")
    made.manage("load_demo")
    made.manage("create_api_token", "--user", "somebody", "--role", "viewer")
    made.manage("sync")
    return made


@pytest.fixture
def fleet(
    installation: Installation, tmp_path: Path, start_prometheus: Callable[..., PrometheusServer]
) -> Installation:
    """Two more servers: one that holds a part of the series, delivered to, and one with an agent, which is offered."""
    (tmp_path / "servers/part").mkdir(parents=True)
    server = start_prometheus(rule_dir=tmp_path / "servers/part")
    found = replace(
        installation,
        environment=installation.environment | {"PROMETHEUS_RULE_ROOTS": str(tmp_path / "servers")},
    )
    part = {"name": "part", "url": server.url, "selector": {"environment": ["production"]}}
    found.act(f"prometheus_servers.create({part!r})")
    found.act("prometheus_servers.create({'name': 'far', 'url': 'http://127.0.0.1:9', 'delivery': 'agent'})")
    found.act("print([deploy.deploy('test', server=name).release.state for name in ('part', 'far')])")
    return found
