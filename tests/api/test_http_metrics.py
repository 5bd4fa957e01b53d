"""Requests by route: as many series as there are routes, and agents' long polls apart."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from alerts.api import http_metrics
from alerts.api.urls import urlpatterns
from tests.api.conftest import Caller

COUNT = "config_server_http_request_duration_seconds_count"


def counted(name: str = COUNT) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(generate_latest(http_metrics.registry()).decode())
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def test_a_request_is_counted_by_its_route(admin: Caller) -> None:
    before = counted().get(("GET", "/api/v1/namespaces/{id}", "2xx"), 0)
    for number in (1, 2, 3):
        admin.get(f"namespaces/{number}")
    assert counted()["GET", "/api/v1/namespaces/{id}", "2xx"] == before + 3


@pytest.mark.parametrize("method", ["BREW", "get", "X" * 50])
def test_nobody_can_make_series_by_asking_for_nonsense(admin: Caller, method: str) -> None:
    admin.get("namespaces")
    admin(method, "no/such/thing")
    admin("GET", "no/such/thing")
    before = set(counted())
    for number in range(20):
        admin(f"{method}{number}", f"no/such/{number}")
        admin("GET", f"/else/{number}?x={number}")
    assert set(counted()) - before <= {("GET", "unmatched", "4xx"), ("other", "unmatched", "4xx")}


def test_long_polls_are_counted_and_not_timed(admin: Caller) -> None:
    routes = {f"/api/v1/{pattern.pattern}" for pattern in urlpatterns}
    assert routes >= http_metrics.LONG_POLLS
    answer = admin.get("agent/bundle")
    status_class = f"{answer.status // 100}xx"
    assert counted("config_server_http_long_polls_total")[(status_class,)] >= 1
    assert not any("/agent/bundle" in key[1] for key in counted())
