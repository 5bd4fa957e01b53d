"""Service discovery: whole, in one order, and what Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from django.db import OperationalError, connection

from tests.api.conftest import Caller
from tests.servers.processes import eventually


def test_target_is_listed_with_its_position(admin: Caller, world: SimpleNamespace) -> None:
    answer = admin.get("sd/prometheus")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json == [
        {
            "targets": ["10.0.0.1:9100"],
            "labels": {
                "__metrics_path__": "/metrics",
                "__scheme__": "http",
                "job": "node",
                "site": "berlin",
                "stage": "live",
                "target": "web-1",
            },
        }
    ]


def test_label_is_the_leaf_group_s_value_not_its_name(admin: Caller, world: SimpleNamespace) -> None:
    admin.patch(f"groups/{world.berlin['id']}", {"name": "Hauptstadt"})
    admin.patch(f"namespaces/{world.site['id']}", {"name": "place", "label": "standort"})
    (found,) = admin.get("sd/prometheus").json
    assert found["labels"]["standort"] == "berlin"
    assert "site" not in found["labels"]


@pytest.mark.parametrize(
    ("hostname", "address", "expected"),
    [
        ("a.example", "", "a.example:1"),
        ("a.example", "10.0.0.1", "10.0.0.1:1"),
        ("a.example", "b.example", "b.example:1"),
        ("a.example", "fe80::1", "[fe80::1]:1"),
        ("2001:db8::1", "", "[2001:db8::1]:1"),
    ],
)
def test_address_is_where_it_is_scraped(admin: Caller, hostname: str, address: str, expected: str) -> None:
    admin.make("targets", hostname=hostname, address=address, endpoints=[{"job": "a", "port": 1}])
    (found,) = admin.get("sd/prometheus").json
    assert (found["targets"], found["labels"]["target"]) == ([expected], hostname)


def test_every_endpoint_is_listed_with_the_targets_own_labels(admin: Caller) -> None:
    endpoints = [
        {"job": "node", "port": 9100},
        {"job": "app", "port": 443, "path": "/probe", "scheme": "https"},
    ]
    admin.make("targets", hostname="a", labels={"rack": "b4", "quote": 'ü "\\\n'}, endpoints=endpoints)
    found = admin.get("sd/prometheus").json
    assert [(item["targets"], item["labels"]["job"]) for item in found] == [(["a:9100"], "node"), (["a:443"], "app")]
    assert found[1]["labels"]["__metrics_path__"] == "/probe"
    assert found[1]["labels"]["__scheme__"] == "https"
    assert all(item["labels"]["quote"] == 'ü "\\\n' for item in found)
    assert [item["targets"] for item in admin.get("sd/prometheus?job=app").json] == [["a:443"]]
    assert admin.get("sd/prometheus?job=none").json == []


def test_disabled_and_deleted_targets_are_not_listed(admin: Caller) -> None:
    rows = [admin.make("targets", hostname=name, endpoints=[{"job": "a", "port": 1}]) for name in "abc"]
    admin.patch(f"targets/{rows[0]['id']}", {"status": "disabled"})
    admin.delete(f"targets/{rows[1]['id']}")
    assert [item["labels"]["target"] for item in admin.get("sd/prometheus").json] == ["c"]


def test_order_does_not_depend_on_that_of_creation(admin: Caller) -> None:
    for name in ("b", "c", "a"):
        admin.make("targets", hostname=name, labels={"z": "1", "a": "2"}, endpoints=[{"job": "a", "port": 1}])
    first = admin.get("sd/prometheus")
    assert [item["labels"]["target"] for item in first.json] == ["a", "b", "c"]
    assert all(list(item["labels"]) == sorted(item["labels"]) for item in first.json)
    assert admin.get("sd/prometheus").content == first.content


def test_error_is_an_error_never_a_shorter_list(admin: Caller, world: SimpleNamespace) -> None:
    def broken(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if "alerts_target" in sql:
            raise OperationalError("gone")
        return execute(sql, *rest)

    with connection.execute_wrapper(broken):
        assert admin.get("sd/prometheus").problem["status"] == 503


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_prometheus_scrapes_what_it_discovers(
    live_server: Any,
    caller: Callable[[str], Caller],
    exporter: Any,
    start_prometheus: Callable[..., Any],
    tmp_path: Path,
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(caller("discovery").token or "")
    port = int(exporter.address.rsplit(":", 1)[1])
    caller("admin").make(
        "targets",
        hostname="web-1",
        address="127.0.0.1",
        labels={"rack": "b4"},
        endpoints=[{"job": "app", "port": port}],
    )
    discovery = {
        "url": f"{live_server.url}/api/v1/sd/prometheus",
        "refresh_interval": "1s",
        "authorization": {"credentials_file": str(token_file)},
    }
    server = start_prometheus(scrape_configs=[{"job_name": "discovered", "http_sd_configs": [discovery]}])

    def up() -> list[dict[str, str]]:
        answer = requests.get(f"{server.url}/api/v1/query", {"query": "up == 1"}, timeout=5).json()
        return [series["metric"] for series in answer["data"]["result"]]

    (series,) = eventually(up)
    assert {"job": "app", "target": "web-1", "rack": "b4"}.items() <= series.items()
