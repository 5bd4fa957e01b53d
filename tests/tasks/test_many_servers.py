"""The polling worker with many servers: parallel, each at most once at a time, and none waits for one that hangs."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable

import pytest

from alerts.management.worker import Worker
from tests.servers.loopback import HttpServer
from tests.servers.processes import Process, eventually
from tests.tasks.conftest import Installation

pytestmark = pytest.mark.slow
EDIT = "from alerts.actions import rules; rules.{}"
CREATE = EDIT.format("create({{'name': 'R{0}', 'query_template': 'up == {0}'}})")


class Hanging(HttpServer):
    """A Prometheus that takes every question and answers none in time."""

    def __init__(self) -> None:
        self.asked = 0
        super().__init__()

    def answer(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        self.asked += 1
        time.sleep(20)
        return 200, "text/plain", b""


@pytest.fixture
def start_worker(run_process: Callable[..., Process]) -> Callable[..., Process]:
    def start(installation: Installation, *options: str, **environment: str) -> Process:
        command = [sys.executable, "manage.py", "worker", *options]
        return run_process(command, env=installation.environment | environment, name="worker")

    return start


@pytest.fixture
def polled(make_installation: Callable[..., Installation]) -> Callable[..., Installation]:
    """An installation without a broker."""

    def make(count: int, **settings: str) -> Installation:
        installation = make_installation(count, **settings)
        del installation.environment["CELERY_BROKER_URL"]
        return installation

    return make


def test_new_disabled_and_deleted_servers_are_noticed_without_a_restart(
    polled: Callable[..., Installation], start_worker: Callable[..., Process]
) -> None:
    installation = polled(3)
    start_worker(installation)
    installation.shell(CREATE.format(1))
    eventually(lambda: installation.all_hold("up == 1"), timeout=30, what="the rule everywhere")
    installation.rule_dir("new").mkdir()
    installation.shell(
        "from alerts.models import PrometheusServer as S; from django.utils import timezone\n"
        "S.objects.create(name='new', url='http://127.0.0.1:9')\n"
        "S.objects.filter(name='prom-1').update(enabled=False)\n"
        "S.objects.filter(name='prom-2').update(deleted_at=timezone.now())\n"
    )
    installation.shell(CREATE.format(2))
    eventually(lambda: installation.holds("new", "up == 2"), timeout=30, what="the rule on the new server")
    eventually(lambda: installation.holds("default", "up == 2"), timeout=30, what="the rule on the old one")
    time.sleep(1)
    assert not installation.holds("prom-1", "up == 2")
    assert not installation.holds("prom-2", "up == 2")


def test_one_server_that_hangs_delays_no_other(
    polled: Callable[..., Installation], start_worker: Callable[..., Process]
) -> None:
    hanging = Hanging()
    try:
        installation = polled(4, PROMETHEUS_URL=hanging.url, PROMETHEUS_RELOAD_ENABLED="true", PROMETHEUS_TIMEOUT="15")
        # The others have nobody to reload them: that they are tried, and how soon, is what is looked at.
        worker = start_worker(installation)
        eventually(lambda: hanging.asked, timeout=30, what="a question to the server that hangs")
        start = time.monotonic()
        for server in installation.servers[1:]:
            worker.expect(rf"server={server} release=\d+\]?.*failed", timeout=8)
        assert time.monotonic() - start < 8
        assert "server=default release" not in worker.output
    finally:
        hanging.stop()


def test_a_worker_that_is_asked_to_stop_finishes_what_it_is_at(
    polled: Callable[..., Installation], start_worker: Callable[..., Process]
) -> None:
    installation = polled(1)
    worker = start_worker(installation, CONFIG_SERVER_FAILPOINT="promtool.before:2=sleep:2")
    eventually(lambda: installation.rule_dir("default").joinpath("current").exists(), timeout=30, what="an empty set")
    installation.shell(CREATE.format(1))
    time.sleep(1)
    worker.send(signal.SIGTERM)
    assert worker.wait(30) == 0
    assert installation.all_hold("up == 1")


@pytest.mark.django_db
@pytest.mark.database
def test_looks_at_fifty_servers_are_spread_over_the_time_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.utils import timezone

    from alerts.models import PrometheusServer, Release, ServerState

    for number in range(50):
        name = f"prom-{number:02}"
        release = Release.objects.create(server=name, revision=99, state="verified")
        PrometheusServer.objects.create(name=name)
        ServerState.objects.create(name=name, loaded_release=release, loaded_revision=99, checked_at=timezone.now())
    PrometheusServer.objects.filter(name="default").delete()
    worker = Worker(reconcile_every=30.0)
    started: list[tuple[float, str]] = []
    now = 0.0
    monkeypatch.setattr(worker, "_start", lambda server, job: started.append((now, server)))
    while now < 30:
        worker.step(now)
        now += 0.2
    assert sorted({server for _, server in started}) == [f"prom-{number:02}" for number in range(50)]
    for second in range(28):
        assert sum(second <= when < second + 1 for when, _ in started) <= 4, "a stampede"


def test_two_workers_share_the_looks(polled: Callable[..., Installation], start_worker: Callable[..., Process]) -> None:
    installation = polled(1)
    start_worker(installation, "--reconcile-every", "2")
    start_worker(installation, "--reconcile-every", "2")
    installation.shell(CREATE.format(1))
    eventually(lambda: installation.all_hold("up == 1"), timeout=30, what="the rule")
    file = next((installation.rule_dir("default") / "current").glob("*.yml"))
    file.chmod(0o644)
    file.write_text("groups: []\n")
    eventually(lambda: installation.all_hold("up == 1"), timeout=15, what="the healed file")
