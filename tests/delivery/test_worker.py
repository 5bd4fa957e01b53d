"""The processes people start: `up`, `worker`, `sync`, and the Celery task."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.servers.processes import Process, eventually
from tests.servers.prometheus import PrometheusServer

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


class ControlPlane:
    """`manage.py up` with an admin's token."""

    def __init__(self, process: Process, url: str, environment: dict[str, str]) -> None:
        self.process = process
        self.url = url
        self.environment = environment
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = (
            f"Bearer {self.manage('create_api_token', '--user', 'test', '--role', 'admin')}"
        )

    def manage(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    def call(self, method: str, path: str, **body: Any) -> Any:
        answer = self.session.request(method, f"{self.url}/api/v1{path}", json=body or None, timeout=60)
        assert answer.ok, (answer.status_code, answer.text)
        return answer.json()

    def releases(self) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = self.call("GET", "/releases?page_size=100")["results"]
        return results


@pytest.fixture
def environment(
    migrated_environment: dict[str, str], start_prometheus: Callable[..., PrometheusServer]
) -> tuple[dict[str, str], PrometheusServer]:
    rule_dir = Path(migrated_environment["PROMETHEUS_RULE_DIR"])
    rule_dir.mkdir()
    server = start_prometheus(rule_dir=rule_dir)
    return migrated_environment | {"PROMETHEUS_URL": server.url}, server


@pytest.fixture
def server(environment: tuple[dict[str, str], PrometheusServer]) -> PrometheusServer:
    return environment[1]


@pytest.fixture
def control_plane(
    environment: tuple[dict[str, str], PrometheusServer], run_process: Callable[..., Process]
) -> ControlPlane:
    process = run_process(
        [sys.executable, "manage.py", "up", "--port", "0", "--workers", "1"], env=environment[0], name="up"
    )
    url = process.expect(r"^ready (http://\S+)$", timeout=60).group(1)
    return ControlPlane(process, url, environment[0])


def queries(server: PrometheusServer) -> dict[str, str]:
    return {rule["name"]: rule["query"] for group in server.rules() for rule in group["rules"]}


def test_an_edit_by_api_reaches_prometheus_by_itself(control_plane: ControlPlane, server: PrometheusServer) -> None:
    control_plane.call("POST", "/alert-rules", name="Down", query_template="up == 0")
    eventually(lambda: queries(server) == {"Down": "up == 0"}, what="the rule in Prometheus")
    eventually(lambda: control_plane.call("GET", "/prometheus/status")["in_sync"], what="status in sync")


def test_a_burst_of_ten_edits_makes_few_releases_and_the_last_state_wins(
    control_plane: ControlPlane, server: PrometheusServer
) -> None:
    rule = control_plane.call("POST", "/alert-rules", name="Down", query_template="up == 0")
    eventually(lambda: queries(server), what="the rule in Prometheus")
    before = len(control_plane.releases())
    with ThreadPoolExecutor(10) as pool:
        list(
            pool.map(
                lambda value: control_plane.call(
                    "PATCH", f"/alert-rules/{rule['id']}", query_template=f"up == {value}"
                ),
                range(1, 11),
            )
        )
    control_plane.call("PATCH", f"/alert-rules/{rule['id']}", query_template="up == 99")
    eventually(lambda: queries(server) == {"Down": "up == 99"}, what="the last state")
    found = control_plane.releases()
    assert len(found) - before <= 3, [(release["id"], release["revision"]) for release in found]
    revisions = [release["revision"] for release in reversed(found)]
    assert revisions == sorted(revisions), "an older state went over a newer one"


def test_two_workers_at_once_do_not_get_in_each_others_way(
    control_plane: ControlPlane, server: PrometheusServer, run_process: Callable[..., Process]
) -> None:
    second = run_process([sys.executable, "manage.py", "worker"], env=control_plane.environment, name="second")
    for value in range(5):
        control_plane.call("POST", "/alert-rules", name=f"Rule{value}", query_template=f"up == {value}")
        time.sleep(0.5)
    eventually(lambda: len(queries(server)) == 5, what="all five rules")
    eventually(lambda: control_plane.call("GET", "/prometheus/status")["in_sync"], what="status in sync")
    found = control_plane.releases()
    assert {release["state"] for release in found} <= {"verified", "superseded"}, found
    assert not any(release["errors"] for release in found)
    assert second.running


def children_of(parent: int) -> list[Path]:
    found = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it may have ended meanwhile
            if process.name.isdigit() and f"\nPPid:\t{parent}\n" in (process / "status").read_text():
                found.append(process)
    return found


def test_up_stops_cleanly_and_leaves_nothing_running(control_plane: ControlPlane) -> None:
    children = children_of(control_plane.process.pid)
    assert len(children) == 2
    control_plane.process.send(signal.SIGTERM)
    assert control_plane.process.wait(30) == 0
    assert not [child for child in children if child.exists()]


def test_a_second_start_finds_everything_as_it_was(
    control_plane: ControlPlane, server: PrometheusServer, run_process: Callable[..., Process]
) -> None:
    control_plane.call("POST", "/alert-rules", name="Down", query_template="up == 0")
    eventually(lambda: queries(server) == {"Down": "up == 0"}, what="the rule in Prometheus")
    before = len(control_plane.releases())
    control_plane.process.stop()
    again = run_process(
        [sys.executable, "manage.py", "up", "--port", "0", "--workers", "1"],
        env=control_plane.environment,
        name="again",
    )
    control_plane.url = again.expect(r"^ready (http://\S+)$", timeout=60).group(1)
    assert "First start" not in again.output
    time.sleep(2)
    assert len(control_plane.releases()) == before, "nothing changed, so nothing is delivered"


def test_regenerate_answers_with_the_release_and_then_that_there_is_nothing_to_do(
    control_plane: ControlPlane, server: PrometheusServer
) -> None:
    control_plane.call("POST", "/alert-rules", name="Down", query_template="up == 0")
    first = control_plane.call("POST", "/prometheus/rules/regenerate?wait=true&timeout=30")
    assert first["state"] == "verified"
    second = control_plane.call("POST", "/prometheus/rules/regenerate?wait=true&timeout=30")
    assert (second["changed"], second["id"]) == (False, first["id"])


def test_the_commands_say_what_they_find(control_plane: ControlPlane, server: PrometheusServer) -> None:
    control_plane.process.stop()  # no worker in between
    environment = control_plane.environment

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    script = (
        "from alerts.actions import groups, rules, targets; from alerts.models import Namespace\n"
        "g = groups.create({'name': 'production', 'namespace_id': Namespace.objects.get(name='environment').pk})\n"
        "targets.create({'hostname': 'web-1', 'groups': [g.pk]})\n"
        "v = [{'name': 'least', 'type': 'number', 'default': 1}]\n"
        "rules.create({'name': 'Down', 'query_template': 'up < {{ .least }}', 'variables': v, 'severity': 'warning'})\n"
        "rules.create({'key': 'Down', 'group_id': g.pk, 'config': {'template_vars': {'least': 2}}})\n"
    )
    assert run("shell", "-c", script).returncode == 0
    planned = run("plan", "--format", "json")
    assert planned.returncode == 2
    assert json.loads(planned.stdout)["counts"]["added"] == 2
    assert run("plan").returncode == 2
    synced = run("sync")
    assert synced.returncode == 0, synced.stderr
    assert "verified: 2 rules" in synced.stdout
    assert run("plan").returncode == 0
    effective = json.loads(run("effective", "web-1", "--format", "json").stdout)
    assert [rule["expr"] for rule in effective["rules"]] == ['up{environment="production"} < 2']
    assert "environment/production" in run("effective", "web-1").stdout
    explained = run("explain", "web-1", "Down").stdout
    assert "environment/production" in explained
    assert "1\u0336" in explained, "the value that lost is struck out"
    assert run("explain", "web-1", "Nothing").returncode == 1
    assert run("effective", "nobody").returncode == 1
    server.stop()
    script = "from alerts.actions import rules; rules.create({'name': 'Up', 'query_template': 'up == 1'})"
    assert run("shell", "-c", script).returncode == 0
    failed = run("sync")
    assert failed.returncode == 1
    assert "cannot be reached" in failed.stderr
    assert "not delivered" in failed.stdout


@pytest.mark.parametrize("command", [["plan"], ["sync"], ["effective", "web-1"], ["explain", "web-1"]])
def test_a_command_on_an_empty_database_says_what_to_do(
    command: list[str], product_environment: dict[str, str]
) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env=product_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "run `manage.py migrate`" in done.stderr.splitlines()[-1]


def test_a_celery_task_deploys_and_tries_again_until_it_could(
    environment: tuple[dict[str, str], PrometheusServer], run_process: Callable[..., Process], redis_server: Any
) -> None:
    settings, server = environment
    settings = settings | {"CELERY_BROKER_URL": redis_server.url()}
    script = "from alerts.actions import rules; rules.create({'name': 'Down', 'query_template': 'up == 0'})"
    subprocess.run([sys.executable, "manage.py", "shell", "-c", script], cwd=ROOT, env=settings, check=True)
    server.stop()
    worker = run_process(
        [sys.executable, "-m", "celery", "-A", "config_server", "worker", "--pool=solo", "--loglevel=info"],
        env=settings,
        name="celery",
    )
    worker.expect(r"celery@.* ready", timeout=60)
    send = "from config_server.celery import app; app.send_task('alerts.deploy')"
    subprocess.run([sys.executable, "-c", send], cwd=ROOT, env=settings, check=True)
    worker.expect(r"Retry in", timeout=30)
    server.start()
    eventually(lambda: queries(server) == {"Down": "up == 0"}, timeout=30, what="the rule in Prometheus")
    worker.expect(r"succeeded", timeout=30)
