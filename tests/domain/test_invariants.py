"""The five invariants (docs/architecture.md) over random policies, in both layouts, against the oracle."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from alerts.domain.compiled import Branch, CompiledRule, KeyPlan
from alerts.domain.compiled_json import from_json, to_json
from alerts.domain.compiler import CompiledPolicy, Options, compile_policy
from alerts.domain.layers import KeyId, Layer, Policy, Topology
from alerts.domain.layout import LAYOUTS, Layout
from alerts.domain.promql.expression import parse
from alerts.domain.promql.injection import inject
from alerts.domain.regions import Region
from alerts.domain.renderer import render
from alerts.domain.trace import trace
from tests.domain import oracle, strategies
from tests.domain.oracle import Oracle, Rule
from tests.domain.series import Sample, evaluate, evaluate_rule, labels_of

Position = Mapping[str, str]

T = TypeVar("T")

pytestmark = pytest.mark.timeout(1800)  # with --full: 5,000 policies each
layouts = st.sampled_from(LAYOUTS)


def readers(plan: KeyPlan, position: Position) -> list[tuple[CompiledRule, Branch]]:
    """Every branch of every rule that reads the series at a position."""
    return [(rule, branch) for rule in plan.rules for branch in rule.branches if branch.region.holds(position)]


def is_dropped(plan: KeyPlan, position: Position) -> bool:
    return any(left_out.region.holds(position) for left_out in plan.dropped.get(plan.chain(position), ()))


def can_see(rule: Rule, position: Position) -> bool:
    """Whether the query as its author wrote it could find a series at this position."""
    return bool(evaluate(rule.query, [(labels_of({**position, "x": "y"}.items()), 100.0)]))


def of(piece: tuple[CompiledRule, Branch], topology: Topology) -> Rule:
    """A compiled piece in the oracle's words; the labels that the compiler itself gives are left out."""
    rule, branch = piece
    own = (topology.scope_label, *topology.position_labels)
    return Rule(
        name=rule.name,
        query=branch.query,
        for_duration=rule.for_duration,
        keep_firing_for=rule.keep_firing_for,
        interval=rule.interval,
        labels=tuple(pair for pair in rule.labels if pair[0] not in own),
        annotations=rule.annotations,
        unscoped=branch.unscoped,
        partition_by=(),
        allow_split=False,
    )


def healthy(compiled: CompiledPolicy) -> dict[KeyId, KeyPlan]:
    plans = {key_id: plan for key_id, plan in compiled.plans.items() if not plan.findings}
    for plan in compiled.plans.values():
        event("compiles" if not plan.findings else f"refused: {plan.findings[0].code}")
    return plans


# --- (a) and (b) ------------------------------------------------------------------------------------------------------


@given(policy=strategies.policies(), layout=layouts)
def test_each_position_is_read_once_by_a_piece_that_equals_the_fold(policy: Policy, layout: Layout) -> None:
    told = Oracle(policy)
    compiled = compile_policy(policy, Options(layout=layout))
    for key_id, plan in healthy(compiled).items():
        for position in told.positions:
            expected, found = told.rule(key_id, position), readers(plan, position)
            if expected is None:
                assert found == [], "something muted or never written is evaluated"
            elif found:
                assert len(found) == 1, "two pieces read the same series"
                piece = found[0]
                assert of(piece, policy.topology) == replace(expected, partition_by=(), allow_split=False)
                # Identities: equal pieces of two rules would satisfy ==.
                assert plan.piece(position) is not None
                assert all(one is other for one, other in zip(plan.piece(position) or (), piece, strict=True))
            else:
                assert is_dropped(plan, position), "nobody reads a series that has a rule"
                assert not can_see(expected, position), "a piece was dropped that could have matched"
                assert plan.piece(position) is None


@given(policy=strategies.policies(), layout=layouts)
def test_each_branch_says_in_promql_what_its_region_means(policy: Policy, layout: Layout) -> None:
    for rule in compile_policy(policy, Options(layout=layout)).rules:
        for branch in rule.branches:
            assert branch.expr == inject(parse(branch.query), branch.region.matchers(), branch.unscoped)
            assert branch.expr in rule.expr
            # Every selector that carries a position has the matchers of the region, and they hold exactly there.
            for selector in parse(branch.expr).selectors:
                if selector.name in branch.unscoped:
                    continue
                for position in oracle.positions(policy)[::7]:
                    own = [m for m in selector.matchers if m in branch.region.matchers()]
                    assert all(m.accepts(position[m.label]) for m in own) == branch.region.holds(position)
        assert parse(rule.expr), "what was joined can be read"


@given(policy=strategies.policies(), layout=layouts)
def test_a_partition_label_says_where_the_piece_reads(policy: Policy, layout: Layout) -> None:
    for rule in compile_policy(policy, Options(layout=layout)).rules:
        for label, value in rule.labels:
            if label in policy.topology.position_labels:
                for branch in rule.branches:
                    assert branch.region.condition(label).values == {value}


