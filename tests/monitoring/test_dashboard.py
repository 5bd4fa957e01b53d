"""The Grafana dashboard: a valid one, whose every expression reads metrics that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from alerts.actions.self_rules import pack
from alerts.api import metrics
from alerts.domain.promql.expression import parse
from alerts.domain.promql.metrics import metrics_read
from tests.servers.binaries import ROOT

DASHBOARD: dict[str, Any] = json.loads((ROOT / "monitoring/grafana/config-server.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
# What Prometheus writes itself, and what a summary or histogram consists of.
OF_PROMETHEUS = {"up"}
PARTS = ("", "_total", "_bucket", "_sum", "_count")


def expressions() -> Iterator[tuple[str, str]]:
    for panel in PANELS:
        for target in panel.get("targets", ()):
            yield f"{panel['title']} {target['refId']}", target["expr"]
    for annotation in DASHBOARD["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


def filled_in(expression: str) -> str:
    """With values in the places of Grafana's variables."""
    expression = expression.replace("$__rate_interval", "5m")
    for variable in DASHBOARD["templating"]["list"]:
        expression = expression.replace(f"${variable['name']}", ".*")
    assert "$" not in expression
    return expression


EXPRESSIONS = dict(expressions())


@pytest.fixture
def exposed(db: None, settings: Any) -> set[str]:
    """Every name that a sample of ours may have."""
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:9/0"
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {family.name + part for family in families for part in PARTS} | OF_PROMETHEUS


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_every_expression_reads_metrics_that_are_exposed(expression: str, exposed: set[str]) -> None:
    read = metrics_read(parse(filled_in(expression)))
    assert read
    assert read <= exposed


def test_variables_ask_for_metrics_that_are_exposed(exposed: set[str]) -> None:
    asked = [variable["definition"] for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query"]
    names = {re.fullmatch(r"label_values\((\w+), \w+\)", question)[1] for question in asked}  # type: ignore[index]
    assert names <= exposed


def test_it_is_what_grafana_imports() -> None:
    assert DASHBOARD["schemaVersion"] >= 36
    assert {"uid", "title", "panels", "templating", "time", "version"} <= DASHBOARD.keys()
    assert "id" not in DASHBOARD, "an id belongs to one installation"
    ids = [panel["id"] for panel in PANELS]
    assert len(set(ids)) == len(ids)
    for panel in PANELS:
        where = panel["gridPos"]
        assert where["x"] + where["w"] <= 24
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["description"]


def test_panels_do_not_lie_on_each_other() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in PANELS:
        where = panel["gridPos"]
        for x in range(where["x"], where["x"] + where["w"]):
            for y in range(where["y"], where["y"] + where["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


RULES = {rule["name"]: rule for rule in pack()}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_rules_of_the_pack_read_metrics_that_are_exposed(rule: dict[str, Any], exposed: set[str]) -> None:
    """And list all of them as unscoped: they carry no position."""
    query = rule["query_template"]
    for variable in rule["variables"]:
        query = query.replace(f"{{{{ .{variable['name']} }}}}", str(variable["default"]))
    read = metrics_read(parse(query))
    assert read <= exposed
    assert read == set(rule["unscoped"])
