"""The control plane watched by the Prometheus that it delivers to, with rules that it delivers itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alerts.actions.self_rules import pack
from tests.monitoring.conftest import WebServer, manage
from tests.servers.processes import eventually
from tests.servers.prometheus import PrometheusServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def watched(
    start_web: Callable[..., WebServer],
    start_prometheus: Callable[..., PrometheusServer],
    product_environment: dict[str, str],
    tmp_path: Path,
    prometheus_version: str,
    prometheus_binaries: dict[str, Any],
) -> tuple[WebServer, PrometheusServer]:
    rule_dir = Path(product_environment["PROMETHEUS_RULE_DIR"])
    rule_dir.mkdir()
    prometheus = start_prometheus(version=prometheus_version, rule_dir=rule_dir)
    promtool = str(prometheus_binaries[prometheus_version].promtool)
    web = start_web(PROMETHEUS_URL=prometheus.url, PROMTOOL_PATH=promtool)
    token = tmp_path / "discovery-token"
    token.write_text(manage(web.environment, "create_api_token", "--user", "prometheus", "--role", "discovery"))
    prometheus.scrape_configs = [
        {
            "job_name": "config-server",
            "authorization": {"type": "Bearer", "credentials_file": str(token)},
            "static_configs": [{"targets": [web.url.removeprefix("http://")]}],
        }
    ]
    prometheus.write_config()
    assert prometheus.reload().ok
    return web, prometheus


def hurry(web: WebServer, name: str, **config: Any) -> None:
    """Has one rule of the pack fire at once, as a person would: by its config."""
    (rule,) = web.call("GET", f"/api/v1/alert-rules?name={name}").json()["results"]
    body = {"config": {"for_duration": "0s", **config}}
    assert web.call("PATCH", f"/api/v1/alert-rules/{rule['id']}", body).status_code == 200


def firing(prometheus: PrometheusServer) -> set[tuple[str, str]]:
    return {
        (alert["labels"]["alertname"], alert["labels"].get("server", ""))
        for alert in prometheus.alerts()
        if alert["state"] == "firing"
    }


def test_it_tells_of_its_own_deliveries_that_fail(watched: tuple[WebServer, PrometheusServer]) -> None:
    web, prometheus = watched
    manage(web.environment, "load_self_rules")
    hurry(web, "ConfigServerServerBehind", template_vars={"seconds": 1})
    hurry(web, "ConfigServerDeliveryFailing", template_vars={"times": 1})
    manage(web.environment, "sync")
    loaded = {rule["name"] for group in prometheus.rules() for rule in group["rules"]}
    assert loaded == {rule["name"] for rule in pack()}
    eventually(lambda: prometheus.query('up{job="config-server"} == 1'), timeout=30, what="a scrape")
    prometheus.wait_for_evaluation()
    assert firing(prometheus) == set()
    assert {rule["health"] for group in prometheus.rules() for rule in group["rules"]} == {"ok"}

    rule_dir = Path(web.environment["PROMETHEUS_RULE_DIR"])
    away = rule_dir.rename(rule_dir.with_name("elsewhere"))
    body = {"name": "Another", "query_template": "up == 2"}
    assert web.call("POST", "/api/v1/alert-rules", body).status_code == 201
    answer = web.call("POST", "/api/v1/prometheus/rules/regenerate?wait=true&timeout=20")
    assert answer.json()["state"] == "failed", answer.text
    failing = {("ConfigServerServerBehind", "default"), ("ConfigServerDeliveryFailing", "default")}
    eventually(lambda: firing(prometheus) == failing, timeout=40, what="both alerts")

    os.rename(away, rule_dir)
    manage(web.environment, "sync")
    eventually(lambda: firing(prometheus) == set(), timeout=40, what="silence again")
    assert web.metrics()["config_server_releases_total", "failed"] >= 1
    assert web.metrics()["config_server_commit_to_loaded_seconds_count",] >= 2


def test_it_tells_when_it_is_not_there_any_more(watched: tuple[WebServer, PrometheusServer]) -> None:
    web, prometheus = watched
    manage(web.environment, "load_self_rules")
    hurry(web, "ConfigServerDown")
    hurry(web, "ConfigServerNotScraped")
    manage(web.environment, "sync")
    eventually(lambda: prometheus.query('up{job="config-server"} == 1'), timeout=30, what="a scrape")
    eventually(lambda: prometheus.query("config_server_policy_revision"), timeout=30, what="its metrics")
    web.process.stop()
    eventually(lambda: firing(prometheus) >= {("ConfigServerDown", ""), ("ConfigServerNotScraped", "")}, timeout=40)
