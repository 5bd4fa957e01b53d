"""What a change of places does not touch compiles to what it was: random policies, random changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from alerts.domain import recordings
from alerts.domain.compiled import KeyPlan
from alerts.domain.compiler import Options, compile_policy
from alerts.domain.diagram import Node
from alerts.domain.layers import GLOBAL, Group, KeyId, Layer, Namespace, Policy, Scope, Topology
from alerts.domain.place_changes import PlaceChange
from tests.domain import strategies
from tests.domain.policies import BY_ENVIRONMENT, EACH_SERIES, ONE_SUM, TOPOLOGY, env, layer, logical

pytestmark = pytest.mark.timeout(1800)

Places = tuple[tuple[Namespace, ...], tuple[Group, ...]]


# --- random changes ---------------------------------------------------------------------------------------------------


@st.composite
def changed(draw: st.DrawFn, policy: Policy) -> Policy:
    """The policy after one or two changes that its rules allow."""
    for _ in range(draw(st.integers(1, 2))):
        change = draw(st.sampled_from((added_group, gone_group, moved_group, other_namespace, added_namespace)))
        policy = change(draw, policy)
    return policy


def added_group(draw: st.DrawFn, policy: Policy) -> Policy:
    places = policy.topology
    namespace = draw(st.sampled_from(places.namespaces)).name
    parent = draw(st.sampled_from((None, *sorted(places.values(namespace)))))
    return placed(policy, places.namespaces, (*places.groups, Group(namespace, f"new{len(places.groups)}", parent)))


def gone_group(draw: st.DrawFn, policy: Policy) -> Policy:
    held = {(layer.scope.namespace, layer.scope.value) for layer in policy.layers}
    held |= {(group.namespace, group.parent or "") for group in policy.topology.groups}
    free = [group for group in policy.topology.groups if (group.namespace, group.value) not in held]
    if not free:
        return policy
    gone = draw(st.sampled_from(free))
    return placed(policy, policy.topology.namespaces, [group for group in policy.topology.groups if group != gone])


def moved_group(draw: st.DrawFn, policy: Policy) -> Policy:
    places = policy.topology
    group = draw(st.sampled_from(places.groups))
    elsewhere = places.values(group.namespace) - places.subtree(group.namespace, group.value)
    moved = replace(group, parent=draw(st.sampled_from((None, *sorted(elsewhere)))))
    return placed(policy, places.namespaces, [moved if one == group else one for one in places.groups])


def other_namespace(draw: st.DrawFn, policy: Policy) -> Policy:
    """Another name, label or priority."""
    places = policy.topology
    former = draw(st.sampled_from(places.namespaces))
    field, value = draw(
        st.sampled_from((("name", f"{former.name}2"), ("label", f"{former.label}2"), ("priority", 70), ("priority", 5)))
    )
    if field == "name" and any(former.name in layer.partition_by for layer in policy.layers):
        return policy
    namespace = replace(former, **{field: value})
    groups = [replace(one, namespace=namespace.name) if one.namespace == former.name else one for one in places.groups]
    layers = [
        replace(one, scope=replace(one.scope, namespace=namespace.name)) if one.scope.namespace == former.name else one
        for one in policy.layers
    ]
    namespaces = [namespace if one == former else one for one in places.namespaces]
    return placed(replace(policy, layers=tuple(layers)), namespaces, groups)


def added_namespace(draw: st.DrawFn, policy: Policy) -> Policy:
    namespace = Namespace(f"added{len(policy.topology.namespaces)}", "added", draw(st.sampled_from((5, 70, 200))))
    if any(one.label == "added" for one in policy.topology.namespaces):
        return placed(policy, policy.topology.namespaces[:-1], policy.topology.groups)
    return placed(policy, (*policy.topology.namespaces, namespace), policy.topology.groups)


def placed(policy: Policy, namespaces: Sequence[Namespace], groups: Sequence[Group]) -> Policy:
    names = {namespace.name for namespace in namespaces}
    inhabited = {one.namespace for one in groups} | {one.scope.namespace for one in policy.layers} - {""}
    if not inhabited <= names:
        return policy
    return Policy(Topology(tuple(namespaces), tuple(groups)), policy.layers)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Random ones, of whose rules many look at places beside their own."""
    policy = draw(strategies.policies(max_keys=3))
    forced: dict[str, Any] = draw(st.sampled_from(({}, {"partition_by": ("environment",)}, {"allow_split": True})))
    layers = [replace(one, **forced) if one.query and one.kind == "alerting" else one for one in policy.layers]
    return Policy(policy.topology, tuple(layers))


# --- the law ----------------------------------------------------------------------------------------------------------


def touched(change: PlaceChange, policy: Policy) -> set[KeyId]:
    return {layer.key_id for layer in policy.layers if change.touches(layer)}


def meaning(plan: KeyPlan) -> Any:
    """All of a plan but its layers, which know no places."""
    order = [layer.rule_id for layer in plan.layers]
    return order, outline(plan.root), plan.rules, plan.resolved, plan.pieces, plan.dropped, plan.reads, plan.findings


