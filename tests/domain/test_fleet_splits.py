"""Which rules need series of several servers, and what nobody holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.domain.compiler import compile_policy
from alerts.domain.fleet import ServerView
from alerts.domain.fleet_splits import SplitAnalysis, gaps, needs_several_servers
from alerts.domain.layers import GLOBAL, Layer, Policy
from alerts.domain.regions import Condition, Region
from alerts.domain.server_selectors import selector_region
from tests.domain.policies import BY_ENVIRONMENT, EACH_SERIES, ONE_SUM, TOPOLOGY, compiled, env, host, layer, recording
from tests.domain.test_regions import positions, regions


def held(**selector: Any) -> Region:
    return selector_region(TOPOLOGY, selector)


PRODUCTION, STAGING = held(environment=["production"]), held(environment=["staging"])
EU = held(environment=["production-eu"])
WEB, DB = held(logical=["web"]), held(logical=["db"])
BY_ENV = {"a": PRODUCTION, "b": STAGING}
ALL_THE_REST = {"a": PRODUCTION, "b": held(environment={"not_in": ["production"]})}
PAIR = {"a": PRODUCTION, "a2": PRODUCTION}


def alert(query: str, **fields: Any) -> Layer:
    return layer(1, fields.pop("scope", GLOBAL), query, key="A", **({"variables": ()} | fields))


UP_SUM = recording(2, "job:up:sum", "sum by (job) (up)")
UP_ENV = recording(2, "env:up:sum", "sum by (environment) (up)")
LIMITS = recording(2, "job:limits:max", "max by (job) (limits)", unscoped=("limits",))
IN_PRODUCTION = recording(2, "job:up:sum", "sum by (job) (up)", env("production"))
IN_STAGING = recording(3, "job:up:sum", "sum by (job) (up)", env("staging"))

BY_TARGET = recording(2, "target:up:max", "max by (target) (up)")
BY_INSTANCE = recording(2, "instance:up:max", "max by (instance) (up)")
TWICE = recording(3, "target:up:twice", "sum by (target) (target:up:max) * 2")
SLOW = layer(2, key="Slow", query="max by (target) (up) > 3", variables=())
APART = {
    "a": held(environment=["production"], logical=["web"]),
    "b": held(environment=["staging"], logical=["db"]),
}
CROSSED = APART | {"c": held(environment=["production"], logical=["db"])}


@pytest.mark.parametrize(
    ("layers", "servers"),
    [
        # One series at a time, or one group that lies on one server.
        ([alert("up == 0")], BY_ENV),
        ([alert("sum by (environment) (up) < 3")], BY_ENV),
        ([alert("sum by (instance) (up) < 3")], BY_ENV),
        ([alert("up == 0 unless on(target) maintenance", unscoped=("maintenance",))], BY_ENV),
        # One thing, but all of it on one server.
        ([alert("sum(up) < 3", scope=env("staging"))], BY_ENV),
        ([alert("sum(up) < 3", scope=env("production-eu"))], BY_ENV),
        ([alert('sum(up{environment="staging"}) < 3')], BY_ENV),
        ([alert('sum(up{environment=~"staging|x"}) < 3')], BY_ENV),
        ([alert('absent(up{environment="production-eu"})')], ALL_THE_REST),
        ([alert('sum(up{environment!~"production.*"}) < 3')], ALL_THE_REST),
        (
            [alert('sum(up{environment="production-eu"}) < 3', scope=env("production"))],
            {"a": EU, "b": held(environment={"not_in": ["production-eu"]})},
        ),
        ([alert("sum(up) < 3")], PAIR),
        ([alert("sum(up) < 3")], {"a": PRODUCTION}),
        ([alert("sum(up) < 3", scope=env("staging"))], {**BY_ENV, "b2": STAGING}),
        # One target is at one position, wherever that is.
        ([alert("sum(up) < 3", scope=host("h1"))], BY_ENV),
        # Its author lets it be cut, or has cut it already.
        ([alert("sum(up) < 3", allow_split=True)], BY_ENV),
        ([alert("sum(up) < 3", partition_by=("environment",))], BY_ENV),
        # Recorded series.
        ([UP_ENV, alert("env:up:sum < 3")], BY_ENV),
        ([UP_ENV, alert("sum by (environment) (env:up:sum) < 3")], BY_ENV),
        ([IN_PRODUCTION, alert("job:up:sum < 3")], BY_ENV),
        ([IN_PRODUCTION, IN_STAGING, alert("job:up:sum < 3")], BY_ENV),
        ([IN_PRODUCTION, alert("job:up:sum / job:up:sum < 3")], BY_ENV),
        ([IN_PRODUCTION, alert("up == 0 unless on(job) job:up:sum", unscoped=("job:up:sum",))], PAIR),
        # A target is on one server, so are its series, the recorded ones, too.
        ([alert("max by (target) (up) > 3")], BY_ENV),
        ([alert("sum by (target, job) (up) > 3")], CROSSED),
        ([alert("sum without (job) (up) > 3")], CROSSED),
        ([alert("up > on(target) group_left sum by (target) (up)")], BY_ENV),
        ([alert("up > ignoring(job) group_left sum without (job) (up)")], BY_ENV),
        ([BY_TARGET], BY_ENV),
        ([BY_INSTANCE], CROSSED),
        ([recording(2, "x", "sum by (target, job) (up)")], BY_ENV),
        ([BY_TARGET, alert("target:up:max > 3")], BY_ENV),
        ([BY_TARGET, TWICE, alert("target:up:twice > 3")], BY_ENV),
        ([BY_TARGET, alert("max by (target) (target:up:max) > 3")], CROSSED),
        ([BY_TARGET, alert("up > on(target) group_left target:up:max")], BY_ENV),
        ([BY_TARGET, TWICE, alert("target:up:max / target:up:twice")], BY_ENV),
        ([BY_TARGET, alert("up == 0 unless on(target) target:up:max > 3")], BY_ENV),
        ([BY_TARGET, alert('target:up:max{environment!="staging"} > 3')], BY_ENV),
        ([SLOW, alert('ALERTS{alertname="Slow"} > 0')], BY_ENV),
        ([SLOW, alert('up == 0 unless on(target) ALERTS{alertname="Slow"}')], BY_ENV),
        ([SLOW, alert('count by (target) (ALERTS{alertname="Slow"}) > 0')], BY_ENV),
        # One of the labels in which the servers differ tells all of them apart.
        ([alert("sum by (environment) (up) < 3")], APART),
        ([alert("sum by (logical) (up) < 3")], APART),
        ([alert("up == on(environment) group_left sum by (environment) (up)")], APART),
        ([alert("sum by (environment) (up) < 3")], {**APART, "a2": APART["a"]}),
        ([alert("sum by (environment, logical) (up) < 3")], CROSSED),
    ],
)
def test_what_each_server_can_do_alone_is_not_reported(layers: list[Layer], servers: dict[str, Region]) -> None:
    policy = compiled(*layers)
    assert not policy.problems
    assert needs_several_servers(policy, servers) == []


@pytest.mark.parametrize(
    ("layers", "servers", "expected"),
    [
        ([alert("sum(up) < 3")], BY_ENV, {"A": "environment"}),
        ([alert("sum by (logical) (up) < 3")], BY_ENV, {"A": "environment"}),
        ([alert("sum by (environment) (up) < 3")], {"a": WEB, "b": DB}, {"A": "logical"}),
        ([alert("absent(up)")], BY_ENV, {"A": "environment"}),
        ([alert('absent(up{environment="staging"}) or absent(up{environment="production"})')], BY_ENV,
         {"A": "environment"}),
        ([alert("topk(3, up)")], BY_ENV, {"A": "environment"}),
        ([alert("absent(up)", scope=host("h1"))], BY_ENV, {"A": "environment"}),
        ([alert("sum(up) < 3", scope=host(""))], BY_ENV, {"A": "environment"}),
        ([alert("sum(up) < 3", scope=env("production"))], {"a": EU, "b": PRODUCTION}, {"A": "environment"}),
        ([alert("sum(up) < 3", scope=env("production"))], {"a": WEB, "b": DB}, {"A": "logical"}),
        ([alert("sum by (environment) (up) < 3")], {"a": PRODUCTION, "b": WEB}, {"A": "logical"}),
        ([alert("sum(up) < 3", partition_by=("logical",))], BY_ENV, {"A": "environment"}),
        ([alert("vector(1)")], BY_ENV, {"A": ""}),
        ([alert("limits > 3", unscoped=("limits",))], BY_ENV, {"A": ""}),
        # Recordings, and who reads them, however long the chain.
        ([UP_SUM], BY_ENV, {"job:up:sum": "environment"}),
        ([recording(2, "x", "label_replace(up, 'environment', '', '', '')")], BY_ENV, {"x": "environment"}),
        (
            [UP_SUM, recording(3, "job:up:twice", "job:up:sum * 2"), alert("job:up:twice < 3")],
            BY_ENV,
            {"A": "environment", "job:up:sum": "environment", "job:up:twice": "environment"},
        ),
        ([UP_SUM, alert("up > on(job) job:up:sum", unscoped=("job:up:sum",))], BY_ENV,
         {"A": "environment", "job:up:sum": "environment"}),
        ([UP_ENV, alert("sum(env:up:sum) < 3")], BY_ENV, {"A": "environment"}),
        # Recorded on one server only: the other one does not see it.
        ([IN_PRODUCTION, alert("absent(job:up:sum)")], BY_ENV, {"A": "environment"}),
        ([IN_PRODUCTION, alert("up == 0 unless on(job) job:up:sum", unscoped=("job:up:sum",))], BY_ENV,
         {"A": "environment"}),
        ([IN_PRODUCTION, IN_STAGING, alert("sum by (job) (job:up:sum) < 3")], BY_ENV, {"A": "environment"}),
        ([IN_PRODUCTION, IN_STAGING, alert("job:up:sum / job:up:sum < 3")], BY_ENV, {"A": "environment"}),
        ([IN_PRODUCTION, alert("job:up:sum / up < 3")], BY_ENV, {"A": "environment"}),
        # The same limits on each server: to read them is no problem.
        ([LIMITS, alert("up > on(job) group_left job:limits:max", unscoped=("job:limits:max",))], BY_ENV,
         {"job:limits:max": ""}),
        ([LIMITS, alert("job:limits:max > 3", unscoped=("job:limits:max",))], BY_ENV, {"job:limits:max": ""}),
        ([LIMITS, alert("sum(job:limits:max) > 3")], BY_ENV, {"job:limits:max": ""}),
        # What is recorded by target is told by its target alone.
        ([BY_TARGET, alert("sum(target:up:max) < 3")], BY_ENV, {"A": "environment"}),
        ([BY_TARGET, alert("absent(target:up:max)")], BY_ENV, {"A": "environment"}),
        ([BY_TARGET, alert("sum by (environment) (target:up:max) < 3")], BY_ENV, {"A": "environment"}),
        ([BY_TARGET, alert("sum by (instance) (target:up:max) < 3")], BY_ENV, {"A": "environment"}),
        ([BY_INSTANCE, alert("sum by (target) (instance:up:max) < 3")], BY_ENV, {"A": "environment"}),
        ([BY_TARGET, alert("sum without (target) (target:up:max) < 3")], BY_ENV, {"A": "environment"}),
        ([BY_TARGET, alert('sum(target:up:max{environment!="staging"}) < 3')], BY_ENV, {"A": "environment"}),
        ([BY_TARGET, alert("up > on(job) group_left target:up:max")], BY_ENV, {"A": "environment"}),
        ([BY_TARGET, alert("up > on(environment) group_left target:up:max")], BY_ENV, {"A": "environment"}),
        ([BY_TARGET, recording(3, "i:up", "max by (instance) (up)"), alert("target:up:max / i:up")], BY_ENV,
         {"A": "environment"}),
        ([BY_TARGET, TWICE, alert("sum(target:up:twice) < 3")], BY_ENV, {"A": "environment"}),
        ([BY_TARGET, recording(3, "job:up:max", "max by (job) (target:up:max)")], BY_ENV,
         {"job:up:max": "environment"}),
        ([recording(2, "x", "max by (target) (label_replace(up, 'target', 'x', '', ''))")], BY_ENV,
         {"x": "environment"}),
        ([recording(2, "x", "up", config={"labels": {"instance": "x"}}), alert("sum by (instance) (x) > 3")], BY_ENV,
         {"A": "environment"}),
        ([SLOW, alert('count(ALERTS{alertname="Slow"}) > 0')], BY_ENV, {"A": "environment"}),
        ([SLOW, alert('count by (environment) (ALERTS{alertname="Slow"}) > 0')], BY_ENV, {"A": "environment"}),
        # What tells nothing lies on two servers, and may only be taken one by one.
        ([IN_PRODUCTION, IN_STAGING, alert("sum by (environment) (job:up:sum) < 3")], BY_ENV, {"A": "environment"}),
        ([IN_PRODUCTION, IN_STAGING, alert("sum without (job) (job:up:sum) < 3")], BY_ENV, {"A": "environment"}),
        # Each label alone leaves groups on two servers.
        ([alert("sum by (environment) (up) < 3")], CROSSED, {"A": "logical"}),
        ([alert("sum by (logical) (up) < 3")], CROSSED, {"A": "environment"}),
        ([alert("sum by (job) (up) < 3")], APART, {"A": "environment"}),
        ([alert("up > on(job) group_left max by (job, environment) (up)")], BY_ENV, {"A": "environment"}),
        ([alert("sum by (environment) (up) < 3")], {**APART, "a2": PRODUCTION}, {"A": "logical"}),
        # Alerts of split rules are series, too.
        ([alert("sum(up) < 3"), layer(2, key="B", query='ALERTS{alertname="A"} > 0', variables=())], BY_ENV,
         {"A": "environment", "B": "environment"}),
    ],
)  # fmt: skip
def test_what_needs_series_of_several_servers_is_reported(
    layers: list[Layer], servers: dict[str, Region], expected: dict[str, str]
) -> None:
    policy = compiled(*layers)
    assert not policy.problems
    found = needs_several_servers(policy, servers)
    assert {split.key: split.label for split in found} == expected
    assert all(set(split.servers) <= servers.keys() and len(split.servers) > 1 for split in found)


def test_what_is_recorded_by_target_is_read_on_every_server_that_records_it() -> None:
    """A matcher on a label that it does not carry leaves none of it out, on any of them."""
    policy = compiled(BY_TARGET, alert('target:up:max{environment!="staging"} > 3'))
    for region in BY_ENV.values():
        assert {rule.key for rule in ServerView(policy, region).rules} == {"A", "target:up:max"}


def test_a_report_names_the_rule_its_region_the_servers_and_what_to_do() -> None:
    (split,) = needs_several_servers(
        compiled(layer(7, env("production"), ONE_SUM)), {"a": EU, "b": PRODUCTION, "c": STAGING}
    )
    assert (split.kind, split.key, split.rule_id, split.servers) == ("alerting", "CPU", 7, ("a", "b"))
    assert split.region == "environment in (production, production-eu)"
    finding = split.finding()
    assert (finding.code, finding.level, finding.key, finding.rule_id) == ("needs_several_servers", "warning", "CPU", 7)
    assert "a, b" in finding.message
    assert "partition_by" in finding.hint


def test_a_reader_is_told_which_recording_is_written_in_pieces() -> None:
    reader, _ = needs_several_servers(compiled(UP_SUM, alert("job:up:sum < 3")), BY_ENV)
    assert "'job:up:sum' (rule 2)" in reader.reason


def test_broken_keys_have_no_part_in_it() -> None:
    policy = compiled(layer(1, query=ONE_SUM), layer(2, env("production"), enabled=False))
    assert policy.problems
    assert needs_several_servers(policy, BY_ENV) == []


def test_what_is_known_of_unchanged_keys_is_used_again_and_right() -> None:
    keys = [layer(n, key=f"K{n}", query=(ONE_SUM, EACH_SERIES, BY_ENVIRONMENT)[n % 3]) for n in range(10, 20)]
    policy = compiled(*keys, UP_ENV, alert("env:up:sum < 3"))
    before = SplitAnalysis(policy, BY_ENV)
    changed = [*keys, recording(2, "env:up:sum", "sum(up)"), alert("env:up:sum < 3")]
    after = compile_policy(Policy(TOPOLOGY, tuple(changed)), policy.options, policy)
    step = SplitAnalysis(after, BY_ENV, before)
    assert step.rules == SplitAnalysis(after, BY_ENV).rules
    assert {split.key for split in step.rules} - {split.key for split in before.rules} == {"A", "env:up:sum"}
    other = SplitAnalysis(after, PAIR, step)
    assert other.rules == ()


# --- what nobody holds ------------------------------------------------------------------------------------------------


def test_the_positions_that_no_server_holds_are_told() -> None:
    assert gaps({}) == (Region(),)
    assert gaps({"a": Region()}) == ()
    assert gaps(ALL_THE_REST) == ()
    (rest,) = gaps(BY_ENV) or ()
    assert rest.text == "environment not in (production, production-eu, staging)"


def test_too_many_are_not_told() -> None:
    labels = [f"l{n}" for n in range(8)]
    one, other = Condition(True, frozenset("a")), Condition(True, frozenset("b"))
    servers = {label: Region.of({label: one, f"{label}x": other}) for label in labels}
    assert gaps(servers) is None


@given(servers=st.lists(regions, max_size=4), position=positions)
def test_gaps_are_disjoint_and_all_of_what_nobody_holds(servers: list[Region], position: dict[str, str]) -> None:
    found = gaps({str(number): region for number, region in enumerate(servers)})
    if found is not None:
        holding = [region for region in found if region.holds(position)]
        assert len(holding) == (0 if any(region.holds(position) for region in servers) else 1)
