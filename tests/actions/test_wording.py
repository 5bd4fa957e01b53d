"""What is written once and filled in many times says of each rule and key what is to be said of it."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given

from alerts.actions import effective, groups, rules, wording
from alerts.domain.compiler import Options, compile_policy
from alerts.domain.layers import GLOBAL, Layer, Policy, Topology, Variable
from alerts.domain.resolver import Setting
from alerts.domain.trace import KeyTrace, explain, trace
from tests.domain import strategies
from tests.domain.oracle import Oracle


def written(found: KeyTrace) -> dict[str, Any]:
    """A trace told at once."""

    def set_by(setting: Setting | None) -> dict[str, Any] | None:
        if setting is None:
            return None
        return {"rule_id": setting.layer.rule_id, "scope": setting.layer.scope.text, "part": setting.part}

    return {
        "key": found.plan.key_id[1],
        "kind": found.plan.key_id[0],
        "in_force": "current",
        "dropped": found.dropped,
        "layers": [
            {
                "rule_id": entry.layer.rule_id,
                "scope": entry.layer.scope.text,
                "status": entry.status,
                "name": entry.layer.name,
                "merge_strategy": entry.layer.strategy,
                "priority": entry.layer.priority,
                "enabled": entry.layer.enabled,
                "unused_variables": list(entry.unused),
            }
            for entry in found.layers
        ],
        "fields": {
            path: {
                "value": said.value,
                "set_by": set_by(said.set_by),
                "over": [{"value": setting.value, "set_by": set_by(setting)} for setting in said.over],
            }
            for path, said in found.fields.items()
        },
    }


@given(policy=strategies.policies())
def test_a_trace_is_told_in_full_wherever_its_layers_are_written(policy: Policy) -> None:
    policy = Policy(policy.topology, tuple(sharing(policy.layers)))
    for plan in compile_policy(policy, Options()).plans.values():
        for position in Oracle(policy).positions[::7]:
            found = trace(policy.topology, plan, position)
            if found is not None:
                told = wording.key_traced(plan, [entry.layer for entry in found.layers], found.dropped, None)
                assert told == json.dumps(written(found), ensure_ascii=False, separators=(",", ":")).encode()


def sharing(layers: tuple[Layer, ...]) -> list[Layer]:
    """As they are when they were read from rows: what says the same is one object."""
    known: dict[str, Any] = {}

    def one(value: Any) -> Any:
        return known.setdefault(repr(value), value)

    return [
        replace(
            layer,
            config=one(layer.config),
            default_config=one(layer.default_config),
            variables=one(layer.variables),
        )
        for layer in layers
    ]


NOTHING: dict[str, Any] = {}
ALIKE = Layer(1, "alerting", "Same", GLOBAL, query="up == 0", default_config=NOTHING, config=NOTHING)
OTHERWISE: list[dict[str, Any]] = [
    {},
    {"name": "Other"},
    {"query": "up == 1"},
    {"severity": "info"},
    {"enabled": True},
    {"strategy": "merge"},
    {"priority": 7},
    *({"config": {"template_vars": {"v": value}}} for value in (1, 1.0, True)),
    *({"default_config": {"template_vars": {"v": value}}} for value in (0, 0.0, False)),
    *({"variables": (Variable("v", "number", value),)} for value in (1, 1.0)),
]


@pytest.mark.parametrize("again", range(2))
@pytest.mark.parametrize("otherwise", OTHERWISE, ids=map(str, OTHERWISE))
def test_a_layer_that_differs_in_one_word_is_told_by_itself(otherwise: dict[str, Any], again: int) -> None:
    layer = replace(ALIKE, **otherwise)
    plan = compile_policy(Policy(Topology(), (layer,)), Options()).plans["alerting", "Same"]
    told = json.loads(wording.key_traced(plan, [layer], None, None))
    assert repr(told) == repr(written(explain(plan, [layer], None)))


def test_rules_that_say_the_same_in_two_groups_are_told_apart(world: SimpleNamespace) -> None:
    paris = groups.create({"name": "paris", "namespace_id": world.site.pk, "parent_id": world.europe.pk})
    other = rules.create({"name": "HighLoad", "group_id": paris.pk, "query_template": "load1 > 4"})
    for group, rule, scope in ((world.berlin, world.rule, "site/berlin"), (paris, other, "site/paris")):
        [found] = effective.effective_for_groups([group.pk])["rules"]
        assert found["source"] == {"rule_id": rule.pk, "scope": scope}
        [key] = effective.trace_for_groups([group.pk])["keys"]
        assert [(layer["rule_id"], layer["scope"]) for layer in key["layers"]] == [(rule.pk, scope)]
        assert {field["set_by"]["scope"] for field in key["fields"].values()} == {scope}
