"""Folding by worked examples: who has the last word, what is forgotten, and whom a finding blames."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.domain.layers import Layer, Position
from alerts.domain.resolver import Resolution, fold, resolve
from alerts.domain.trace import KeyTrace, trace
from tests.domain.policies import EACH_SERIES, TOPOLOGY, env, layer, logical, plan_of, threshold


def resolved(*layers: Layer) -> Resolution:
    """``layers`` weakest first."""
    folded = fold(layers)
    assert folded is not None
    return resolve(folded)


def traced(*layers: Layer, at: Position) -> KeyTrace:
    found = trace(TOPOLOGY, plan_of(*layers), at)
    assert found is not None
    return found


BASE = layer(
    1,
    query=EACH_SERIES,
    severity="warning",
    default_config={"for_duration": "5m", "severity": "info", "labels": {"a": "default", "b": "default"}},
    config={"labels": {"a": "base"}, "annotations": {"text": "over {{ .threshold }}, {{ $value }}"}},
)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, {"for_duration": "5m", "severity": "warning"}),
        ({"for_duration": "1m"}, {"for_duration": "1m"}),
        ({"for_duration": None}, {"for_duration": None}),
        ({"severity": "critical"}, {"severity": "critical"}),
        ({"severity": None}, {"severity": None, "labels": (("a", "base"), ("b", "default"))}),
        ({"labels": {"b": None}}, {"labels": (("a", "base"), ("severity", "warning"))}),
        ({"labels": None}, {"labels": (("severity", "warning"),)}),
        ({"labels": {"a": "{{ .threshold }}"}}, {"labels": (("a", "80"), ("b", "default"), ("severity", "warning"))}),
        (threshold(90), {"expr": "cpu_usage > 90", "annotations": (("text", "over 90, {{ $value }}"),)}),
        ({"template_vars": {"threshold": None}}, {"expr": "cpu_usage > 80"}),
    ],
)
def test_a_merge_is_a_merge_patch(config: dict[str, Any], expected: dict[str, Any]) -> None:
    rule = resolved(BASE, layer(2, config=config)).rule
    assert {name: getattr(rule, name) for name in expected} == expected


def test_an_override_forgets_everything_weaker() -> None:
    rule = resolved(BASE, layer(2, query="up == 0")).rule
    assert rule is not None
    assert (rule.expr, rule.for_duration, rule.labels, rule.annotations) == ("up == 0", None, (), ())


def test_a_merge_with_a_query_keeps_configs_but_brings_its_own_defaults() -> None:
    newer = layer(2, query="up == 0", strategy="merge", default_config={"for_duration": "9m", "labels": {"c": "new"}})
    rule = resolved(BASE, newer).rule
    assert rule is not None
    assert (rule.expr, rule.for_duration) == ("up == 0", "9m")
    assert rule.labels == (("a", "base"), ("c", "new"), ("severity", "warning"))


@pytest.mark.parametrize(
    ("said", "enabled"),
    [
        ((None, None), True),
        ((False, None), False),
        ((False, True), True),
        ((True, False), False),
        ((None, False, None), False),
    ],
)
def test_the_last_word_on_enabled_counts(said: tuple[bool | None, ...], enabled: bool) -> None:
    folded = fold([layer(1, query="up", enabled=said[0]), *(layer(n + 2, enabled=e) for n, e in enumerate(said[1:]))])
    assert folded is not None
    assert folded.enabled is enabled


def test_an_override_that_says_nothing_is_enabled() -> None:
    folded = fold([layer(1, query="up", enabled=False), layer(2, query="up")])
    assert folded is not None
    assert folded.enabled


def test_layers_without_a_query_below_them_add_nothing() -> None:
    assert fold([layer(1, config={"for_duration": "1m"})]) is None
    rule = resolved(layer(1, config={"for_duration": "1m"}), layer(2, query="up", strategy="merge")).rule
    assert rule is not None
    assert rule.for_duration is None


def test_the_strongest_name_counts_else_the_key() -> None:
    assert resolved(layer(1, query="up", name="A"), layer(2, name="B"), layer(3)).rule.name == "B"  # type: ignore[union-attr]
    assert resolved(layer(1, query="up")).rule.name == "CPU"  # type: ignore[union-attr]


def test_a_value_that_a_weaker_layer_gives_in_vain_is_unused() -> None:
    folded = fold(
        [layer(1, query=EACH_SERIES, config=threshold(7)), layer(2, query="up", strategy="merge", variables=())]
    )
    assert folded is not None
    assert set(folded.unused_variables()) == {"threshold"}
    assert resolve(folded).rule is not None


def test_a_value_that_a_stronger_layer_gives_in_vain_is_an_error_of_that_layer() -> None:
    resolution = resolved(layer(1, query="up", variables=()), layer(2, config=threshold(7)))
    (finding,) = resolution.findings
    assert (finding.code, finding.rule_id, finding.pointer) == (
        "variable_undeclared", 2, "/config/template_vars/threshold",
    )  # fmt: skip
    assert resolution.rule is None


def test_a_bad_value_is_the_fault_of_the_layer_that_set_it() -> None:
    (finding, *_) = resolved(
        BASE, layer(2, config=threshold(3)), layer(3, config={"template_vars": {"threshold": "x"}})
    ).findings
    assert (finding.rule_id, finding.key, finding.pointer) == (3, "CPU", "/config/template_vars/threshold")


# --- trace ------------------------------------------------------------------------------------------------------------

PRODUCTION = layer(2, env("production"), config={"for_duration": "1m", "labels": {"a": None}})


def test_a_trace_shows_losers_under_winners() -> None:
    found = traced(BASE, PRODUCTION, at={"environment": "production"})
    assert [(entry.layer.rule_id, entry.status) for entry in found.layers] == [(2, "applied"), (1, "applied")]
    field = found.fields["for_duration"]
    assert (field.value, [lost.value for lost in field.over]) == ("1m", ["5m"])
    assert field.set_by is not None
    assert field.set_by.layer is PRODUCTION
    removed = found.fields["labels.a"]
    assert (removed.value, [lost.value for lost in removed.over]) == (None, ["base", "default"])


def test_a_trace_shows_what_an_override_forgot() -> None:
    found = traced(BASE, layer(2, env("production"), "up == 0"), at={"environment": "production"})
    assert [entry.status for entry in found.layers] == ["applied", "overridden"]
    forgotten = found.fields["labels.b"]
    assert (forgotten.value, forgotten.set_by, [lost.value for lost in forgotten.over]) == (None, None, ["default"])


def test_a_trace_tells_mutes_and_orphans() -> None:
    mute = layer(2, env("production"), enabled=False)
    assert [e.status for e in traced(BASE, mute, at={"environment": "production"}).layers] == ["disabled", "applied"]
    orphan = layer(3, logical("web"), config={"for_duration": "1m"})
    found = traced(layer(1, env("staging"), "up"), orphan, at={"logical": "web"})
    assert [entry.status for entry in found.layers] == ["orphan"]
    assert found.fields == {}
    assert trace(TOPOLOGY, plan_of(PRODUCTION), {"environment": "staging"}) is None


def test_a_trace_says_why_a_piece_was_dropped() -> None:
    layers = [layer(1, query='m{environment="staging"} > 1'), layer(2, env("staging"), "n > 1")]
    found = traced(*layers, at={"environment": "production"})
    assert found.dropped is not None
    assert 'environment="staging"' in found.dropped
    assert traced(*layers, at={"environment": "staging"}).dropped is None
