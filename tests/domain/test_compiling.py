"""Worked examples: what a few layers compile to, in both layouts, and what is refused."""

from __future__ import annotations

import pytest

from alerts.domain.compiler import compile_key
from alerts.domain.layers import GLOBAL, Group, Layer, Namespace, Scope, Topology
from alerts.domain.layout import LAYOUTS, Layout
from tests.domain.policies import (
    BY_ENVIRONMENT,
    EACH_SERIES,
    ONE_SUM,
    TOPOLOGY,
    codes,
    compiled,
    env,
    host,
    layer,
    logical,
    plan_of,
    recording,
    scope_labels,
    the_rule,
    threshold,
)

BASE = layer(1, query=EACH_SERIES)
both_layouts = pytest.mark.parametrize("layout", LAYOUTS)


# --- what a piece is called and where it lives ------------------------------------------------------------------------

PRODUCTION_90 = layer(2, env("production"), config=threshold(90))
EU_95 = layer(3, env("production-eu"), config=threshold(95))
WEB_WAITS = layer(4, logical("web"), config={"for_duration": "10m"})
WEB_70 = layer(4, logical("web"), config=threshold(70))
HOST_99 = layer(5, host("h1"), config=threshold(99))


@pytest.mark.parametrize(
    ("layers", "per_scope", "consolidated"),
    [
        ([BASE], [None], [None]),
        ([layer(1, env("production"), EACH_SERIES)], ["environment/production"], ["environment/production"]),
        ([layer(1, Scope("namespace", "logical"), EACH_SERIES)], ["logical"], ["logical"]),
        ([layer(1, host("h1"), EACH_SERIES)], ["target/h1"], ["target/h1"]),
        ([BASE, PRODUCTION_90], [None, "environment/production"], [None]),
        ([BASE, PRODUCTION_90, EU_95], [None, "environment/production", "environment/production-eu"], [None]),
        (
            [BASE, PRODUCTION_90, WEB_70, HOST_99],
            [None, "environment/production", "logical/web", "target/h1"],
            [None],
        ),
        (
            [BASE, PRODUCTION_90, WEB_WAITS],
            [None, "environment/production", "environment/production+logical/web", "logical/web"],
            [None, "logical/web"],
        ),
        (
            [BASE, WEB_WAITS, HOST_99],
            [None, "logical/web", "target/h1", "target/h1+logical/web"],
            [None, "logical/web"],
        ),
        # An override with the same shape hands over without a trace, one with another is a rule of its own.
        ([BASE, layer(2, env("production"), "cpu_idle < 5")], [None, "environment/production"], [None]),
        (
            [BASE, layer(2, env("production"), "cpu_idle < 5", severity="critical")],
            [None, "environment/production"],
            [None, "environment/production"],
        ),
        # A sum hides which series it counted: it joins nothing, and nothing joins what its author lets be cut.
        (
            [BASE, layer(2, env("production"), ONE_SUM)],
            [None, "environment/production"],
            [None, "environment/production"],
        ),
        (
            [layer(1, query=ONE_SUM, allow_split=True), layer(2, env("production"), EACH_SERIES)],
            [None, "environment/production"],
            [None, "environment/production"],
        ),
        # What one layer does and a stronger one undoes leaves no trace where pieces are joined.
        ([BASE, layer(2, env("production"), config={"labels": {"a": "b"}}),
          layer(3, env("production-eu"), config={"labels": {"a": None}})],
         [None, "environment/production", "environment/production-eu"], [None, "environment/production"]),
        # A muted place has no rule at all.
        ([BASE, layer(2, env("production"), enabled=False)], [None], [None]),
        ([layer(1, query=EACH_SERIES, enabled=False), layer(2, env("staging"), enabled=True)],
         ["environment/staging"], [None]),
    ],
)  # fmt: skip
def test_the_scope_label_names_the_layers_that_make_a_difference(
    layers: list[Layer], per_scope: list[str | None], consolidated: list[str | None]
) -> None:
    def by_text(labels: list[str | None]) -> list[str | None]:
        return sorted(labels, key=str)

    assert scope_labels(plan_of(*layers)) == by_text(per_scope)
    assert scope_labels(plan_of(*layers, layout="consolidated")) == by_text(consolidated)