@given(policy=strategies.policies(), chance=st.randoms(use_true_random=False), layout=layouts)
def test_evaluating_in_pieces_loses_and_adds_nothing(policy: Policy, chance: random.Random, layout: Layout) -> None:
    """Prometheus' view of it: a few targets, every rule evaluated, against the folds evaluated whole."""
    told = Oracle(policy)
    compiled = compile_policy(policy, Options(layout=layout))
    samples = [(position, sample) for position in targets(told, chance) for sample in series_of(position, chance)]
    for key_id, plan in healthy(compiled).items():
        rules = {told.rule(key_id, position) for position in told.positions}
        if any(rule and (rule.allow_split or rule.partition_by) for rule in rules):
            continue  # whose author asked for another meaning
        parts: dict[tuple[Rule, Layer], list[Sample]] = {}
        for position, sample in samples:
            chain = told.chain(key_id, position)
            rule = told.rule_of(chain)
            if rule is not None:
                parts.setdefault((rule, _giver(told, chain)), []).append(sample)
        expected = {
            (rule.name, rule.labels, *one)
            for (rule, _), inside in parts.items()
            for one in evaluate(rule.query, inside)
        }
        actual = set()
        for compiled_rule in plan.rules:
            found, swallowed = evaluate_rule(compiled_rule, [sample for _, sample in samples])
            assert not swallowed, "an `or` hides one piece's series behind another's"
            rule = of((compiled_rule, compiled_rule.branches[0]), policy.topology)
            actual |= {(rule.name, rule.labels, *one) for one in found}
        assert actual == expected


def targets(told: Oracle, chance: random.Random) -> list[Position]:
    """Each host at one position, as the product has it: those that rules mention and one nobody mentions everywhere."""
    hosts = {position["target"] for position in told.positions}
    return [
        chance.choice(there) if host != oracle.OTHER else position
        for host in sorted(hosts - {""})
        for there in [[position for position in told.positions if position["target"] == host]]
        for position in (there if host == oracle.OTHER else there[:1])
    ]


def series_of(position: Position, chance: random.Random) -> list[Sample]:
    """Two series of the metric ``m``. ``instance`` tells hosts apart, also those that nobody mentions."""
    labels = dict(position)
    if labels["target"] == oracle.OTHER:
        labels["target"] = f"host in {[*position.values()]}"
    labels["instance"] = labels["target"] + ":9100"
    return [(labels_of({**labels, "disk": disk}.items()), float(chance.randint(1, 4))) for disk in ("a", "b")]


def _giver(told: Oracle, chain: list[Layer]) -> Layer:
    """The layer that made the rule what it is at a position: stronger ones there changed nothing about it."""
    while len(chain) > 1 and chain[-1].query is None and told.rule_of(chain[:-1]) == told.rule_of(chain):
        chain = chain[:-1]
    return chain[-1]


# --- (c) --------------------------------------------------------------------------------------------------------------


@given(both=strategies.policies_with_one_more(), layout=layouts)
def test_a_layer_changes_nothing_outside_its_scope(both: tuple[Policy, Layer], layout: Layout) -> None:
    policy, layer = both
    more = Policy(policy.topology, (*policy.layers, layer))
    before, after = (compile_policy(each, Options(layout=layout)).plans[layer.key_id] for each in (policy, more))
    if before.findings or after.findings:
        event("refused")
        return
    event("compiles")
    told = Oracle(more)
    for position in told.positions:
        if oracle.applies(more, layer.scope, position):
            continue
        one, other = before.piece(position), after.piece(position)
        rule = told.rule(layer.key_id, position)
        if (one is None) != (other is None):
            assert rule is not None
            assert not can_see(rule, position), "a layer at another scope took the rule away, or gave one"
        elif one is not None and other is not None:
            assert _as_alertmanager_and_timers_see_it(one) == _as_alertmanager_and_timers_see_it(other)
            assert one[1].query == other[1].query


def _as_alertmanager_and_timers_see_it(piece: tuple[CompiledRule, Branch]) -> tuple[object, ...]:
    rule, _ = piece
    lasting = (rule.for_duration, rule.keep_firing_for, rule.interval, rule.annotations)
    return (rule.identity, rule.file, rule.group, rule.scope, *lasting)


# --- (d) --------------------------------------------------------------------------------------------------------------


