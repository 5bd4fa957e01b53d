"""A whole installation as processes: two web processes, both kinds of workers, beat, an agent, and three Prometheus."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import requests

from alerts.adapters.release_store import ReleaseStore
from tests.servers.binaries import ROOT
from tests.servers.processes import Process, eventually, free_port
from tests.servers.prometheus import PrometheusServer

PYTHON = sys.executable
CELERY = [PYTHON, "-m", "celery", "-A", "config_server"]
GUNICORN = [PYTHON, "-m", "gunicorn", "config_server.wsgi", "-c", "python:config_server.gunicorn"]
KILLED = ("web", "one web process", "celery", "worker", "beat", "agent")
RECORDS = """
import json
from alerts.models import PolicyState, Release, ServerState
shown = {}
for state in ServerState.objects.filter(name__in=%r).select_related("loaded_release"):
    release = state.loaded_release
    rows = Release.objects.filter(server=state.name)
    shown[state.name] = {
        "revision": release.revision, "state": release.state, "content": release.content_hash,
        "manifest": release.manifest, "release": release.pk,
        "in_force": [row.pk for row in rows.filter(state__in=["active", "verified"])],
        "half_done": [row.pk for row in rows.filter(state__in=["pending", "staged", "checked"])],
    }
print(json.dumps({"revision": PolicyState.current(), "servers": shown}))
"""


class Fleet:
    """``near-1`` and ``near-2`` are delivered to by directory, ``far`` by its agent."""

    def __init__(
        self,
        environment: Mapping[str, str],
        folder: Path,
        servers: Mapping[str, PrometheusServer],
        run: Callable[..., Process],
    ) -> None:
        self.environment = dict(environment)
        self.folder = folder
        self.servers = servers
        self._run = run
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.processes: dict[str, Process] = {}

    def start(self) -> Fleet:
        self.manage("migrate", "-v0")
        self.token = self.manage("create_api_token", "--user", "test", "--role", "admin")
        web = [*GUNICORN, "--bind", f"127.0.0.1:{self.port}", "--workers", "2", "--threads", "4", "--no-control-socket"]
        self._start("web", [*web, "--graceful-timeout", "5"])
        eventually(lambda: requests.get(f"{self.url}/-/ready", timeout=5).ok, timeout=60, what="the web")
        default = self.call("GET", "prometheus-servers?name=default").json()["results"][0]["id"]
        self.require(self.call("PATCH", f"prometheus-servers/{default}", {"enabled": False}))
        for name, server in self.servers.items():
            delivery = "agent" if name == "far" else "directory"
            body = {"name": name, "url": server.url, "delivery": delivery}
            self.require(self.call("POST", "prometheus-servers", body))
        self.target = self.require(self.call("POST", "targets", {"hostname": "web-1"}))["id"]
        queues = ["-Q", "deploy,reconcile,housekeeping", "--pool", "threads", "--concurrency", "4"]
        self._start("celery", [*CELERY, "worker", "--loglevel", "info", "--without-mingle", *queues])
        self._start("beat", [*CELERY, "beat", "--loglevel", "info"])
        self._start("worker", [PYTHON, "manage.py", "worker", "--poll", "1", "--reconcile-every", "10"])
        token = self.folder / "agent-token"
        token.write_text(self.manage("create_agent_token", "far"))
        token.chmod(0o600)
        agent = ["--server", self.url, "--token-file", str(token), "--rule-dir", str(self.rule_dir("far"))]
        agent += ["--prometheus", self.servers["far"].url, "--promtool", self.environment["PROMTOOL_PATH"]]
        self._start("agent", [PYTHON, "manage.py", "agent", *agent, "--heartbeat", "5", "--interval", "5"])
        return self

    def _start(self, name: str, command: list[str]) -> None:
        self.processes[name] = self._run(command, env=self.environment, name=name)

    def rule_dir(self, server: str) -> Path:
        return Path(self.environment["PROMETHEUS_RULE_ROOTS"]) / server

    def manage(self, *arguments: str) -> str:
        command = [PYTHON, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def call(self, method: str, path: str, body: Any = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}", "Connection": "close"}
        return requests.request(method, f"{self.url}/api/v1/{path}", json=body, headers=headers, timeout=60)

    @staticmethod
    def require(answer: requests.Response) -> Any:
        assert answer.ok, (answer.status_code, answer.text)
        return answer.json()

    def kill(self, what: str, chance: random.Random) -> None:
        """By kill -9; a supervisor starts it again at once. One of gunicorn's processes is gunicorn's to start."""
        if what == "one web process":
            pid = self.processes["web"].pid
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            if children:
                os.kill(int(chance.choice(children)), signal.SIGKILL)
            return
        self.processes[what].kill()
        self.processes[what].start()

    def loaded(self, server: str) -> dict[str, str]:
        return {rule["name"]: rule["query"] for group in self.servers[server].rules() for rule in group["rules"]}

    def wanted(self) -> dict[str, str]:
        page = self.require(self.call("GET", "alert-rules?page_size=1000"))
        assert page["next"] is None
        return {rule["name"]: rule["query_template"] for rule in page["results"]}

    def await_sync(self, timeout: float = 90) -> float:
        """Seconds until every server was seen to hold the last revision."""
        start = time.monotonic()

        def in_sync() -> bool:
            rows = self.require(self.call("GET", "prometheus-servers"))["results"]
            standing = {row["name"]: row["status"] for row in rows if row["name"] in self.servers}
            late = {name: status["why"] for name, status in standing.items() if not status["in_sync"]}
            assert not late, late
            return True

        eventually(in_sync, timeout=timeout, every=0.1, what="every server in sync")
        return time.monotonic() - start

    def require_exactly_the_last_revision(self) -> None:
        wanted = self.wanted()
        for name in self.servers:
            assert self.loaded(name) == wanted, name
        effective = self.require(self.call("GET", f"targets/{self.target}/alert-rules/effective"))
        in_force = {rule["name"]: rule["expr"] for rule in effective["rules"]}
        assert in_force == wanted
        records = json.loads(self.manage("shell", "--no-imports", "-c", RECORDS % (list(self.servers),)))
        for name, record in records["servers"].items():
            assert record["state"] == "verified", record
            assert record["revision"] == records["revision"], record
            assert record["in_force"] == [record["release"]], record
            assert record["half_done"] == [], record
            store = ReleaseStore(self.rule_dir(name))
            assert store.current() == record["content"]
            assert store.drift(record["manifest"]) == []
            left = [*os.listdir(store.releases_dir), *os.listdir(store.rule_dir)]
            assert [one for one in left if one.startswith((".tmp", ".fence-"))] == []


class Stream:
    """Edits by API, one after the other, from a thread; remembers what was acknowledged and what may have been."""

    def __init__(self, fleet: Fleet, pause: float = 0.1) -> None:
        self.fleet, self.pause = fleet, pause
        self.acknowledged: dict[str, int] = {}
        self.uncertain: dict[str, set[int]] = defaultdict(set)
        self.statuses: Counter[str] = Counter()
        self.odd: list[str] = []
        self._ids: dict[str, int] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Stream:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(90)

    def _run(self) -> None:
        for value in itertools.count(1):
            if self._stopping.wait(self.pause):
                return
            name = f"R{value // 10}" if value % 10 == 0 else random.choice([*self._ids, "R0"])
            self._write(name, value)

    def _write(self, name: str, value: int) -> None:
        body = {"query_template": f"up == {value}"}
        try:
            if name in self._ids:
                answer = self.fleet.call("PATCH", f"alert-rules/{self._ids[name]}", body)
            else:
                answer = self.fleet.call("POST", "alert-rules", {"name": name, **body})
        except requests.RequestException:
            self.statuses["connection"] += 1
            self.uncertain[name].add(value)
            return
        self.statuses[str(answer.status_code)] += 1
        if answer.ok:
            self._ids[name] = answer.json()["id"]
            self.acknowledged[name] = value
            self.uncertain[name].clear()
        elif answer.status_code == 503:
            self.uncertain[name].add(value)
            if not answer.headers.get("Retry-After") or answer.headers["Content-Type"] != "application/problem+json":
                self.odd.append(f"503 without Retry-After: {answer.text[:200]}")
        elif answer.status_code != 409 or not self.uncertain[name]:  # made, though nobody was told
            self.odd.append(f"{answer.status_code} {answer.text[:300]}")

    def wait_for(self, status: str, more: int = 1) -> None:
        wanted = self.statuses[status] + more
        eventually(lambda: self.statuses[status] >= wanted, timeout=60, what=f"{more} × {status}: {self.statuses}")

    def require_nothing_lost(self) -> None:
        assert self.odd == []
        found = {name: int(query.rpartition(" ")[2]) for name, query in self.fleet.wanted().items()}
        for name, value in self.acknowledged.items():
            assert found.get(name) in {value, *self.uncertain[name]}, (name, value, found.get(name))