def outline(node: Any) -> Any:
    if type(node) is not Node:
        return node
    return node.label, {value: outline(child) for value, child in node.table.items()}, outline(node.rest)


@given(st.data(), policies(), strategies.options)
def test_a_key_that_is_not_touched_compiles_to_what_it_was(data: st.DataObject, before: Policy, how: Options) -> None:
    after = data.draw(changed(before))
    change = PlaceChange.between(before.topology, after.topology)
    compiled = compile_policy(before, how), compile_policy(after, how)
    for key_id, plan in compiled[1].plans.items():
        same = meaning(compiled[0].plans[key_id]) == meaning(plan)
        if key_id not in touched(change, after):
            assert same, "it was not looked at, though the change touched it"
            event("left alone")
        else:
            event("looked at in vain" if same else "looked at")


@given(st.data(), policies(), strategies.options)
def test_what_is_touched_has_all_that_is_wrong_now(data: st.DataObject, before: Policy, how: Options) -> None:
    after = data.draw(changed(before))
    keys = touched(PlaceChange.between(before.topology, after.topology), after)
    known, compiled = compile_policy(before, how).problems, compile_policy(after, how)
    plans = [plan for key_id, plan in compiled.plans.items() if key_id in keys]
    found = {plan.key_id for plan in plans if plan.findings}
    found |= {key_id for key_id, _ in recordings.problems_of(plans, compiled.plans.values())}
    found |= {key_id for key_id, _ in recordings.problems_of(compiled.plans.values(), plans)}
    assert compiled.problems.keys() - known.keys() <= found <= compiled.problems.keys()


# --- by example -------------------------------------------------------------------------------------------------------


def regrouped(*groups: Group, without: tuple[str, str] | None = None) -> Topology:
    """The topology with these groups beside or in the place of its own."""
    kept = {(group.namespace, group.value): group for group in TOPOLOGY.groups}
    kept |= {(group.namespace, group.value): group for group in groups}
    if without is not None:
        del kept[without]
    return replace(TOPOLOGY, groups=tuple(kept.values()))


def renamed(former: str, **fields: Any) -> Topology:
    namespaces = [replace(one, **fields) if one.name == former else one for one in TOPOLOGY.namespaces]
    return replace(TOPOLOGY, namespaces=tuple(namespaces))


MOVED = regrouped(Group("environment", "production-eu", "staging"))
PARTITIONED = layer(1, query=BY_ENVIRONMENT, partition_by=("environment",))
SPLIT = layer(1, query=ONE_SUM, allow_split=True)


@pytest.mark.parametrize(
    ("after", "written", "touches"),
    [
        (regrouped(Group("environment", "new")), layer(1, query=EACH_SERIES), False),
        (regrouped(Group("environment", "new")), layer(1, env("production"), EACH_SERIES), False),
        (regrouped(Group("environment", "new")), layer(1, Scope("namespace", "environment"), EACH_SERIES), False),
        (regrouped(Group("environment", "new")), PARTITIONED, True),
        (regrouped(Group("logical", "new")), PARTITIONED, False),
        (regrouped(Group("environment", "new", "production")), layer(1, env("production"), EACH_SERIES), True),
        (regrouped(Group("environment", "new", "production")), layer(1, env("production-eu"), EACH_SERIES), False),
        (regrouped(Group("environment", "new", "production-eu")), layer(1, env("production"), EACH_SERIES), True),
        (regrouped(without=("logical", "db")), layer(1, logical("web"), EACH_SERIES), False),
        (MOVED, layer(1, env("production"), EACH_SERIES), True),
        (MOVED, layer(1, env("staging"), EACH_SERIES), True),
        (MOVED, layer(1, env("production-eu"), EACH_SERIES), True),
        (MOVED, layer(1, logical("web"), EACH_SERIES), False),
        (MOVED, PARTITIONED, False),
        (renamed("logical", priority=200), layer(1, logical("web"), EACH_SERIES), True),
        (renamed("logical", priority=200), layer(1, env("staging"), EACH_SERIES), False),
        (renamed("logical", priority=200), SPLIT, False),
        (renamed("logical", label="kind"), layer(1, Scope("namespace", "logical"), EACH_SERIES), True),
        (renamed("logical", label="kind"), layer(1, query=EACH_SERIES), False),
        (renamed("logical", label="kind"), SPLIT, True),
        (renamed("environment", label="stage"), PARTITIONED, True),
        (replace(TOPOLOGY, namespaces=TOPOLOGY.namespaces[1:]), SPLIT, True),
        (replace(TOPOLOGY, namespaces=TOPOLOGY.namespaces[1:]), layer(1, GLOBAL, EACH_SERIES), False),
    ],
)
def test_a_layer_says_which_changes_touch_it(after: Topology, written: Layer, touches: bool) -> None:
    for change in (PlaceChange.between(TOPOLOGY, after), PlaceChange.between(after, TOPOLOGY)):
        assert change.touches(written) == touches
