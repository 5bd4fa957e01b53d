"""Small policies for tests by table: one way to write a layer, three to write a scope."""

from __future__ import annotations

from typing import Any

from alerts.domain.compiled import CompiledRule, KeyPlan
from alerts.domain.compiler import CompiledPolicy, Options, compile_policy
from alerts.domain.layers import GLOBAL, Group, Layer, Namespace, Policy, Scope, Topology, Variable
from alerts.domain.layout import Layout

TOPOLOGY = Topology(
    (
        Namespace("infrastructure", "infrastructure", 10),
        Namespace("logical", "logical", 50),
        Namespace("environment", "environment", 100),
    ),
    (
        Group("environment", "production"),
        Group("environment", "production-eu", "production"),
        Group("environment", "staging"),
        Group("logical", "web"),
        Group("logical", "db"),
        Group("infrastructure", "metal"),
    ),
)
THRESHOLD = (Variable("threshold", "number", 80),)
EACH_SERIES = "cpu_usage > {{ .threshold }}"
ONE_SUM = "sum(cpu_usage) > {{ .threshold }}"
BY_ENVIRONMENT = "sum by (environment) (cpu_usage) > {{ .threshold }}"


def env(value: str) -> Scope:
    return Scope("group", "environment", value)


def logical(value: str) -> Scope:
    return Scope("group", "logical", value)


def host(name: str) -> Scope:
    return Scope("target", "", name)


def layer(rule_id: int, scope: Scope = GLOBAL, query: str | None = None, **fields: Any) -> Layer:
    """A layer of the key CPU; with a query it overrides and declares ``threshold``, without one it merges."""
    given: dict[str, Any] = {
        "kind": "alerting",
        "key": "CPU",
        "strategy": "override" if query else "merge",
        "variables": THRESHOLD if query else (),
    }
    return Layer(rule_id=rule_id, scope=scope, query=query, **(given | fields))


def threshold(value: int) -> dict[str, Any]:
    return {"template_vars": {"threshold": value}}


def recording(rule_id: int, name: str, query: str, scope: Scope = GLOBAL, **fields: Any) -> Layer:
    return layer(rule_id, scope, query, kind="recording", key=name, name=name, variables=(), **fields)


def compiled(
    *layers: Layer, layout: Layout = "per-scope", topology: Topology = TOPOLOGY, **options: Any
) -> CompiledPolicy:
    return compile_policy(Policy(topology, layers), Options(layout=layout, **options))


def plan_of(*layers: Layer, layout: Layout = "per-scope", topology: Topology = TOPOLOGY) -> KeyPlan:
    """The plan of the first layer's key."""
    return compiled(*layers, layout=layout, topology=topology).plans[layers[0].key_id]


def scope_labels(plan: KeyPlan) -> list[str | None]:
    """What tells the rules of a key apart, in order."""
    return sorted((dict(rule.labels).get("policy_scope") for rule in plan.rules), key=str)


def codes(plan: KeyPlan) -> list[str]:
    return [finding.code for finding in plan.findings]


def the_rule(plan: KeyPlan, label: str | None) -> CompiledRule:
    """The one with this scope label."""
    (found,) = [rule for rule in plan.rules if dict(rule.labels).get("policy_scope") == label]
    return found
