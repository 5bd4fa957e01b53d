"""For machines that watch this one."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from django.db import OperationalError, connection
from prometheus_client.parser import text_string_to_metric_families

from alerts.api import probes
from tests.api.conftest import Caller


def test_healthy_needs_no_database(caller: Callable[..., Caller]) -> None:
    def down(*_: object) -> None:
        raise OperationalError("gone")

    with connection.execute_wrapper(down):
        assert (caller(None).get("/-/healthy").status, caller(None).get("/-/ready").status) == (200, 503)


def test_ready_waits_for_the_tables(caller: Callable[..., Caller], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes.Ready, "migrated", False)
    monkeypatch.setattr(probes, "_unapplied", lambda: ["something"])
    assert caller(None).get("/-/ready").problem["status"] == 503
    monkeypatch.setattr(probes, "_unapplied", list)
    assert caller(None).get("/-/ready").content == b"ok\n"


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
