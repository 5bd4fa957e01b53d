"""An installation with a broker, as processes of its own: web, Celery workers, beat, Redis, and directories of rules.

Nobody reloads here (PROMETHEUS_RELOAD_ENABLED=false), so that what a server holds is what lies in its directory.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.servers.binaries import ROOT
from tests.servers.processes import Process, eventually, free_port
from tests.servers.redis import RedisServer

CELERY = [sys.executable, "-m", "celery", "-A", "config_server"]
WORKER = [*CELERY, "worker", "--loglevel", "info", "--without-mingle"]
QUEUES = ["-Q", "deploy,reconcile,housekeeping"]


class Installation:
    def __init__(
        self, environment: dict[str, str], run: Callable[..., Process], redis: RedisServer, servers: list[str]
    ) -> None:
        self.environment = environment
        self.run = run
        self.redis = redis
        self.servers = servers
        self.session = requests.Session()
        self.session.trust_env = False
        self.url = ""

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def shell(self, script: str) -> str:
        return self.manage("shell", "--no-imports", "-c", script)

    def start_web(self) -> Process:
        port = free_port()
        web = self.run(
            [
                *(sys.executable, "-m", "gunicorn", "-c", "python:config_server.gunicorn"),
                *("--bind", f"127.0.0.1:{port}", "--threads", "4"),
                "config_server.wsgi",
            ],
            env=self.environment,
            name="web",
        )
        self.url = f"http://127.0.0.1:{port}"
        eventually(lambda: requests.get(f"{self.url}/-/healthy", timeout=5).ok, timeout=60, what="the web")
        self.sign_in()
        return web

    def sign_in(self) -> None:
        token = self.manage("create_api_token", "--user", "test", "--role", "admin")
        self.session.headers["Authorization"] = f"Bearer {token}"

    def start_worker(self, *options: str, name: str = "celery", queues: bool = True, **environment: str) -> Process:
        options = options or ("--pool", "threads", "--concurrency", "8")
        command = [*WORKER, *(QUEUES if queues else []), "--hostname", f"{name}@%h", *options]
        worker = self.run(command, env=self.environment | environment, name=name)
        worker.expect(r"celery\S* ready|ready\.", timeout=90)
        return worker

    def start_beat(self, name: str = "beat") -> Process:
        beat = self.run([*CELERY, "beat", "--loglevel", "info"], env=self.environment, name=name)
        beat.expect("beat: Starting", timeout=60)
        return beat

    def call(self, method: str, path: str, **body: Any) -> Any:
        answer = self.session.request(method, f"{self.url}/api/v1{path}", json=body or None, timeout=30)
        assert answer.ok, (answer.status_code, answer.text)
        return answer.json()

    def rule_dir(self, server: str) -> Path:
        if server == "default":
            return Path(self.environment["PROMETHEUS_RULE_DIR"])
        return Path(self.environment["PROMETHEUS_RULE_ROOTS"]) / server

    def holds(self, server: str, text: str) -> bool:
        files = sorted((self.rule_dir(server) / "current").glob("*.yml"))
        return any(text in file.read_text() for file in files)

    def all_hold(self, text: str) -> bool:
        return all(self.holds(server, text) for server in self.servers)

    def releases(self, server: str) -> list[dict[str, Any]]:
        """That changed anything, as they lie in the SQLite file: a process to ask would take a second each time."""
        query = (
            "SELECT id, revision, state, trigger, errors FROM alerts_release"
            " WHERE server = ? AND changed AND content_hash <> '' ORDER BY id"
        )
        file = Path(self.environment["VAR_DIR"]) / "config-server.sqlite3"
        with closing(sqlite3.connect(file, timeout=20)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, [server])]

    def settled(self, server: str) -> list[dict[str, Any]]:
        """The same, once the last one is in force and it alone: files lie there a little before that is recorded."""

        def found() -> list[dict[str, Any]]:
            *older, last = self.releases(server)
            assert last["state"] in ("active", "verified"), last
            assert {release["state"] for release in older} <= {"superseded"}, older
            return [*older, last]

        return eventually(found, timeout=30, what=f"a settled {server}")


@pytest.fixture
def make_installation(
    product_environment: dict[str, str],
    run_process: Callable[..., Process],
    migrated_var_dir: Path,
    redis_server: RedisServer,
    tmp_path: Path,
) -> Callable[..., Installation]:
    """make_installation(3): a migrated database with that many servers, the settings' among them."""

    def make(count: int = 1, **settings: str) -> Installation:
        environment = product_environment | {
            "CELERY_BROKER_URL": redis_server.url(),
            "PROMETHEUS_RULE_ROOTS": str(tmp_path / "servers"),
            "PROMETHEUS_RELOAD_ENABLED": "false",
            **settings,
        }
        servers = ["default", *(f"prom-{number}" for number in range(1, count))]
        installation = Installation(environment, run_process, redis_server, servers)
        for server in servers:
            installation.rule_dir(server).mkdir(parents=True)
        if "DATABASE_URL" in settings:
            installation.manage("migrate", "-v0")
        else:
            shutil.copytree(migrated_var_dir, environment["VAR_DIR"])
        if count > 1:
            rows = ", ".join(f"PrometheusServer(name={name!r}, url='http://127.0.0.1:9')" for name in servers[1:])
            installation.shell(
                f"from alerts.models import PrometheusServer\nPrometheusServer.objects.bulk_create([{rows}])"
            )
        return installation

    return make
