"""The promise over several servers: random policies, random selectors, the oracle; both layouts."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from alerts.domain.compiler import CompiledPolicy, Options, compile_policy
from alerts.domain.fleet import ServerView
from alerts.domain.fleet_splits import SplitAnalysis
from alerts.domain.layers import GLOBAL, Layer, Policy, Scope, Topology
from alerts.domain.layout import LAYOUTS, Layout
from alerts.domain.promql.expression import parse
from alerts.domain.promql.injection import inject
from alerts.domain.regions import Region
from alerts.domain.renderer import render
from alerts.domain.server_selectors import check_selector, selector_region
from tests.domain import oracle, strategies
from tests.domain.oracle import Oracle
from tests.domain.series import evaluate_rule
from tests.domain.test_invariants import can_see, healthy, is_dropped, of, series_of, targets

pytestmark = pytest.mark.timeout(1800)  # with --full: 5,000 policies each
layouts = st.sampled_from(LAYOUTS)
Selector = dict[str, Any]
Position = Mapping[str, str]


def selectors(topology: Topology) -> st.SearchStrategy[Selector]:
    """One entry at most per namespace; often none, so that servers overlap."""

    def entry(name: str) -> st.SearchStrategy[Any]:
        known = ["", *sorted(topology.values(name))]
        listed = st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True)
        return listed | listed.map(lambda values: {"not_in": values})

    names = [namespace.name for namespace in topology.namespaces]
    return st.fixed_dictionaries({}, optional={name: entry(name) for name in names})


@st.composite
def fleets(draw: st.DrawFn, max_keys: int = 2) -> tuple[Policy, dict[str, Selector]]:
    """Servers with selectors of their own, or one selector and the rest of that namespace: disjoint, all there is."""
    policy = draw(strategies.policies(max_keys=max_keys))
    if draw(st.booleans()):
        values = draw(st.lists(st.sampled_from(["", *sorted(policy.topology.values("environment"))]), min_size=1))
        return policy, {"a": {"environment": values}, "b": {"environment": {"not_in": values}}}
    found = draw(st.lists(selectors(policy.topology), min_size=1, max_size=3))
    return policy, {f"server{number}": selector for number, selector in enumerate(found)}


def regions_of(policy: Policy, fleet: dict[str, Selector]) -> dict[str, Region]:
    assert all(check_selector(policy.topology, selector) == [] for selector in fleet.values())
    return {name: selector_region(policy.topology, selector) for name, selector in fleet.items()}


def holds(topology: Topology, selector: Selector, position: Position) -> bool:
    """What a selector means, taken literally: without regions."""
    for name, said in selector.items():
        (label,) = [namespace.label for namespace in topology.namespaces if namespace.name == name]
        values = said["not_in"] if isinstance(said, dict) else said
        above = oracle.ancestors(topology, name, position[label]) if position[label] else [""]
        if (not set(above).isdisjoint(values)) == isinstance(said, dict):
            return False
    return True


@given(both=fleets(), layout=layouts)
def test_each_position_is_read_once_on_each_server_that_holds_it_and_on_no_other(
    both: tuple[Policy, dict[str, Selector]], layout: Layout
) -> None:
    policy, fleet = both
    told = Oracle(policy)
    compiled = compile_policy(policy, Options(layout=layout))
    plans = healthy(compiled)
    for name, region in regions_of(policy, fleet).items():
        view = ServerView(compiled, region)
        assert not view.problems
        for key_id, plan in plans.items():
            rules = view.rules_of(key_id)
            for position in told.positions:
                expected = told.rule(key_id, position) if holds(policy.topology, fleet[name], position) else None
                found = [(rule, branch) for rule in rules for branch in rule.branches if branch.region.holds(position)]
                piece = view.piece(plan, position)
                if expected is None:
                    assert found == [], "evaluated where the server has nothing, or nothing is in force"
                    assert piece is None
                elif found:
                    assert len(found) == 1, "two pieces read the same series"
                    assert of(found[0], policy.topology) == replace(expected, partition_by=(), allow_split=False)
                    assert piece is not None
                    assert all(one is other for one, other in zip(piece, found[0], strict=True))
                else:
                    assert piece is None
                    assert not can_see(expected, position), "nobody reads a series that has a rule"
                    assert is_dropped(plan, position) or plan.piece(position) is not None


@given(both=fleets(), layout=layouts)
def test_each_branch_says_what_its_region_means_and_a_rule_stays_what_it_is(
    both: tuple[Policy, dict[str, Selector]], layout: Layout
) -> None:
    policy, fleet = both
    compiled = compile_policy(policy, Options(layout=layout))
    whole = {(rule.identity, rule.key): rule for rule in compiled.rules}
    for region in regions_of(policy, fleet).values():
        rules = ServerView(compiled, region).rules
        for rule in rules:
            source = whole[rule.identity, rule.key]
            assert replace(rule, expr=source.expr, branches=source.branches) == source
            assert parse(rule.expr)
            for branch in rule.branches:
                assert not branch.region.is_empty
                assert branch.region.intersect(region) == branch.region
                assert branch.expr == inject(parse(branch.query), branch.region.matchers(), branch.unscoped)
                assert branch.expr in rule.expr
        identities = [(rule.key, rule.identity) for rule in rules]
        assert len(set(identities)) == len(identities)
        order = [rule.identity for rule in compiled.rules]
        assert [rule.identity for rule in rules] == [one for one in order if one in {rule.identity for rule in rules}]


@given(policy=strategies.policies(), layout=layouts)
def test_a_server_without_a_selector_evaluates_what_is_compiled(policy: Policy, layout: Layout) -> None:
    compiled = compile_policy(policy, Options(layout=layout))
    assert ServerView(compiled, selector_region(policy.topology, {})).rules is compiled.rules


@given(both=fleets(), chance=st.randoms(use_true_random=False), layout=layouts)
def test_what_is_not_reported_means_on_the_servers_together_what_it_means_on_one(
    both: tuple[Policy, dict[str, Selector]], chance: random.Random, layout: Layout
) -> None:
    policy, fleet = both
    told = Oracle(policy)
    compiled = compile_policy(policy, Options(layout=layout))
    regions = regions_of(policy, fleet)
    reported = {(split.kind, split.key, split.name) for split in SplitAnalysis(compiled, regions).rules}
    event("reported" if reported else "nothing reported")
    samples = [sample for position in targets(told, chance) for sample in series_of(position, chance)]
    held = {name: [one for one in samples if region.holds(dict(one[0]))] for name, region in regions.items()}
    anywhere = [one for one in samples if any(one in part for part in held.values())]
    views = {name: ServerView(compiled, region) for name, region in regions.items()}
    forced = {layer.key_id for layer in policy.layers if layer.allow_split}
    for rule in compiled.rules:
        if (rule.kind, rule.key, rule.name) in reported or (rule.kind, rule.key) in forced:
            continue
        actual = set()
        evaluated = False
        for name, view in views.items():
            for mine in view.rules_of((rule.kind, rule.key)):
                if mine.identity == rule.identity:
                    evaluated = True
                    actual |= evaluate_rule(mine, held[name])[0]
        if evaluated:
            assert actual == evaluate_rule(rule, anywhere)[0]
        elif "absent" not in rule.expr:
            assert not evaluate_rule(rule, anywhere)[0]


# --- memory -----------------------------------------------------------------------------------------------------------


def same_on_every_server(policy: CompiledPolicy, before: CompiledPolicy, regions: Mapping[str, Region]) -> None:
    """The views of a changed policy, made of those before it, against ones made from nothing."""
    known = {name: ServerView(before, region) for name, region in regions.items()}
    for name, region in regions.items():
        view, fresh = ServerView(policy, region, known[name]), ServerView(policy, region)
        assert view.rules == fresh.rules
        assert view.problems == fresh.problems
        step, whole = render(view.rules, render(known[name].rules)), render(fresh.rules)
        assert {file: one.content for file, one in step.items()} == {file: one.content for file, one in whole.items()}
        for key_id, plan in policy.plans.items():
            if before.plans.get(key_id) is plan and fresh.rules_of(key_id) == known[name].rules_of(key_id):
                kept = zip(view.rules_of(key_id), known[name].rules_of(key_id), strict=True)
                assert all(one is other for one, other in kept), "a rule that did not change was made again"
    assert SplitAnalysis(policy, regions, SplitAnalysis(before, regions)).rules == SplitAnalysis(policy, regions).rules


@given(both=strategies.policies_with_one_more(), data=st.data(), layout=layouts)
def test_an_incremental_view_equals_a_full_one(both: tuple[Policy, Layer], data: st.DataObject, layout: Layout) -> None:
    policy, layer = both
    bystander = replace(layer, key="bystander", rule_id=500, strategy="merge")
    first = compile_policy(Policy(policy.topology, (*policy.layers, bystander)), Options(layout=layout))
    changed = Policy(policy.topology, (*policy.layers, bystander, layer))
    fleet = {name: data.draw(selectors(policy.topology)) for name in ("a", "b")}
    same_on_every_server(compile_policy(changed, first.options, first), first, regions_of(policy, fleet))


RECORDED = (
    "sum by (job) (m)",
    "sum by (environment) (m)",
    "m * 2",
    "r:0 * 2",
    "r:1 * 2",
    "r:2 + on(job) r:0",
    "r:0 / r:1",
    'ALERTS{alertname="a3"} * 2',
    "label_replace(r:2, 'environment', 'x', 'job', '.*')",
)
READING = (
    "r:0 < 3",
    "sum by (logical) (r:1) < 3",
    "m unless r:2",
    "r:0 and r:1",
    'absent(ALERTS{alertname="a4"})',
    "m > 1",
)


@st.composite
def recordings(draw: st.DrawFn) -> list[Layer]:
    """Three recordings that read each other as it comes, and three alerts that read them."""
    found = []
    for number in range(6):
        kind, key, queries = (
            ("recording", f"r:{number}", RECORDED) if number < 3 else ("alerting", f"a{number}", READING)
        )
        query = draw(st.sampled_from(queries))
        scope = draw(st.sampled_from((GLOBAL, GLOBAL, GLOBAL, Scope("group", "environment", "e1"))))
        found.append(Layer(number, kind, key, scope, name=key, query=query))  # type: ignore[arg-type]
    return found


@given(first=recordings(), then=recordings(), changed=st.integers(0, 5), data=st.data(), layout=layouts)
def test_a_changed_recording_reaches_all_that_read_it(
    first: list[Layer], then: list[Layer], changed: int, data: st.DataObject, layout: Layout
) -> None:
    topology = data.draw(strategies.topologies())
    before = compile_policy(Policy(topology, tuple(first)), Options(layout=layout))
    layers = [*first[:changed], then[changed], *first[changed + 1 :]]
    after = compile_policy(Policy(topology, tuple(layers)), before.options, before)
    fleet = {name: data.draw(selectors(topology)) for name in ("a", "b")}
    regions = {name: selector_region(topology, selector) for name, selector in fleet.items()}
    same_on_every_server(after, before, regions)


@given(first=recordings(), data=st.data())
def test_only_what_a_series_surely_carries_is_asked_of_it(first: list[Layer], data: st.DataObject) -> None:
    """Judged by the text alone: a matcher on a recorded series means that its recording kept that label."""
    topology = data.draw(strategies.topologies())
    policy = compile_policy(Policy(topology, tuple(first)), Options())
    region = selector_region(topology, data.draw(selectors(topology)))
    keeps = dict.fromkeys(("r:0", "r:1", "r:2"), True)
    for _ in keeps:
        says = {
            "sum by (environment) (m)": True,
            "m * 2": True,
            "r:0 * 2": keeps["r:0"],
            "r:1 * 2": keeps["r:1"],
            "r:0 / r:1": keeps["r:0"] or keeps["r:1"],
        }
        keeps = {layer.key: says.get(layer.query or "", False) for layer in first[:3]}
    for rule in ServerView(policy, region).rules:
        for branch in rule.branches:
            for selector in parse(branch.expr).selectors:
                held_to = {matcher.label for matcher in selector.matchers} & set(region.labels)
                if selector.name == "m":
                    assert held_to == set(region.labels)
                elif selector.name == "ALERTS":
                    assert held_to <= {"environment"} & set(branch.region.labels)
                elif "environment" in held_to and rule.scope == GLOBAL:
                    assert keeps[selector.name or ""]
