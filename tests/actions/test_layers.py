"""Rows as layers: one by one and all at once they come out the same."""

from __future__ import annotations

from dataclasses import asdict
from types import SimpleNamespace

from alerts.actions import groups, rules
from alerts.actions.layers import layer_of, load_layers, load_topology
from alerts.domain.layers import GLOBAL, Group, Scope
from alerts.models import AlertRule


def test_layers_are_the_same_one_by_one_and_at_once(world: SimpleNamespace) -> None:
    variables = [{"name": "x", "type": "enum", "values": ["a", "b"], "default": "a"}]
    rules.create(
        {
            "name": "Everything",
            "key": "everything",
            "query_template": 'm{a="{{ .x }}"} unless on (target) guard',
            "variables": variables,
            "unscoped": ["guard"],
            "partition_by": ["site"],
            "allow_split": True,
            "enabled": False,
            "priority": -5,
            "severity": "critical",
            "config": {"labels": {"team": "größe"}, "interval": "30s"},
            "default_config": {"for_duration": "5m"},
            "namespace_id": world.stage.pk,
        }
    )
    rules.create({"key": "HighLoad", "target_id": world.web.pk, "config": {"labels": {"a": "b"}}})
    rows = AlertRule.objects.living().order_by("id")
    assert [asdict(layer) for layer in load_layers()] == [asdict(layer_of(row)) for row in rows]
    assert {layer.scope for layer in load_layers()} == {
        Scope("group", "site", "berlin"),
        Scope("namespace", "stage"),
        Scope("target", "", "web-1"),
    }


def test_a_rule_without_a_scope_is_global(world: SimpleNamespace) -> None:
    row = rules.create({"name": "A", "query_template": "up"})
    assert layer_of(row).scope == GLOBAL


def test_the_deleted_say_nothing(world: SimpleNamespace) -> None:
    rules.delete([world.rule.pk])
    gone = groups.create({"name": "gone", "namespace_id": world.site.pk})
    groups.delete([gone.pk])
    assert load_layers() == []
    assert load_topology().values("site") == {"europe", "berlin"}


def test_the_topology_knows_parents_by_their_values(world: SimpleNamespace) -> None:
    groups.update(world.europe.pk, {"name": "Europa"})
    topology = load_topology()
    assert Group("site", "berlin", "europe") in topology.groups
    assert topology.subtree("site", "europe") == {"europe", "berlin"}
    assert topology.namespace_by_name["site"].label == "site"
