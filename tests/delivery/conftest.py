"""A policy in the test's database, and a Prometheus that the product delivers it to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alerts.actions import policy, rules
from alerts.actions.deploy import Outcome, deploy
from alerts.models import AlertRule, PolicyState, Release, ServerState
from tests.servers.prometheus import PrometheusServer


@pytest.fixture(autouse=True)
def fresh_policy() -> None:
    """Rolled-back tests leave the revision where it was, with other rows under it."""
    policy.forget()


@pytest.fixture
def product(settings: Any, rule_dir: Path, promtool: Path) -> Any:
    """The settings of a product that checks with promtool and has little patience."""
    settings.PROMTOOL_PATH = str(promtool)
    settings.PROMETHEUS_TIMEOUT = 3.0
    return settings


@pytest.fixture
def server(
    db: None, product: Any, rule_dir: Path, start_prometheus: Callable[..., PrometheusServer]
) -> PrometheusServer:
    """The newest Prometheus, reading the rule directory of this test."""
    started = start_prometheus(rule_dir=rule_dir)
    product.PROMETHEUS_URL = started.url
    return started


@pytest.fixture
def deployed(server: PrometheusServer) -> Release:
    """One global rule, delivered and verified."""
    rules.create({"name": "Down", "query_template": "up == 0", "severity": "critical"})
    return delivered(deploy("test"))


def delivered(outcome: Outcome) -> Release:
    assert outcome.release is not None
    assert outcome.release.state == "verified", (outcome.release.state, outcome.release.errors)
    return outcome.release


def state() -> ServerState:
    return ServerState.objects.select_related("loaded_release").get()


def break_behind_our_back(rule: AlertRule, **values: Any) -> None:
    """What no door lets through: an upgrade or a restored backup can leave such a row."""
    AlertRule.objects.filter(pk=rule.pk).update(**values, revision=PolicyState.current() + 1)
    PolicyState.objects.update(revision=PolicyState.current() + 1)


def loaded_names(server: PrometheusServer) -> set[str]:
    return {rule["name"] for group in server.rules() for rule in group["rules"]}
