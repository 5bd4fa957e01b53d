"""For machines that watch this one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from alerts.actions import readiness
from alerts.models import ServerState
from config_server.environment import Problem
from tests.api.conftest import Caller
from tests.servers.processes import eventually


@pytest.fixture
def database_says(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What the thread that asks the database comes back with: this, or an error."""

    def say(found: Callable[[], Any]) -> None:
        monkeypatch.setattr(readiness._of_database, "_question", found)

    return say


def test_ready_lists_every_check(caller: Callable[..., Caller]) -> None:
    answer = caller(None).get("/-/ready")
    assert (answer.status, answer.json["status"]) == (200, "ready")
    found = {check["name"]: (check["ok"], check["needed"]) for check in answer.json["checks"]}
    assert found == {
        "settings": (True, True),
        "database": (True, True),
        "migrations": (True, True),
        "prometheus": (True, False),
    }


def test_healthy_needs_no_database_and_ready_does(
    caller: Callable[..., Caller], database_says: Callable[..., None]
) -> None:
    database_says(lambda: readiness.AWAY)
    answer = caller(None).get("/-/ready")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
    assert answer.problem["detail"] == "database cannot be reached"
    assert caller(None).get("/-/healthy").status == 200


def test_ready_does_not_wait_for_a_database_that_hangs(
    caller: Callable[..., Caller], database_says: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go, asked = threading.Event(), []

    def hang() -> list[readiness.Check]:
        asked.append(1)
        let_go.wait(30)
        return [readiness.Check("database", True, "answers")]

    monkeypatch.setattr(readiness, "PATIENCE", 0.1)
    database_says(hang)
    assert [caller(None).get("/-/ready").status for _ in range(3)] == [503, 503, 503]
    assert len(asked) == 1, "it hangs once, not at every question"
    let_go.set()
    assert eventually(lambda: caller(None).get("/-/ready").status == 200)


def test_ready_waits_for_the_tables(monkeypatch: pytest.MonkeyPatch, db: None) -> None:
    monkeypatch.setattr(readiness, "_migrated", False)
    monkeypatch.setattr(readiness, "unapplied", lambda: 1)
    assert not readiness._migrations().ok
    assert readiness._servers() == []
    monkeypatch.setattr(readiness, "unapplied", lambda: 0)
    assert readiness._migrations().ok


def test_a_wrong_setting_is_not_ready(caller: Callable[..., Caller], settings: Any) -> None:
    settings.ENVIRONMENT_PROBLEMS = (Problem("alerts.E007", "PROMETHEUS_RULE_LAYOUT", "is wrong", "mend it"),)
    assert caller(None).get("/-/ready").problem["detail"] == "settings wrong: alerts.E007"


def test_a_broker_or_a_prometheus_that_is_away_is_told_and_does_not_count(
    caller: Callable[..., Caller], settings: Any
) -> None:
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:9/0"
    ServerState.objects.update_or_create(pk="default", defaults={"failures": 3})
    answer = caller(None).get("/-/ready")  # sees that the tables are there, too
    assert readiness._servers()[0].detail == "1 of 1 servers could not be delivered to"
    found = {check["name"]: check["ok"] for check in answer.json["checks"]}
    assert (answer.status, found["broker"]) == (200, False)


def test_metrics_are_what_prometheus_reads(admin: Caller, world: SimpleNamespace) -> None:
    answer = admin.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }
    assert found[("config_server_objects", "alert_rule")] == 1
    assert found[("config_server_objects", "group")] == 3
    assert found[("config_server_policy_revision",)] > 0
    assert found[("process_cpu_seconds_total",)] > 0
    admin.post("prometheus/rules/regenerate")
    assert 'config_server_releases{state="pending"} 1.0' in admin.get("/metrics").content.decode()


@pytest.mark.parametrize("path", ["namespaces", "namespaces/1", "schema", "sd/prometheus", "/metrics", "/-/healthy"])
def test_head_says_what_get_would_say_without_its_body(admin: Caller, path: str) -> None:
    get, head = admin.get(path), admin("HEAD", path)
    assert (head.status, head.content) == (get.status, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]


@pytest.mark.parametrize("path", ["namespaces", "namespaces/999"])
def test_answers_are_not_for_shared_caches(admin: Caller, path: str) -> None:
    assert "private" in admin.get(path).headers["Cache-Control"]
