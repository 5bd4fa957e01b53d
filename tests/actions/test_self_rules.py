"""The rules on the control plane itself: loaded as policy, again and again."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from alerts.actions import fleet_findings, groups, policy, rules, self_rules, wanted
from alerts.domain.errors import PolicyConflict
from alerts.domain.fleet_splits import AS_SAID
from alerts.models import AlertRule, Namespace, PolicyState, PrometheusServer

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def judged_by_promtool(settings: Any, promtool: Any) -> None:
    policy.forget()
    settings.PROMTOOL_PATH = str(promtool)


def load() -> str:
    out = StringIO()
    call_command("load_self_rules", stdout=out)
    return out.getvalue().strip()


def of(name: str) -> AlertRule:
    found: AlertRule = AlertRule.objects.living().get(external_id=f"self:{name}")
    return found


def test_the_pack_compiles_without_a_matcher_on_anything() -> None:
    assert load() == f"{len(self_rules.pack())} created, 0 changed, 0 unchanged, 0 deleted"
    compiled = policy.current().compiled
    assert not compiled.problems
    assert {rule.name for rule in compiled.rules} == {rule["name"] for rule in self_rules.pack()}
    assert not any("environment" in branch.expr for rule in compiled.rules for branch in rule.branches)


def test_a_second_load_writes_nothing() -> None:
    load()
    before = PolicyState.current()
    assert load().startswith("0 created, 0 changed")
    assert PolicyState.current() == before


def test_a_load_renews_what_the_pack_says_and_leaves_what_people_set(monkeypatch: pytest.MonkeyPatch) -> None:
    load()
    mine = {"config": {"template_vars": {"seconds": 30}}, "enabled": False, "priority": 120}
    rules.update(of("ConfigServerServerBehind").pk, mine)
    newer = [{**rule, "query_template": rule["query_template"] + " + 0"} for rule in self_rules.pack()]
    monkeypatch.setattr(self_rules, "pack", lambda: newer)
    assert load() == f"0 created, {len(newer)} changed, 0 unchanged, 0 deleted"
    row = of("ConfigServerServerBehind")
    assert row.query_template is not None
    assert row.query_template.endswith("+ 0")
    assert (row.config, row.enabled, row.priority) == (mine["config"], False, 120)


def test_a_rule_that_the_pack_has_no_more_goes_and_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    own = rules.create({"name": "Own", "query_template": "up == 0"})
    load()
    fewer = self_rules.pack()[1:]
    monkeypatch.setattr(self_rules, "pack", lambda: fewer)
    assert load().endswith("1 deleted")
    assert AlertRule.objects.living().filter(pk=own.pk).exists()
    assert AlertRule.objects.living().count() == len(fewer) + 1


def test_a_narrower_layer_is_refused_since_the_metrics_have_no_position() -> None:
    load()
    environment = Namespace.objects.get(name="environment")
    group = groups.create({"name": "lab", "namespace_id": environment.pk})
    with pytest.raises(PolicyConflict, match="no series that carry a position"):
        rules.create({"key": "ConfigServerDown", "group_id": group.pk, "config": {"severity": "info"}})


def test_every_server_of_a_split_fleet_gets_the_whole_pack_unchanged() -> None:
    """Which of them scrapes the control plane is for people to decide; the others find nothing, and it is said."""
    load()
    environment = Namespace.objects.get(name="environment")
    names = {rule["name"] for rule in self_rules.pack()}
    for name in ("live", "lab"):
        groups.create({"name": name, "namespace_id": environment.pk})
        PrometheusServer.objects.create(name=name, url=f"http://{name}:9090", selector={"environment": [name]})
    PrometheusServer.objects.filter(name="default").update(enabled=False)
    said = fleet_findings.findings()["needs_several_servers"]
    assert {rule["name"] for rule in said} == names
    assert all(AS_SAID in str(rule) for rule in said), "none is cut to pieces"
    assert fleet_findings.warnings("live", policy.current()) == [], "of which no release needs to speak"
    for name in ("live", "lab"):
        found = wanted.wanted(server=name)
        written = [rule for file in found.files.values() for group in file.groups for rule in group.rules]
        assert {rule.name for rule in written} == names
        assert not any("environment" in branch.expr for rule in written for branch in rule.branches)
    rules.create({"name": "Always", "query_template": "vector(1)"})
    (warning,) = fleet_findings.warnings("live", policy.current())
    assert warning["key"] == "Always"


def test_severities_are_those_of_the_installation(settings: Any) -> None:
    settings.SEVERITIES = ("page", "ticket")
    load()
    assert {rule.severity for rule in AlertRule.objects.living()} == {"page", "ticket"}


def test_a_key_that_is_taken_is_said() -> None:
    rules.create({"name": "ConfigServerDown", "query_template": "up == 0"})
    with pytest.raises(CommandError, match="cannot be loaded"):
        load()