def test_in_consolidated_pieces_that_differ_in_a_query_are_one_rule_joined_by_or() -> None:
    (rule,) = plan_of(BASE, PRODUCTION_90, layout="consolidated").rules
    assert rule.expr == (
        '(cpu_usage{environment!~"production|production-eu"} > 80)\n'
        "or\n"
        '(cpu_usage{environment=~"production|production-eu"} > 90)'
    )


def test_pieces_with_equal_queries_are_one_branch_over_a_united_region() -> None:
    same = [layer(2, env("production"), config=threshold(90)), layer(3, env("staging"), config=threshold(90))]
    (rule,) = plan_of(BASE, *same, layout="consolidated").rules
    assert len(rule.branches) == 2
    assert 'environment=~"production|production-eu|staging"' in rule.expr


def test_boxes_that_lie_side_by_side_are_one() -> None:
    """The division goes by environment first; what holds in all environments is not cut by it."""
    in_any_environment = layer(2, Scope("namespace", "environment"), config={"labels": {"a": "b"}})
    web = layer(3, logical("web"), "cpu_idle < 5", priority=200)
    assert the_rule(plan_of(BASE, in_any_environment, web), "logical/web").expr == 'cpu_idle{logical="web"} < 5'


@both_layouts
def test_words_of_scopes_cannot_be_forged(layout: Layout) -> None:
    topology = Topology(
        (Namespace("a", "a", 1), Namespace("b", "b", 2)),
        (Group("a", "x"), Group("a", "y"), Group("b", "z"), Group("b", "z+a/x")),
    )
    layers = [
        BASE,
        layer(2, Scope("group", "a", "x"), config={"labels": {"l1": "x"}}),
        layer(3, Scope("group", "b", "z"), config={"labels": {"l2": "y"}}),
        layer(4, Scope("group", "b", "z+a/x"), config={"labels": {"l2": "z"}}),
    ]
    labels = scope_labels(plan_of(*layers, layout=layout, topology=topology))
    assert len(set(labels)) == len(labels) == 6
    assert {"b/z+a/x", "b/z%2Ba/x"} < set(labels)


@both_layouts
def test_a_comment_at_the_end_of_a_query_swallows_nothing(layout: Layout) -> None:
    plan = plan_of(layer(1, query="cpu_usage > {{ .threshold }} # per core"), PRODUCTION_90, layout=layout)
    assert not plan.findings
    assert all(rule.expr.count("cpu_usage") == len(rule.branches) for rule in plan.rules)


def test_a_policy_url_is_added_but_never_replaces_one() -> None:
    own = layer(1, query=EACH_SERIES, key="a key/with a slash")
    (rule,) = compiled(own, base_url="https://config.example").rules
    assert dict(rule.annotations) == {"policy_url": "https://config.example/policy/alerting/a%20key%2Fwith%20a%20slash"}
    written = layer(1, query=EACH_SERIES, config={"annotations": {"policy_url": "mine"}})
    (rule,) = compiled(written, base_url="https://config.example").rules
    assert dict(rule.annotations) == {"policy_url": "mine"}


# --- what must not be cut ---------------------------------------------------------------------------------------------

SUM = layer(1, query=ONE_SUM)


@both_layouts
@pytest.mark.parametrize(
    "narrower",
    [
        PRODUCTION_90,
        HOST_99,
        layer(2, env("staging"), "cpu_idle > 1"),
        layer(2, env("staging"), enabled=False),
        layer(2, Scope("namespace", "logical"), config={"labels": {"a": "b"}}),
    ],
)
def test_a_narrower_layer_must_not_change_what_a_broader_sum_counts(narrower: Layer, layout: Layout) -> None:
    plan = plan_of(SUM, narrower, layout=layout)
    assert codes(plan) == ["would_split"]
    assert plan.findings[0].rule_id == SUM.rule_id, "the broader rule is named"
    assert f"rule {narrower.rule_id} at {narrower.scope}" in plan.findings[0].message
    assert not plan.rules


@both_layouts
@pytest.mark.parametrize(
    "layers",
    [
        pytest.param([SUM], id="alone"),
        pytest.param([layer(1, env("production"), ONE_SUM), layer(2, env("staging"), ONE_SUM)], id="side by side"),
        pytest.param([layer(1, query=BY_ENVIRONMENT), PRODUCTION_90], id="the label is in the grouping"),
        pytest.param(
            [layer(1, query="sum by (instance) (cpu_usage) > {{ .threshold }}"), WEB_70], id="instance determines it"
        ),
        pytest.param(
            [layer(1, env("production"), ONE_SUM), layer(2, config=threshold(9), priority=200)],
            id="a broad layer that wins cuts nothing",
        ),
        pytest.param(
            [layer(1, query=ONE_SUM, enabled=False), layer(2, env("staging"), enabled=True)],
            id="muted but for one place",
        ),
    ],
)
def test_a_sum_over_its_whole_scope_is_fine(layers: list[Layer], layout: Layout) -> None:
    plan = plan_of(*layers, layout=layout)
    assert codes(plan) == []
    assert plan.rules