def shuffled(policy: Policy, seed: int) -> Policy:
    """The same policy, written down in another order with other ids."""
    chance = random.Random(seed)

    def mixed(items: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(chance.sample(items, len(items)))

    topology = replace(
        policy.topology, namespaces=mixed(policy.topology.namespaces), groups=mixed(policy.topology.groups)
    )
    ids = chance.sample(range(1000), len(policy.layers))
    layers = mixed(tuple(replace(layer, rule_id=number) for layer, number in zip(policy.layers, ids, strict=True)))
    return Policy(topology, layers)


@given(policy=strategies.policies(max_keys=3), seed=st.integers(0, 2**32), layout=layouts)
def test_the_same_policy_gives_the_same_bytes_whatever_the_order_of_creation(
    policy: Policy, seed: int, layout: Layout
) -> None:
    one, other = (compile_policy(each, Options(layout=layout)) for each in (policy, shuffled(policy, seed)))
    assert {name: file.content for name, file in render(one.rules).items()} == {
        name: file.content for name, file in render(other.rules).items()
    }
    assert {key: [f.code for f in plan.findings] for key, plan in one.plans.items()} == {
        key: [f.code for f in plan.findings] for key, plan in other.plans.items()
    }


# --- (e) --------------------------------------------------------------------------------------------------------------


@given(policy=strategies.policies(), layout=layouts)
def test_no_two_rules_of_a_key_share_an_identity(policy: Policy, layout: Layout) -> None:
    for plan in compile_policy(policy, Options(layout=layout)).plans.values():
        identities = [rule.identity for rule in plan.rules]
        assert len(set(identities)) == len(identities)
        assert all(len(rule.branches) <= 50 for rule in plan.rules)


# --- the division itself ----------------------------------------------------------------------------------------------


@given(policy=strategies.policies(max_keys=1))
def test_the_diagram_divides_positions_as_the_recursion_does(policy: Policy) -> None:
    plan = next(iter(compile_policy(policy, Options()).plans.values()))
    if plan.root is None:
        return
    chains: dict[tuple[tuple[str, str], ...], tuple[Layer, ...]] = {}
    for region, chain in oracle.regions(policy, policy.layers):
        for position in oracle.positions(policy):
            if all(position[label] in values for label, values in region.items()):
                assert tuple(position.items()) not in chains, "regions of the recursion overlap"
                chains[tuple(position.items())] = chain
    for position in oracle.positions(policy):
        expected = chains.get(tuple(position.items()), ())
        assert tuple(plan.layers[index] for index in plan.chain(position)) == expected


@given(policy=strategies.policies(), layout=layouts)
def test_a_rules_regions_are_disjoint_and_canonical(policy: Policy, layout: Layout) -> None:
    for rule in compile_policy(policy, Options(layout=layout)).rules:
        for branch in rule.branches:
            assert branch.region == Region.of(branch.region.conditions)
            assert not branch.region.is_empty
        for index, branch in enumerate(rule.branches):
            for other in rule.branches[index + 1 :]:
                assert branch.region.intersect(other.region).is_empty


# --- neighbours: incremental compile, JSON, trace ---------------------------------------------------------------------


@given(both=strategies.policies_with_one_more(), layout=layouts)
def test_an_incremental_compile_equals_a_full_one(both: tuple[Policy, Layer], layout: Layout) -> None:
    policy, layer = both
    bystander = replace(layer, key="bystander", rule_id=500, strategy="merge")
    options = Options(layout=layout)
    first = compile_policy(Policy(policy.topology, (*policy.layers, bystander)), options)
    changed = Policy(policy.topology, (*policy.layers, bystander, layer))
    step, whole = compile_policy(changed, options, first), compile_policy(changed, options)
    assert step.plans[bystander.key_id] is first.plans[bystander.key_id]
    assert step.rules == whole.rules
    assert step.problems == whole.problems
    files = render(step.rules, render(first.rules))
    assert {name: file.content for name, file in files.items()} == {
        name: file.content for name, file in render(whole.rules).items()
    }


@given(policy=strategies.policies(), layout=layouts)
def test_compiled_rules_survive_json(policy: Policy, layout: Layout) -> None:
    for rule in compile_policy(policy, Options(layout=layout)).rules:
        assert from_json(to_json(rule)) == rule


@given(policy=strategies.policies())
def test_a_trace_tells_the_fold(policy: Policy) -> None:
    told = Oracle(policy)
    compiled = compile_policy(policy, Options())
    for key_id, plan in compiled.plans.items():
        for position in told.positions[:: max(1, len(told.positions) // 60)]:
            traced = trace(policy.topology, plan, position)
            applying = [layer for layer in told.keys[key_id] if oracle.applies(policy, layer.scope, position)]
            if traced is None:
                assert not applying
                continue
            assert [entry.layer for entry in traced.layers] == sorted(
                applying, key=lambda layer: oracle.strength(policy.topology, layer), reverse=True
            )
            chain = told.chain(key_id, position)
            rule = told.rule_of(chain)
            for entry in traced.layers:
                in_chain = entry.layer in chain
                weaker = chain[: chain.index(entry.layer)] if in_chain else []
                orphan = in_chain and entry.layer.query is None and not any(layer.query for layer in weaker)
                assert (entry.status == "overridden") == (not in_chain)
                assert (entry.status == "orphan") == orphan
            if not any(layer.query for layer in chain):
                assert not traced.fields
                continue
            statuses = {entry.status for entry in traced.layers}
            assert ("disabled" in statuses) == (rule is None)
            if rule is not None:
                assert traced.fields["name"].value == rule.name
                for path in ("for_duration", "keep_firing_for", "interval"):
                    field = traced.fields.get(path)
                    assert (field.value if field else None) == getattr(rule, path)
                labels = {
                    path.removeprefix("labels.")
                    for path, field in traced.fields.items()
                    if path.startswith("labels.") and field.value is not None
                }
                assert labels == {name for name, _ in rule.labels} - {"severity"}
                for field in traced.fields.values():
                    assert field.set_by is None or field.set_by.layer in chain
