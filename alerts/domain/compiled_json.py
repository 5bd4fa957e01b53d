"""Compiled rules as JSON and back: what is kept of a key so that it can stay as last compiled."""

from __future__ import annotations

from typing import Any

from alerts.domain.compiled import Branch, CompiledRule
from alerts.domain.layers import Scope
from alerts.domain.regions import Condition, Region

PLAIN = ("kind", "key", "name", "expr", "for_duration", "keep_firing_for", "interval", "file", "group")


def to_json(rule: CompiledRule) -> dict[str, Any]:
    data: dict[str, Any] = {name: getattr(rule, name) for name in PLAIN}
    data["labels"] = dict(rule.labels)
    data["annotations"] = dict(rule.annotations)
    data["scope"] = [rule.scope.level, rule.scope.namespace, rule.scope.value]
    data["branches"] = [
        {
            "region": {
                label: {"in" if condition.include else "not_in": sorted(condition.values)}
                for label, condition in branch.region.conditions
            },
            "query": branch.query,
            "expr": branch.expr,
            "unscoped": list(branch.unscoped),
        }
        for branch in rule.branches
    ]
    return data


def from_json(data: dict[str, Any]) -> CompiledRule:
    return CompiledRule(
        **{name: data[name] for name in PLAIN},
        labels=tuple(sorted(data["labels"].items())),
        annotations=tuple(sorted(data["annotations"].items())),
        scope=Scope(*data["scope"]),
        branches=tuple(_branch(branch) for branch in data["branches"]),
    )


def _branch(data: dict[str, Any]) -> Branch:
    region = Region.of(
        {label: Condition("in" in said, frozenset(next(iter(said.values())))) for label, said in data["region"].items()}
    )
    return Branch(region, data["query"], data["expr"], tuple(data["unscoped"]))