def test_a_layer_that_changes_nothing_cuts_nothing_where_pieces_are_joined() -> None:
    (rule,) = plan_of(SUM, layer(2, env("production"), config=threshold(80)), layout="consolidated").rules
    assert rule.expr == "sum(cpu_usage) > 80"


@both_layouts
def test_partition_by_makes_one_copy_per_group_with_the_value_as_label(layout: Layout) -> None:
    plan = plan_of(layer(1, query=ONE_SUM, partition_by=("environment",)), PRODUCTION_90, layout=layout)
    assert codes(plan) == []
    found = {dict(rule.labels).get("environment"): rule.expr for rule in plan.rules}
    assert found == {
        "production": 'sum(cpu_usage{environment="production"}) > 90',
        "production-eu": 'sum(cpu_usage{environment="production-eu"}) > 90',
        "staging": 'sum(cpu_usage{environment="staging"}) > 80',
        None: 'sum(cpu_usage{environment!~"production|production-eu|staging"}) > 80',
    }


@both_layouts
def test_partition_by_covers_its_own_namespace_only(layout: Layout) -> None:
    plan = plan_of(layer(1, query=ONE_SUM, partition_by=("environment",)), WEB_70, layout=layout)
    assert codes(plan) == ["would_split"]


@both_layouts
def test_allow_split_counts_each_part_by_itself(layout: Layout) -> None:
    plan = plan_of(layer(1, query=ONE_SUM, allow_split=True), PRODUCTION_90, layout=layout)
    assert codes(plan) == []
    assert sorted(rule.expr for rule in plan.rules) == [
        'sum(cpu_usage{environment!~"production|production-eu"}) > 80',
        'sum(cpu_usage{environment=~"production|production-eu"}) > 90',
    ]
    assert scope_labels(plan) == [None, "environment/production"]


@pytest.mark.parametrize(("query", "refused"), [(ONE_SUM, True), (EACH_SERIES, False)])
def test_what_allow_split_leaves_must_not_be_joined_where_or_would_hide_a_part(query: str, refused: bool) -> None:
    """In web the rule differs, but for web in staging: what is left is no box, and two sums would look the same."""
    layers = [
        layer(1, query=query, allow_split=True),
        layer(2, logical("web"), config={"labels": {"a": "b"}}),
        layer(3, env("staging"), config={"labels": {"a": None}}),
    ]
    plan = plan_of(*layers, layout="consolidated")
    assert codes(plan) == (["would_split"] if refused else [])
    if refused:
        assert "separate regions" in plan.findings[0].message


@both_layouts
@pytest.mark.parametrize("how", [{}, {"allow_split": True}])
def test_a_recording_is_never_split_without_the_label_in_its_output(how: dict[str, bool], layout: Layout) -> None:
    whole = recording(1, "cpu:sum", "sum by (instance) (cpu_usage)", **how)
    narrower = layer(2, env("production"), key="cpu:sum", kind="recording", config={"labels": {"a": "b"}})
    plan = plan_of(whole, narrower, layout=layout)
    assert codes(plan) == ["would_split"]
    assert "'environment'" in plan.findings[0].message


@both_layouts
def test_a_recording_that_keeps_the_label_may_be_split(layout: Layout) -> None:
    whole = recording(1, "cpu:sum", "sum by (environment) (cpu_usage)")
    narrower = layer(2, env("production"), key="cpu:sum", kind="recording", config={"labels": {"a": "b"}})
    assert codes(plan_of(whole, narrower, layout=layout)) == []


# --- matchers of the author's -----------------------------------------------------------------------------------------


@both_layouts
@pytest.mark.parametrize("matcher", ['environment="staging"', 'environment!~"prod.*"', 'environment=""'])
def test_a_matcher_against_the_rules_own_scope_is_an_error_naming_both(matcher: str, layout: Layout) -> None:
    plan = plan_of(layer(1, env("production"), f"cpu_usage{{{matcher}}} > 1"), layout=layout)
    assert codes(plan) == ["scope_contradiction"]
    assert matcher in plan.findings[0].message
    assert "environment/production" in plan.findings[0].message
    assert plan.findings[0].pointer == "/query_template"


