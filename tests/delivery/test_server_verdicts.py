"""A Prometheus that knows less than the promtool that judged for it: it says itself which rules it cannot evaluate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alerts.actions import attempts, effective, rules, server_verdicts, status, targets
from alerts.actions.deploy import deploy
from alerts.actions.plan import plan
from alerts.adapters.prometheus import Prometheus
from tests.delivery.conftest import delivered, loaded_names, state
from tests.servers.prometheus import PrometheusServer

NEWER = "histogram_avg(rate(http_seconds[5m])) > 1"
"""A function that 2.42 does not know."""


@pytest.fixture
def older(
    db: None, product: Any, rule_dir: Path, start_prometheus: Callable[..., PrometheusServer]
) -> PrometheusServer:
    """Prometheus 2.42, while promtool is that of the newest."""
    started = start_prometheus(rule_dir=rule_dir, version="2.42")
    product.PROMETHEUS_URL = started.url
    return started


def test_a_rule_that_the_server_does_not_know_blocks_no_other(older: PrometheusServer) -> None:
    rules.create({"name": "Down", "query_template": "up == 0"})
    delivered(deploy("test"))
    unknown = rules.create({"name": "Slow", "query_template": NEWER})
    rules.create({"name": "Up", "query_template": "up == 1"})
    release = delivered(deploy("test"))
    assert loaded_names(older) == {"Down", "Up"}
    codes = {warning["code"] for warning in status.status()["warnings"]}
    assert {"server_refused", "promtool_of_another_major"} <= codes
    (warning,) = [said for said in release.warnings if said["code"] == "server_refused"]
    assert "histogram_avg" in warning["message"]
    assert warning["rule"] == "Slow"
    (kept,) = release.last_good
    assert (kept["key"], "histogram_avg" in str(kept["why"])) == ("Slow", True)
    assert (state().failures, state().last_error) == (0, None)

    rules.create({"name": "More", "query_template": "up == 2"})
    delivered(deploy("test"))
    assert loaded_names(older) == {"Down", "Up", "More"}
    rules.update(unknown.pk, {"query_template": "up == 3"})
    release = delivered(deploy("test"))
    assert loaded_names(older) == {"Down", "Up", "More", "Slow"}
    assert release.last_good == []


@pytest.fixture
def target_id(db: None) -> int:
    return targets.create({"hostname": "web-1"}).pk


def test_a_rule_that_was_good_stays_as_it_was(older: PrometheusServer, target_id: int) -> None:
    rule = rules.create({"name": "Slow", "query_template": "up == 0"})
    delivered(deploy("test"))
    rules.update(rule.pk, {"query_template": NEWER})
    delivered(deploy("test"))
    (loaded,) = [one for group in older.rules() for one in group["rules"]]
    assert loaded["query"] == "up == 0"
    assert told_of(target_id) == ("up == 0", "last_good")


def test_what_stays_is_told_until_its_layers_change(older: PrometheusServer, target_id: int) -> None:
    rule = rules.create({"name": "Slow", "query_template": "up == 0"})
    delivered(deploy("test"))
    rules.update(rule.pk, {"query_template": NEWER})
    release = delivered(deploy("test"))
    (kept,) = release.last_good
    assert kept["refused_by"] == "server"
    assert (plan()["empty"], plan()["last_good"]) == (True, release.last_good)

    rules.create({"name": "Other", "query_template": "up == 1"})
    assert told_of(target_id) == ("up == 0", "last_good"), "nobody will deliver it with the other one either"
    (added,) = plan()["rules"]["added"]
    assert added["name"] == "Other"
    rules.update(rule.pk, {"query_template": "up == 3"})
    assert told_of(target_id) == ("up == 3", "current")
    delivered(deploy("test"))
    assert told_of(target_id) == ("up == 3", "current")


def test_another_process_knows_what_was_refused(older: PrometheusServer) -> None:
    rules.create({"name": "Down", "query_template": "up == 0"})
    rules.create({"name": "Slow", "query_template": NEWER})
    first = delivered(deploy("test"))
    attempts._refused.clear()
    outcome = deploy("reconcile")
    assert (outcome.release, outcome.changed) == (first, False)
    assert deploy("drift", force=True).good, "nor is it tried again to mend what somebody damaged"
    assert loaded_names(older) == {"Down"}


def told_of(target_id: int) -> tuple[str, str]:
    """By ``effective``, and by the trace: how a rule is in force."""
    place = effective.place_of_target(target_id)
    (rule,) = [one for one in effective.effective(place)["rules"] if one["key"] == "Slow"]
    (key,) = [one for one in effective.traced(place)["keys"] if one["key"] == "Slow"]
    assert key["in_force"] == rule["in_force"]
    return rule["expr"], rule["in_force"]


def test_the_first_set_goes_in_without_what_the_server_does_not_know(older: PrometheusServer) -> None:
    rules.create({"name": "Slow", "query_template": NEWER})
    rules.create({"name": "Down", "query_template": "up == 0"})
    delivered(deploy("test"))
    assert loaded_names(older) == {"Down"}


def test_more_than_it_can_be_asked_about_is_a_refused_reload_as_ever(
    older: PrometheusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_verdicts, "MOST_ASKED", 1)
    rules.create({"name": "Slower", "query_template": NEWER})
    rules.create({"name": "Down", "query_template": "up == 0"})
    outcome = deploy("test")
    assert outcome.release is not None
    assert (outcome.release.state, outcome.release.errors[0]["code"]) == ("rolled_back", "reload_refused")


@pytest.mark.parametrize(
    ("expression", "words"),
    [("up == 0", None), ("sum(", "parse error"), ("up @ end()", None), (NEWER, None), ("nothing_there", None)],
)
def test_a_server_says_what_it_has_against_an_expression(
    start_prometheus: Callable[..., PrometheusServer], expression: str, words: str | None
) -> None:
    found = Prometheus(start_prometheus().url).objection(expression)
    assert found is None if words is None else words in (found or "")
