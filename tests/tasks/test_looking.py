"""How often the polling worker looks at all servers: no less than it takes, and no more."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from alerts.actions import rules
from alerts.actions.due import survey
from alerts.management import worker as worker_module
from alerts.management.worker import Worker
from alerts.models import PolicyState, PrometheusServer, Release, ServerState

pytestmark = [pytest.mark.database, pytest.mark.django_db]


@pytest.fixture
def surveys(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the worker looked at all servers."""
    when: list[float] = []
    survey = worker_module.survey
    monkeypatch.setattr(worker_module, "survey", lambda: when.append(0.0) or survey())
    return when


def idle_worker(servers: int = 1) -> Worker:
    """Its servers hold what they should, and it has just looked at them."""
    revision = PolicyState.current()
    PrometheusServer.objects.all().delete()
    for number in range(servers):
        name = f"prom-{number:02}"
        release = Release.objects.create(server=name, revision=revision, state="verified")
        PrometheusServer.objects.create(name=name)
        ServerState.objects.create(
            name=name, loaded_release=release, loaded_revision=revision, checked_at=timezone.now()
        )
    worker = Worker(reconcile_every=3600.0)
    for number in range(servers):
        worker._desk(f"prom-{number:02}").reconciled = 0.0
    worker.step(0.0)
    return worker


def test_all_servers_are_looked_at_now_and_then_while_nothing_moves(
    surveys: list[float], django_assert_num_queries: Any
) -> None:
    worker = idle_worker()
    surveys.clear()
    with django_assert_num_queries(4):
        for now in (0.2, 0.4, 0.6, 4.8):
            worker.step(now)
    assert not surveys
    worker.step(5.0)
    assert len(surveys) == 1
    worker.step(0.5)  # a clock of its own that went back
    assert len(surveys) == 2


def test_a_server_that_somebody_else_has_just_looked_at_is_not_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = idle_worker()
    worker.reconcile_every = 10.0
    started: list[str] = []
    monkeypatch.setattr(worker, "_start", lambda server, job: started.append(server))
    long_ago = timezone.now() - timedelta(minutes=1)
    ServerState.objects.update(checked_at=long_ago)
    worker.step(10.0)
    assert started == ["prom-00"]
    assert worker._last is not None
    ServerState.objects.update(checked_at=timezone.now())
    worker.step(18.0)
    ServerState.objects.update(checked_at=long_ago)
    worker._last = replace(worker._last, found=survey(), at=19.9)  # as it was a moment ago
    ServerState.objects.update(checked_at=timezone.now())
    worker.step(20.0)
    assert started == ["prom-00"]


def test_an_edit_is_seen_at_the_next_look_and_delivered_when_it_has_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = idle_worker(3)
    started: list[str] = []
    monkeypatch.setattr(worker, "_start", lambda server, job: started.append(server))
    rules.create({"name": "R", "query_template": "up == 1"})
    for now in (0.2, 0.4):
        worker.step(now)
        assert not started, "another edit may follow"
    worker.step(0.6)
    assert started == ["prom-00", "prom-01", "prom-02"]


def test_what_a_job_left_to_do_is_seen_at_the_next_look(monkeypatch: pytest.MonkeyPatch, surveys: list[float]) -> None:
    worker = idle_worker()
    job = worker._desk("prom-00").job = Future[bool]()
    worker.step(0.2)
    surveys.clear()
    worker.step(0.4)
    assert not surveys
    ServerState.objects.update(loaded_release=None)  # what nobody but the job knows of
    job.set_result(False)
    started: list[str] = []
    monkeypatch.setattr(worker, "_start", lambda server, job: started.append(server))
    worker.step(0.6)
    assert started == ["prom-00"]


def test_what_is_due_and_not_under_way_is_looked_at_each_time(
    monkeypatch: pytest.MonkeyPatch, surveys: list[float]
) -> None:
    worker = idle_worker(2)
    ServerState.objects.filter(name="prom-01").update(loaded_release=None)
    monkeypatch.setattr(worker, "_start", lambda server, job: None)  # somebody else holds its lease
    worker.step(5.0)
    surveys.clear()
    for now in (5.2, 5.4):
        worker.step(now)
    assert len(surveys) == 2


def job_of(worker: Worker, server: str) -> Future[bool]:
    job = worker._desk(server).job = Future[bool]()
    return job


def test_while_all_are_delivered_to_only_an_edit_is_worth_a_survey(surveys: list[float]) -> None:
    worker = idle_worker(2)
    first, _ = job_of(worker, "prom-00"), job_of(worker, "prom-01")
    surveys.clear()
    Release.objects.create(server="prom-00", revision=1)  # as the job does
    for now in (0.2, 0.4):
        worker.step(now)
    assert not surveys
    PrometheusServer.objects.create(name="new", url="http://new.example:9090")
    PolicyState.objects.update(revision=PolicyState.current() + 1)
    worker.step(0.6)
    assert len(surveys) == 1, "a server may have been added"
    first.set_result(True)
    worker.step(0.8)
    assert len(surveys) == 2, "others may have been asked for meanwhile"


def test_a_job_that_went_well_leaves_nothing_to_look_for(monkeypatch: pytest.MonkeyPatch, surveys: list[float]) -> None:
    worker = idle_worker(2)
    ServerState.objects.filter(name="prom-01").update(loaded_release=None)
    jobs: list[Future[bool]] = []
    monkeypatch.setattr(worker, "_start", lambda server, _: jobs.append(job_of(worker, server)))
    worker.step(5.0)
    assert len(jobs) == 1
    surveys.clear()
    jobs[0].set_result(True)
    for now in (5.2, 5.4, 6.0, 9.8):
        worker.step(now)
    assert (len(jobs), surveys) == (1, []), "what was due then is not due any more"
    worker.step(10.0)
    assert len(surveys) == 1
    assert len(jobs) == 2, "it was not so"


def test_a_server_that_is_made_in_the_middle_of_a_look_is_delivered_to(
    monkeypatch: pytest.MonkeyPatch, surveys: list[float]
) -> None:
    worker = idle_worker(2)
    monkeypatch.setattr(worker, "_is_stale", lambda age, ours: True)
    started: list[str] = []
    monkeypatch.setattr(worker, "_start", lambda server, job: started.append(server))
    look_around = worker._look_around

    def after_it_was_made(found: Any, now: float) -> None:
        PrometheusServer.objects.create(name="new", url="http://new.example:9090")
        PolicyState.objects.update(revision=PolicyState.current() + 1)
        worker._next_reconcile = float("-inf")
        look_around(found, now)

    with monkeypatch.context() as patch:
        patch.setattr(worker, "_look_around", after_it_was_made)
        worker.step(1.0)
    assert worker._last is not None
    assert "new" in {need.server for need in worker._last.found.due}
    for now in (1.2, 1.6):
        worker.step(now)
    assert "new" in started


def test_what_is_asked_for_while_the_same_is_done_is_done_again(
    monkeypatch: pytest.MonkeyPatch, surveys: list[float]
) -> None:
    worker = idle_worker(2)
    started: list[str] = []
    monkeypatch.setattr(worker, "_start", lambda server, _: started.append(server) or job_of(worker, server))
    first = Release.objects.create(server="prom-00", revision=0)
    worker.step(1.0)
    Release.objects.filter(pk=first.pk).update(state="staged")  # by its job
    Release.objects.create(server="prom-00", revision=0)
    worker.step(1.2)
    job = worker._desk("prom-00").job
    assert job is not None
    job.set_result(True)
    for now in (1.4, 1.6):
        worker.step(now)
    assert started == ["prom-00", "prom-00"]
