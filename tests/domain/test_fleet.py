"""Worked examples: what one of several servers evaluates."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.domain.compiler import CompiledPolicy, compile_policy
from alerts.domain.fleet import ServerView, restrict
from alerts.domain.layers import Group, Namespace, Policy, Topology
from alerts.domain.promql.expression import parse
from alerts.domain.promql.metrics import metrics_read
from alerts.domain.regions import Region
from alerts.domain.server_selectors import selector_region
from tests.domain.policies import (
    EACH_SERIES,
    ONE_SUM,
    TOPOLOGY,
    compiled,
    env,
    layer,
    logical,
    recording,
    threshold,
)


def held(**selector: Any) -> Region:
    return selector_region(TOPOLOGY, selector)


PRODUCTION = held(environment=["production"])
EU = held(environment=["production-eu"])
STAGING = held(environment=["staging"])
BASE = layer(1, query=EACH_SERIES)
PRODUCTION_90 = layer(2, env("production"), config=threshold(90))


def exprs(view: ServerView) -> list[str]:
    return [rule.expr for rule in view.rules]


# --- regions ----------------------------------------------------------------------------------------------------------


def test_without_a_selector_the_very_same_rules_come_back() -> None:
    policy = compiled(BASE, PRODUCTION_90)
    view = ServerView(policy, Region())
    assert view.rules is policy.rules
    assert view.rules_of(BASE.key_id) is policy.plans[BASE.key_id].rules
    assert restrict(policy.rules, Region()) == policy.rules


def test_each_branch_reads_its_region_where_the_selector_holds() -> None:
    policy = compiled(BASE, PRODUCTION_90)
    assert exprs(ServerView(policy, EU)) == ['cpu_usage{environment="production-eu"} > 90']
    assert exprs(ServerView(policy, STAGING)) == ['cpu_usage{environment="staging"} > 80']
    web = ServerView(policy, held(environment=["staging", "production"], logical={"not_in": ["db"]}))
    assert exprs(web) == [
        'cpu_usage{environment="staging",logical!="db"} > 80',
        'cpu_usage{environment=~"production|production-eu",logical!="db"} > 90',
    ]


def test_single_rules_can_be_held_to_a_selector_again() -> None:
    """As those that stay as last compiled, when the selector has changed since."""
    policy = compiled(BASE, PRODUCTION_90)
    rules = restrict(policy.rules, PRODUCTION)
    assert rules == ServerView(policy, PRODUCTION).rules
    assert [rule.expr for rule in restrict(rules, EU)] == ['cpu_usage{environment="production-eu"} > 90']
    assert restrict(rules, STAGING) == ()


def test_what_lies_within_the_selector_anyway_stays_the_same_object() -> None:
    policy = compiled(BASE, PRODUCTION_90)
    view = ServerView(policy, PRODUCTION)
    assert view.rules == policy.plans[BASE.key_id].rules[1:]
    assert view.rules[0] is policy.plans[BASE.key_id].rules[1]


def test_a_joined_rule_keeps_the_branches_that_are_left_and_everything_else() -> None:
    policy = compiled(BASE, PRODUCTION_90, layer(3, logical("web"), config=threshold(70)), layout="consolidated")
    (whole,) = policy.rules
    assert len(whole.branches) == 3
    (left,) = ServerView(policy, STAGING).rules
    assert left.expr == (
        '(cpu_usage{environment="staging",logical="web"} > 70)\nor\n'
        '(cpu_usage{environment="staging",logical!="web"} > 80)'
    )
    same = ("kind", "key", "name", "for_duration", "labels", "annotations", "file", "group", "scope", "interval")
    assert all(getattr(left, name) == getattr(whole, name) for name in same)


def test_what_the_author_s_own_matchers_exclude_is_left_out() -> None:
    policy = compiled(layer(1, query='absent(cpu_usage{environment="staging"}) > {{ .threshold }}'))
    assert exprs(ServerView(policy, PRODUCTION)) == []
    assert exprs(ServerView(policy, STAGING)) == ['absent(cpu_usage{environment="staging",environment="staging"}) > 80']


def test_a_rule_without_series_in_a_position_is_evaluated_everywhere() -> None:
    policy = compiled(layer(1, key="Watchdog", query="vector(1)", variables=()))
    assert exprs(ServerView(policy, STAGING)) == exprs(ServerView(policy, EU)) == ["vector(1)"]


def test_unscoped_metrics_get_no_matchers_here_either() -> None:
    policy = compiled(
        layer(1, query="cpu_usage > {{ .threshold }} unless on(target) maintenance", unscoped=("maintenance",))
    )
    assert exprs(ServerView(policy, STAGING)) == ['cpu_usage{environment="staging"} > 80 unless on(target) maintenance']


def test_partitions_of_other_servers_are_left_out() -> None:
    policy = compiled(layer(1, query=ONE_SUM, partition_by=("environment",)))
    view = ServerView(policy, STAGING)
    (rule,) = view.rules
    assert dict(rule.labels)["environment"] == "staging"
    assert any(rule is one for one in policy.rules), "a part that lies in one server is not touched"


# --- recorded series --------------------------------------------------------------------------------------------------

UP_SUM = recording(1, "job:up:sum", "sum by (job) (up)")
LOW = layer(2, key="Low", query="job:up:sum < 3", variables=())


def test_a_recorded_series_without_the_label_is_not_asked_for_it() -> None:
    view = ServerView(compiled(UP_SUM, LOW), STAGING)
    assert view.rules_of(UP_SUM.key_id)[0].expr == 'sum by (job) (up{environment="staging"})'
    (low,) = view.rules_of(LOW.key_id)
    assert low.expr == "job:up:sum < 3"
    assert low.branches[0].region == STAGING


def test_one_that_carries_the_label_is() -> None:
    keeps = recording(1, "job:up:sum", "sum by (job, environment) (up)")
    view = ServerView(compiled(keeps, LOW), STAGING)
    assert view.rules_of(LOW.key_id)[0].expr == 'job:up:sum{environment="staging"} < 3'


@pytest.mark.parametrize(
    "query",
    [
        "label_replace(up, 'environment', '$1', 'job', '(.*)')",
        "sum by (environment) (up) or sum(up)",
        "limits * 2",
        "ALERTS{alertname='X'} * 2",
    ],
)
def test_one_that_may_come_without_it_is_not(query: str) -> None:
    made = recording(1, "job:up:sum", query, unscoped=("limits",) if "limits" in query else ())
    assert ServerView(compiled(made, LOW), STAGING).rules_of(LOW.key_id)[0].expr == "job:up:sum < 3"


def test_where_the_rule_s_own_region_speaks_of_the_label_the_series_is_asked_for_it() -> None:
    made = recording(1, "job:up:sum", "limits * 2", unscoped=("limits",))
    reader = layer(2, env("production"), "job:up:sum < 3", key="Low", variables=())
    policy = compiled(made, reader)
    assert not policy.problems
    (rule,) = ServerView(policy, EU).rules_of(reader.key_id)
    assert rule.expr == 'job:up:sum{environment="production-eu"} < 3'


def test_what_is_made_of_such_a_series_lacks_the_label_too() -> None:
    chain = [recording(n, f"job:up:{n}", f"job:up:{n - 1} * 2") for n in range(3, 8)]
    view = ServerView(compiled(recording(2, "job:up:2", "sum by (job) (up)"), *chain), STAGING)
    assert [rule.expr for rule in view.rules if "up{" in rule.expr] == ['sum by (job) (up{environment="staging"})']


def test_alerts_are_those_of_this_server() -> None:
    reader = layer(2, key="Meta", query='count(ALERTS{alertname="CPU"} and on(job) up) > 1', variables=())
    (rule,) = ServerView(compiled(BASE, reader), STAGING).rules_of(reader.key_id)
    assert rule.expr == 'count(ALERTS{alertname="CPU"} and on(job) up{environment="staging"}) > 1'


def test_labels_are_judged_one_by_one() -> None:
    """The series lacks the one label and has the other; the region speaks of a third and of neither."""
    made = recording(1, "team:up:sum", "sum by (logical, infrastructure) (up)")
    reader = layer(2, logical("web"), "team:up:sum < 3 and on(logical) up", key="Low", variables=())
    policy = compiled(made, reader)
    assert not policy.problems
    (rule,) = ServerView(policy, held(environment=["staging"], infrastructure=["metal"])).rules_of(reader.key_id)
    assert rule.expr == (
        'team:up:sum{infrastructure="metal",logical="web"} < 3 '
        'and on(logical) up{environment="staging",infrastructure="metal",logical="web"}'
    )


def test_the_recordings_that_stay_as_last_compiled_count() -> None:
    policy = compiled(LOW)
    (kept,) = compiled(UP_SUM).rules
    assert exprs(ServerView(policy, STAGING)) == ['job:up:sum{environment="staging"} < 3']
    assert exprs(ServerView(policy, STAGING, kept=[kept])) == ["job:up:sum < 3"]


# --- memory -----------------------------------------------------------------------------------------------------------


def changed(policy: CompiledPolicy, *layers: Any) -> CompiledPolicy:
    return compile_policy(Policy(policy.topology, layers), policy.options, policy)


def test_a_change_makes_new_rules_of_its_own_key_alone() -> None:
    others = [layer(n, key=f"K{n}", query=EACH_SERIES) for n in range(3, 6)]
    policy = compiled(BASE, *others)
    before = ServerView(policy, STAGING)
    staging_90 = layer(2, env("staging"), config=threshold(90))
    after = ServerView(changed(policy, BASE, staging_90, *others), STAGING, before)
    assert exprs(after)[0] == 'cpu_usage{environment="staging"} > 90'
    for one in others:
        assert after.rules_of(one.key_id)[0] is before.rules_of(one.key_id)[0]
    assert after.rules == ServerView(after.compiled, STAGING).rules


def test_when_a_recording_drops_a_label_its_readers_change_and_nothing_else() -> None:
    keeps = recording(1, "job:up:sum", "sum by (job, environment) (up)")
    doubled = recording(4, "job:up:double", "job:up:sum * 2")
    last = layer(5, key="Last", query="job:up:double < 3", variables=())
    policy = compiled(keeps, LOW, doubled, last, BASE)
    before = ServerView(policy, STAGING)
    after = ServerView(changed(policy, UP_SUM, LOW, doubled, last, BASE), STAGING, before)
    assert after.rules_of(LOW.key_id)[0].expr == "job:up:sum < 3"
    assert after.rules_of(last.key_id)[0].expr == "job:up:double < 3"
    assert after.rules_of(BASE.key_id)[0] is before.rules_of(BASE.key_id)[0]
    back = ServerView(changed(after.compiled, keeps, LOW, doubled, last, BASE), STAGING, after)
    assert back.rules == before.rules


def test_a_reader_that_is_looked_at_again_for_nothing_stays_the_same_object() -> None:
    keeps = recording(1, "job:up:sum", "sum by (job, environment) (up)")
    unsure = recording(1, "job:up:sum", "limits * 2", unscoped=("limits",))
    reader = layer(2, env("production"), "job:up:sum < 3", key="Low", variables=())
    policy = compiled(keeps, reader)
    before = ServerView(policy, EU)
    after = ServerView(changed(policy, unsure, reader), EU, before)
    assert after.rules_of(reader.key_id)[0] is before.rules_of(reader.key_id)[0]


def test_another_selector_forgets_what_was_known() -> None:
    policy = compiled(BASE)
    assert exprs(ServerView(policy, EU, ServerView(policy, STAGING))) == ['cpu_usage{environment="production-eu"} > 80']
    assert exprs(ServerView(policy, EU, ServerView(policy, Region()))) == [
        'cpu_usage{environment="production-eu"} > 80'
    ]


@pytest.mark.parametrize("region", [EU, STAGING, Region(), held(logical=["web"])])
def test_a_view_of_the_same_policy_is_made_of_the_same_rules(region: Region) -> None:
    policy = compiled(BASE, PRODUCTION_90, UP_SUM, LOW)
    view = ServerView(policy, region)
    again = ServerView(policy, region, view)
    assert view.rules
    assert all(one is other for one, other in zip(again.rules, view.rules, strict=True))


# --- what cannot be ---------------------------------------------------------------------------------------------------

WIDE = Topology(
    (Namespace("zone", "zone", 1),), tuple(Group("zone", f"a-zone-with-a-long-name-{n}") for n in range(2000))
)


def test_a_rule_that_would_be_too_long_is_a_problem_of_its_key_alone() -> None:
    long = layer(1, key="Long", query=" + ".join(["cpu_usage"] * 8) + " > {{ .threshold }}")
    policy = compiled(long, layer(2, key="Short", query=EACH_SERIES), topology=WIDE)
    view = ServerView(policy, selector_region(WIDE, {"zone": sorted(WIDE.values("zone"))}))
    ((finding,),) = view.problems.values()
    assert (finding.code, finding.key, finding.rule_id) == ("too_long", "Long", 1)
    assert [rule.key for rule in view.rules] == ["Short"]
    assert view.rules_of(long.key_id) == ()
    again = ServerView(policy, view.region, view)
    assert again.problems == view.problems


def test_broken_keys_are_on_no_server() -> None:
    policy = compiled(layer(1, query=ONE_SUM), layer(2, env("production"), config=threshold(90)))
    assert policy.problems
    assert ServerView(policy, STAGING).rules == ()
    assert ServerView(policy, Region()).rules_of(BASE.key_id) == ()


@pytest.mark.parametrize("place", ["staging", "production-eu", "", "other"])
def test_the_piece_at_a_position_is_that_of_the_server(place: str) -> None:
    policy = compiled(BASE, PRODUCTION_90)
    plan = policy.plans[BASE.key_id]
    view = ServerView(policy, held(environment=["staging", "production"]))
    found = view.piece(plan, {"environment": place})
    if place in ("staging", "production-eu"):
        assert found is not None
        rule, branch = found
        assert any(rule is one for one in view.rules)
        assert branch.region.holds({"environment": place})
        assert metrics_read(parse(rule.expr)) == {"cpu_usage"}
    else:
        assert found is None
    assert ServerView(policy, Region()).piece(plan, {"environment": place}) == plan.piece({"environment": place})
