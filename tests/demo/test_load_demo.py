"""The demo's policy: loaded through the actions, again and again, from sources that are named."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command

from alerts.actions import effective, groups, policy, rules
from alerts.demo.loading import POLICY
from alerts.models import AlertRule, AlertTemplate, Group, Namespace, PolicyState, Target

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def judged_by_promtool(settings: Any, promtool: Path) -> None:
    policy.forget()
    settings.PROMTOOL_PATH = str(promtool)


def load(*arguments: str) -> str:
    out = StringIO()
    call_command("load_demo", *arguments, stdout=out)
    return out.getvalue()


def in_force(host: str) -> dict[str, dict[str, Any]]:
    return {rule["key"]: rule for rule in effective.effective(effective.place_of_host(host))["rules"]}


def test_it_is_a_small_real_policy() -> None:
    load()
    assert AlertTemplate.objects.count() >= 10
    assert Group.objects.count() >= 12
    assert {group.namespace.name for group in Group.objects.select_related("namespace")} == {
        "infrastructure",
        "logical",
        "environment",
    }
    assert not policy.current().compiled.problems


def test_targets_of_different_groups_get_different_rules() -> None:
    load()
    production, staging, development = (
        in_force(host) for host in ("checkout-1", "catalogue-staging-1", "checkout-dev-1")
    )
    assert production["TargetDown"]["severity"] == "critical"
    assert production["TargetDown"]["source"]["scope"] == "environment/production"
    assert staging["TargetDown"]["for_duration"] == "10m"
    assert "TargetDown" not in development
    assert "GpuHot" in in_force("gpu-1")
    assert "GpuHot" not in production
    assert " > 2048" in in_force("control-plane")["ProcessMemoryHigh"]["expr"]
    assert " > 16" in in_force("prometheus")["ProcessMemoryHigh"]["expr"]


def test_a_second_load_writes_nothing() -> None:
    assert "0 changed, 0 unchanged" in load()
    before = PolicyState.current()
    assert load().startswith("0 created, 0 changed")
    assert PolicyState.current() == before


def test_a_load_puts_back_what_was_changed_and_leaves_the_rest() -> None:
    load()
    rule = AlertRule.objects.get(external_id="demo:PrometheusSeriesHigh@environment/staging")
    rules.update(rule.pk, {"config": {"template_vars": {"series": 1}}})
    own = rules.create({"name": "Own", "query_template": "up == 0"})
    assert "1 changed" in load()
    rule.refresh_from_db()
    assert rule.config == {"template_vars": {"series": 1000000}}
    assert AlertRule.objects.living().filter(pk=own.pk).exists()


def test_groups_that_are_there_already_are_used() -> None:
    environment = Namespace.objects.get(name="environment")
    mine = groups.create({"name": "production", "namespace_id": environment.pk, "label_value": "prod"})
    load()
    assert mine.pk in Target.objects.get(hostname="prometheus").group_ids()
    assert 'environment="prod"' in in_force("prometheus")["PrometheusSeriesHigh"]["expr"]


def test_it_is_told_where_the_processes_listen() -> None:
    load("--prometheus-address", "127.0.0.1:19090", "--web-address", "[::1]:18000")
    load("--prometheus-address", "127.0.0.1:19091", "--web-address", "[::1]:18000")
    prometheus, web = (Target.objects.get(hostname=host) for host in ("prometheus", "control-plane"))
    assert (prometheus.address, prometheus.endpoints) == ("127.0.0.1", [{"job": "prometheus", "port": 19091}])
    assert (web.address, web.endpoints) == ("::1", [{"job": "config-server", "port": 18000}])


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:x", ":9090", "http://127.0.0.1:9090", ""])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(CommandError, match="is not host:port"):
        load("--prometheus-address", address)
    assert not Target.objects.exists()


def test_every_template_names_its_source() -> None:
    text = POLICY.read_text("utf-8")
    assert "Alert rules by Samuel Berthe and contributors, CC BY 4.0" in text
    named = ("samber", "node_exporter", "aami", "config-server")
    templates = yaml.safe_load(text)["templates"]
    assert all(template["source"].startswith(named) for template in templates)
    load()
    assert all("Source: " in description for description in AlertTemplate.objects.values_list("description", flat=True))