@both_layouts
def test_a_piece_that_the_query_itself_excludes_is_dropped_and_remembered(layout: Layout) -> None:
    plan = plan_of(layer(1, query='cpu_usage{environment="staging"} > {{ .threshold }}'),
                   layer(2, env("staging"), config=threshold(90)), layout=layout)  # fmt: skip
    assert codes(plan) == []
    assert [rule.expr for rule in plan.rules] == ['cpu_usage{environment="staging",environment="staging"} > 90']
    elsewhere = {"environment": "production"}
    assert plan.piece(elsewhere) is None
    (contradiction,) = plan.dropped[plan.chain(elsewhere)]
    assert contradiction.region.holds(elsewhere)
    assert not contradiction.region.holds({"environment": "staging"})


@both_layouts
def test_one_selector_that_can_match_keeps_a_piece(layout: Layout) -> None:
    base = layer(1, query='cpu_usage{environment="staging"} > 1 or cpu_idle < 1')
    plan = plan_of(base, layer(2, env("staging"), "up == 0"), layout=layout)
    assert codes(plan) == []
    assert plan.piece({"environment": "production"}) is not None
    assert not any(plan.dropped.values())


@both_layouts
@pytest.mark.parametrize(
    "fields", [{"query": "vector(1) > 0"}, {"query": "maintenance > 0", "unscoped": ("maintenance",)}]
)
def test_a_query_with_nothing_to_scope_belongs_everywhere_only(fields: dict[str, object], layout: Layout) -> None:
    assert codes(plan_of(layer(1, env("staging"), **fields), layout=layout)) == ["no_selector"]
    assert codes(plan_of(layer(1, **fields), layout=layout)) == []


@both_layouts
def test_unscoped_metrics_get_no_matchers(layout: Layout) -> None:
    query = "cpu_usage > 1 unless on (target) maintenance"
    (rule,) = plan_of(layer(1, env("staging"), query, unscoped=("maintenance",)), layout=layout).rules
    assert rule.expr == 'cpu_usage{environment="staging"} > 1 unless on (target) maintenance'


# --- what keys do to each other ---------------------------------------------------------------------------------------


@both_layouts
@pytest.mark.parametrize(
    ("query", "reader", "refused"),
    [
        ("sum(cpu_usage)", layer(2, env("staging"), "cpu:sum > 1"), True),
        ("sum by (environment) (cpu_usage)", layer(2, env("staging"), "cpu:sum > 1"), False),
        ("sum by (environment) (cpu_usage)", layer(2, logical("web"), "cpu:sum > 1"), True),
        ("sum(cpu_usage)", layer(2, query="cpu:sum > 1"), False),
        ("sum(cpu_usage)", layer(2, env("staging"), "cpu_usage > 1 and on () cpu:sum", unscoped=("cpu:sum",)), False),
        ("sum(cpu_usage)", layer(2, env("staging"), '{__name__="cpu:sum"} > 1'), True),
    ],
)
def test_reading_a_recording_that_lacks_a_label_is_refused(
    query: str, reader: Layer, refused: bool, layout: Layout
) -> None:
    policy = compiled(recording(1, "cpu:sum", query), reader, layout=layout)
    found = policy.problems.get(reader.key_id, ())
    assert [finding.code for finding in found] == (["recording_lacks_label"] if refused else [])
    if refused:
        assert "cpu:sum" in found[0].message
        assert found[0].rule_id == reader.rule_id
        assert [rule.name for rule in policy.rules] == ["cpu:sum"], "the broken key does not stop the other"


def test_a_partitioned_recording_has_the_label_as_a_static_one() -> None:
    parts = recording(1, "cpu:sum", "sum(cpu_usage)", partition_by=("environment",))
    policy = compiled(parts, layer(2, env("staging"), "cpu:sum > 1"))
    lacking = [rule for rule in policy.plans[parts.key_id].rules if "environment" not in dict(rule.labels)]
    assert len(lacking) == 1, "only the remainder, outside all groups, comes without"


def test_reading_alerts_of_a_rule_that_lacks_the_label_is_refused() -> None:
    reader = layer(2, env("staging"), 'ALERTS{alertname="Total"} > 0', key="Reader")
    policy = compiled(layer(1, query=ONE_SUM, key="Total"), reader)
    assert [finding.code for finding in policy.problems[reader.key_id]] == ["recording_lacks_label"]


