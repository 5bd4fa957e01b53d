"""Several servers, judged by promtool: real rules restricted, and evaluations on parts against those on all series."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from alerts.domain.compiler import CompiledPolicy, Options, compile_policy
from alerts.domain.errors import PromqlError
from alerts.domain.fleet import ServerView
from alerts.domain.fleet_splits import needs_several_servers
from alerts.domain.layers import GLOBAL, Group, Kind, Layer, Namespace, Policy, Topology
from alerts.domain.promql.expression import parse
from alerts.domain.regions import Condition, Region
from alerts.domain.renderer import render
from tests.corpora import rule_expressions
from tests.domain.promql import judge
from tests.domain.promql.distribution_table import IN_PIECES, UNSCOPED, WHOLE
from tests.domain.promql.random_expressions import random_expression
from tests.domain.promql.test_distribution_judged import DATA, adds_up

TOPOLOGY = Topology((Namespace("env", "env", 1),), (Group("env", "a"), Group("env", "b")))
A, REST = (Region.of({"env": Condition(include, frozenset("a"))}) for include in (True, False))
FLEET = {"a": A, "rest": REST}


def policy_of(texts: Sequence[str], kind: Kind = "alerting") -> CompiledPolicy:
    layers = [
        Layer(number, kind, f"k:{number:05}", GLOBAL, query=text, unscoped=UNSCOPED)
        for number, text in enumerate(texts)
    ]
    policy = compile_policy(Policy(TOPOLOGY, tuple(layers)), Options())
    assert not policy.problems
    return policy


def by_key(policy: CompiledPolicy, region: Region) -> dict[str, str]:
    return {rule.key: rule.expr for rule in ServerView(policy, region).rules}


# --- rules that nobody here wrote -------------------------------------------------------------------------------------


@cache
def real_rules() -> CompiledPolicy:
    texts = []
    for text, accepted in rule_expressions():
        try:
            parse(text)
        except PromqlError:
            continue
        if accepted:
            texts.append(text)
    assert len(texts) > 2_500
    return policy_of(texts)


def test_every_real_rule_can_be_held_to_a_selector() -> None:
    policy = real_rules()
    view = ServerView(policy, A)
    assert not view.problems
    left = {rule.key: rule for rule in view.rules}
    assert len(left) > 0.99 * len(policy.rules)
    for rule in policy.rules:
        if rule.key not in left:
            continue
        restricted = left[rule.key]
        assert restricted.identity == rule.identity
        for before, after in zip(parse(rule.expr).selectors, parse(restricted.expr).selectors, strict=True):
            added = [matcher.text for matcher in after.matchers if matcher not in before.matchers]
            spared = before.name in UNSCOPED or before.name in ("ALERTS", "ALERTS_FOR_STATE")
            assert added == [] if spared or matches_env(before.matchers) else added == ['env="a"']


def matches_env(matchers: Sequence[object]) -> bool:
    return any(getattr(matcher, "text", "") == 'env="a"' for matcher in matchers)


def test_promtool_accepts_real_rules_that_were_held_to_a_selector(promtool: Path) -> None:
    exprs = [rule.expr for rule in ServerView(real_rules(), REST).rules]
    assert judge.refused(promtool, random.Random(20).sample(exprs, 400)) == {}


@pytest.mark.full
def test_promtool_accepts_every_one_of_them(promtool: Path) -> None:
    assert judge.refused(promtool, [rule.expr for rule in ServerView(real_rules(), REST).rules]) == {}


# --- evaluations ------------------------------------------------------------------------------------------------------


def differing(promtool: Path, policy: CompiledPolicy) -> set[str]:
    """The keys whose evaluations on the two servers do not add up to that of the rule as compiled."""
    views = [by_key(policy, region) for region in (Region(), *FLEET.values())]
    asked = [(number, key, expr) for number, view in enumerate(views) for key, expr in view.items()]
    found: set[str] = set()
    for series in DATA.values():
        answers = judge.evaluate(promtool, series, [expr for _, _, expr in asked])
        results = {(number, key): answer for (number, key, _), answer in zip(asked, answers, strict=True)}
        nothing: judge.Samples = frozenset()
        for key in views[0]:
            if not adds_up(results[0, key], results.get((1, key), nothing), results.get((2, key), nothing)):
                found.add(key)
    return found


def test_what_is_not_reported_is_on_two_servers_together_what_it_is_on_one(promtool: Path) -> None:
    chance = random.Random(11)
    texts = [*IN_PIECES, *(text for text, _, _ in WHOLE), *(random_expression(chance) for _ in range(500))]
    policy = policy_of(list(dict.fromkeys(texts)))
    reported = {split.key for split in needs_several_servers(policy, FLEET)}
    different = differing(promtool, policy)
    assert different - reported == set()
    assert len(different) > 30


def test_what_may_be_evaluated_in_pieces_is_not_reported() -> None:
    assert needs_several_servers(policy_of(IN_PIECES), FLEET) == []


# --- recordings -------------------------------------------------------------------------------------------------------


def test_an_alert_on_a_series_recorded_without_the_label_fires_on_its_server(promtool: Path, tmp_path: Path) -> None:
    """The rules as that server loads them, over its own series and over more: promtool's unit test."""
    layers = (
        Layer(1, "recording", "job:up:sum", GLOBAL, name="job:up:sum", query="sum by (job) (up)"),
        Layer(2, "alerting", "Few", GLOBAL, query="job:up:sum < 3"),
        Layer(3, "alerting", "Told", GLOBAL, query='count(ALERTS{alertname="Few"}) > 0'),
    )
    view = ServerView(compile_policy(Policy(TOPOLOGY, layers), Options()), A)
    for name, file in render(view.rules).items():
        (tmp_path / name).write_bytes(file.content)
    inputs = [
        {"series": 'up{env="a",job="j",instance="1"}', "values": "1+0x20"},
        {"series": 'up{env="a",job="j",instance="2"}', "values": "1+0x20"},
        {"series": 'up{env="b",job="j",instance="3"}', "values": "1+0x20"},
        {"series": 'up{job="j",instance="4"}', "values": "1+0x20"},
    ]
    expected = [
        {"eval_time": "10m", "alertname": "Few", "exp_alerts": [{"exp_labels": {"job": "j"}}]},
        {"eval_time": "10m", "alertname": "Told", "exp_alerts": [{"exp_labels": {}}]},
    ]
    recorded = {
        "expr": "job:up:sum",
        "eval_time": "10m",
        "exp_samples": [{"labels": 'job:up:sum{job="j"}', "value": 2}],
    }
    for series in (inputs, inputs[:2]):
        content = {
            "rule_files": [str(path) for path in sorted(tmp_path.glob("*.yml"))],
            "evaluation_interval": "1m",
            "tests": [
                {"interval": "1m", "input_series": series, "alert_rule_test": expected, "promql_expr_test": [recorded]}
            ],
        }
        test = tmp_path / "test.json"
        test.write_text(json.dumps(content))
        done = subprocess.run([promtool, "test", "rules", test], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