@both_layouts
def test_one_broken_key_never_stops_the_others(layout: Layout) -> None:
    broken = layer(1, query="cpu_usage > {{ .threshold }}", key="Broken", variables=())
    policy = compiled(broken, layer(2, query=EACH_SERIES, key="Fine"), layout=layout)
    assert set(policy.problems) == {("alerting", "Broken")}
    assert [rule.key for rule in policy.rules] == ["Fine"]
    assert policy.plans[broken.key_id].piece({}) is None


# --- limits -----------------------------------------------------------------------------------------------------------


def wide_topology(groups: int, hosts: int = 0) -> Topology:
    names = ("a", "b", "c")
    return Topology(
        tuple(Namespace(name, name, number) for number, name in enumerate(names)),
        tuple(Group(name, f"{name}{number}") for name in names for number in range(groups)),
    )


def test_a_class_of_more_than_fifty_branches_is_told_apart_by_scope() -> None:
    topology = wide_topology(60)
    narrower = [layer(number + 2, Scope("group", "a", f"a{number}"), config=threshold(number)) for number in range(60)]
    fifty = plan_of(BASE, *narrower[:49], layout="consolidated", topology=topology)
    assert [len(rule.branches) for rule in fifty.rules] == [50]
    more = plan_of(BASE, *narrower, layout="consolidated", topology=topology)
    assert codes(more) == []
    assert len(more.rules) == 61
    assert all(len(rule.branches) == 1 for rule in more.rules)
    assert len({rule.identity for rule in more.rules}) == 61


@both_layouts
def test_more_than_2000_regions_are_refused_with_the_layers_that_multiply(layout: Layout) -> None:
    topology = wide_topology(13)
    layers = [
        layer(
            100 * index + number, Scope("group", name, f"{name}{number}"), config={"labels": {f"l_{name}": str(number)}}
        )
        for index, name in enumerate(("a", "b", "c"))
        for number in range(13)
    ]
    plan = plan_of(BASE, *layers, layout=layout, topology=topology)
    assert codes(plan) == ["too_many_regions"]
    for name in ("13 at a", "13 at b", "13 at c"):
        assert name in plan.findings[0].message


@both_layouts
def test_more_than_5000_values_are_refused(layout: Layout) -> None:
    topology = Topology((Namespace("a", "a", 1),), tuple(Group("a", f"g{number}", "g0") for number in range(1, 5001)))
    plan = plan_of(layer(1, Scope("group", "a", "g0"), EACH_SERIES), layout=layout, topology=topology)
    assert codes(plan) == []
    more = Topology(topology.namespaces, (*topology.groups, Group("a", "one more", "g0"), Group("a", "g0")))
    plan = plan_of(layer(1, Scope("group", "a", "g0"), EACH_SERIES), layout=layout, topology=more)
    assert codes(plan) == ["too_many_values"]
    assert plan.findings[0].key == "CPU"
    assert plan.findings[0].rule_id == 1


def test_a_compiled_expression_has_at_most_256_kilobytes() -> None:
    topology = Topology((Namespace("a", "a", 1),), tuple(Group("a", f"g{number}{'x' * 60}") for number in range(4000)))
    mutes = [layer(number + 2, Scope("group", "a", f"g{number}{'x' * 60}"), enabled=False) for number in range(4000)]
    plan = plan_of(BASE, *mutes, topology=topology)
    assert codes(plan)[0] in ("compiled_too_large", "too_long")
    assert plan.findings[0].rule_id is not None


def test_a_key_compiles_alone_as_it_does_among_others() -> None:
    layers = [BASE, PRODUCTION_90, WEB_WAITS]
    together = compiled(*layers, layer(9, key="Other", query=EACH_SERIES))
    alone = compile_key(TOPOLOGY, layers[::-1], together.options)
    assert alone.rules == together.plans["alerting", "CPU"].rules


@both_layouts
def test_intervals_are_groups_of_their_own(layout: Layout) -> None:
    plan = plan_of(BASE, layer(2, env("staging"), config={"interval": "5m"}), layout=layout)
    assert {(rule.interval, rule.group.endswith("@5m")) for rule in plan.rules} == {(None, False), ("5m", True)}


def test_global_is_the_only_scope_without_a_label() -> None:
    assert the_rule(plan_of(BASE), None).scope == GLOBAL
