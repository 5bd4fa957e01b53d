"""Alert rules: what a write stores, fills in and refuses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from alerts.actions import groups, rules, targets, templates
from alerts.actions.errors import InvalidPolicy, NotFound, PolicyConflict, PolicyError, Taken, VersionMismatch
from alerts.models import AlertRule, PolicyState, RuleMetric


def objections(error: pytest.ExceptionInfo[PolicyError]) -> set[tuple[str, str]]:
    return {(finding.pointer, finding.code) for finding in error.value.findings}


def test_a_rule_is_stored_as_written(world: SimpleNamespace) -> None:
    config = {"for_duration": "90s", "labels": {"team": "core"}, "annotations": {"summary": "{{ $value }} is high"}}
    made = rules.create({"name": "Down", "query_template": "up  ==  0", "config": config, "priority": 7})
    row = AlertRule.objects.get(pk=made.pk)
    assert (row.query_template, row.config, row.priority, row.enabled) == ("up  ==  0", config, 7, True)
    assert (row.version, row.revision, row.scope_key) == (1, PolicyState.current(), "global")


@pytest.mark.parametrize(
    ("values", "key", "strategy"),
    [
        ({"name": "A", "query_template": "up"}, "A", "override"),
        ({"key": "a"}, "a", "merge"),
        ({"name": "A", "key": "a", "query_template": "up", "merge_strategy": "merge"}, "a", "merge"),
        ({"name": "A", "key": None, "merge_strategy": None}, "A", "merge"),
    ],
)
def test_key_and_strategy_have_defaults(world: SimpleNamespace, values: Any, key: str, strategy: str) -> None:
    row = rules.create(values)
    assert (row.key, row.merge_strategy) == (key, strategy)


REFUSED: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "neither name nor key": ({"query_template": "up"}, ("/name", "required")),
    "an unknown field": ({"name": "A", "querry": "up"}, ("/querry", "unknown_field")),
    "an unknown group": ({"name": "A", "group_id": 10**6}, ("/group_id", "unknown_reference")),
    "a group id beyond any": ({"name": "A", "group_id": 2**80}, ("/group_id", "unknown_reference")),
    "a group id that is none": ({"name": "A", "group_id": True}, ("/group_id", "unknown_reference")),
    "an unknown template": ({"name": "A", "template_id": 10**6}, ("/template_id", "unknown_reference")),
    "a priority beyond the column": (
        {"name": "A", "query_template": "up", "priority": 2**40},
        ("/priority", "out_of_range"),
    ),
    "a NUL in the external id": (
        {"name": "A", "query_template": "up", "external_id": "a\0"},
        ("/external_id", "text_invalid"),
    ),
    "a surrogate deep in the config": (
        {"name": "A", "query_template": "up", "config": {"labels": {"a": "\ud800"}}},
        ("/config/labels/a", "text_invalid"),
    ),
    "what is no number": (
        {"name": "A", "query_template": "up", "config": {"template_vars": {"x": float("nan")}}},
        ("/config/template_vars/x", "type"),
    ),
    "a list for a config": ({"name": "A", "config": []}, ("/config", "type")),
    "an unknown severity": ({"name": "A", "query_template": "up", "severity": "x"}, ("/severity", "severity_unknown")),
    "an override without a query": (
        {"name": "A", "merge_strategy": "override"},
        ("/query_template", "query_required"),
    ),
    "a name that is too long": ({"name": "A" * 256, "query_template": "up"}, ("/name", "too_long")),
}


@pytest.mark.parametrize(("values", "objection"), REFUSED.values(), ids=REFUSED)
def test_a_bad_rule_is_refused_and_leaves_no_trace(
    world: SimpleNamespace, values: dict[str, Any], objection: tuple[str, str]
) -> None:
    before = PolicyState.current(), AlertRule.objects.count()
    with pytest.raises(InvalidPolicy) as error:
        rules.create(values)
    assert objection in objections(error)
    assert (PolicyState.current(), AlertRule.objects.count()) == before


def test_all_objections_come_at_once(world: SimpleNamespace) -> None:
    with pytest.raises(InvalidPolicy) as error:
        rules.create(
            {
                "name": "A",
                "query_template": "up",
                "external_id": "\0",
                "severity": "x",
                "config": {"labels": {"1": "a"}},
            }
        )
    assert {pointer for pointer, _ in objections(error)} == {"/external_id", "/severity", "/config/labels/1"}


def test_two_scopes_are_refused_at_both(world: SimpleNamespace) -> None:
    with pytest.raises(InvalidPolicy) as error:
        rules.create({"name": "A", "group_id": world.berlin.pk, "target_id": world.web.pk})
    assert objections(error) == {("/group_id", "two_scopes"), ("/target_id", "two_scopes")}


def test_a_second_scope_by_update_is_refused_and_a_change_of_scope_is_not(world: SimpleNamespace) -> None:
    with pytest.raises(InvalidPolicy):
        rules.update(world.rule.pk, {"target_id": world.web.pk})
    row = rules.update(world.rule.pk, {"target_id": world.web.pk, "group_id": None})
    assert row.scope_key == f"target:{world.web.pk}"


def test_a_deleted_scope_is_a_conflict(world: SimpleNamespace) -> None:
    empty = groups.create({"name": "empty", "namespace_id": world.site.pk})
    groups.delete([empty.pk])
    with pytest.raises(PolicyConflict) as error:
        rules.create({"name": "A", "query_template": "up", "group_id": empty.pk})
    assert objections(error) == {("/group_id", "deleted_reference")}


def test_the_same_key_at_the_same_scope_is_taken(world: SimpleNamespace) -> None:
    with pytest.raises(Taken) as error:
        rules.create({"key": "HighLoad", "group_id": world.berlin.pk})
    assert objections(error) == {("/key", "taken")}
    rules.create({"key": "HighLoad", "group_id": world.europe.pk, "config": {"labels": {"a": "b"}}})


def test_a_rule_from_a_template_is_a_deep_copy(world: SimpleNamespace) -> None:
    made = rules.create(
        {"name": "Load", "template_id": world.template.pk, "config": {"template_vars": {"threshold": 9}}}
    )
    templates.update(
        world.template.pk, {"default_config": {"for_duration": "1h"}, "query_template": "load5 > {{ .threshold }}"}
    )
    row = AlertRule.objects.get(pk=made.pk)
    assert (row.query_template, row.severity, row.default_config) == (
        "load1 > {{ .threshold }}",
        "warning",
        {"for_duration": "5m"},
    )
    assert (row.created_from_template_id, row.created_from_template_name) == (world.template.pk, "High load")
    assert row.merge_strategy == "override"


def test_a_rule_keeps_the_name_of_a_purged_template(world: SimpleNamespace) -> None:
    made = rules.create({"name": "Load", "template_id": world.template.pk})
    templates.delete([world.template.pk])
    templates.purge([world.template.pk])
    row = AlertRule.objects.get(pk=made.pk)
    assert (row.created_from_template_id, row.created_from_template_name) == (None, "High load")


@pytest.mark.parametrize("field", ["query_template", "severity", "kind"])
def test_a_template_and_a_field_of_it_are_not_both_given(world: SimpleNamespace, field: str) -> None:
    values = {"query_template": "up", "severity": "critical", "kind": "alerting"}
    with pytest.raises(InvalidPolicy) as error:
        rules.create({"name": "A", "template_id": world.template.pk, field: values[field]})
    assert objections(error) == {(f"/{field}", "from_template")}


def test_a_deleted_template_is_a_conflict(world: SimpleNamespace) -> None:
    templates.delete([world.template.pk])
    with pytest.raises(PolicyConflict):
        rules.create({"name": "A", "template_id": world.template.pk})


def test_a_template_cannot_be_given_later(world: SimpleNamespace) -> None:
    with pytest.raises(InvalidPolicy):
        rules.update(world.rule.pk, {"template_id": world.template.pk})


def test_a_change_moves_version_and_revision_on(world: SimpleNamespace) -> None:
    before = PolicyState.current()
    row = rules.update(world.rule.pk, {"priority": 5})
    assert (row.version, row.revision, PolicyState.current()) == (2, before + 1, before + 1)
    assert AlertRule.objects.get(pk=row.pk).updated_at == row.updated_at > world.rule.updated_at


def test_writing_what_is_there_changes_nothing(world: SimpleNamespace) -> None:
    before = PolicyState.current()
    row = rules.update(world.rule.pk, {"priority": 100, "name": "HighLoad", "group_id": world.berlin.pk})
    assert (row.version, PolicyState.current()) == (1, before)


@pytest.mark.parametrize(("before", "after"), [(1, True), (1, 1.0)])
def test_values_that_only_python_holds_equal_are_a_change(world: SimpleNamespace, before: Any, after: Any) -> None:
    variables = [{"name": "x", "type": "string", "description": "d", "default": "a"}]
    made = rules.create({"name": "A", "query_template": 'up{a="{{ .x }}"}', "variables": variables})
    merge = rules.create({"key": "A", "target_id": world.web.pk, "config": {"template_vars": {"x": "b"}}})
    assert made.key == merge.key
    changed = AlertRule(config={"template_vars": {"x": before}})
    from alerts.actions.writing import settle

    assert settle(changed, {"config": {"template_vars": {"x": after}}})[0] == {"config"}


def test_the_version_last_seen_must_be_the_one_there_is(world: SimpleNamespace) -> None:
    rules.update(world.rule.pk, {"priority": 5}, expected_version=1)
    with pytest.raises(VersionMismatch) as error:
        rules.update(world.rule.pk, {"priority": 6}, expected_version=1)
    assert error.value.version == 2
    with pytest.raises(VersionMismatch):
        rules.delete([world.rule.pk], expected_version=1)
    assert AlertRule.objects.living().get(pk=world.rule.pk).priority == 5


def test_a_dry_run_shows_the_row_and_stores_nothing(world: SimpleNamespace) -> None:
    before = PolicyState.current()
    row = rules.create({"name": "A", "query_template": "up"}, dry_run=True)
    assert (row.key, row.version) == ("A", 1)
    changed = rules.update(world.rule.pk, {"priority": 5}, dry_run=True)
    assert (changed.priority, changed.version) == (5, 2)
    rules.delete([world.rule.pk], dry_run=True)
    assert AlertRule.objects.living().values_list("key", "priority").get() == ("HighLoad", 100)
    assert PolicyState.current() == before


def test_a_dry_run_is_judged_like_any_write(world: SimpleNamespace) -> None:
    with pytest.raises(Taken):
        rules.create({"key": "HighLoad", "group_id": world.berlin.pk}, dry_run=True)


def test_an_unknown_or_deleted_rule_is_not_found(world: SimpleNamespace) -> None:
    rules.delete([world.rule.pk])
    for row_id in (world.rule.pk, 10**6, -1, 2**80):
        with pytest.raises(NotFound) as error:
            rules.update(row_id, {"priority": 5})
        assert error.value.ids == (row_id,)


def test_the_metrics_a_query_reads_are_noted(world: SimpleNamespace) -> None:
    row = rules.create({"name": "A", "query_template": "a / on(x) sum by (x) (rate(b[5m]))"})
    assert set(row.metrics.values_list("metric", flat=True)) == {"a", "b"}
    rules.update(row.pk, {"query_template": "c"})
    assert set(RuleMetric.objects.filter(rule=row).values_list("metric", flat=True)) == {"c"}
    rules.update(row.pk, {"query_template": None, "merge_strategy": "merge"})
    assert not RuleMetric.objects.filter(rule=row).exists()


def test_a_metric_that_a_value_decides_may_be_any(world: SimpleNamespace) -> None:
    variables = [{"name": "m", "type": "string", "default": "a"}]
    row = rules.create({"name": "A", "query_template": 'b + {__name__="{{ .m }}"}', "variables": variables})
    assert set(row.metrics.values_list("metric", flat=True)) == {"*", "b"}


def test_a_hostname_may_change_under_a_rule(world: SimpleNamespace) -> None:
    row = rules.create({"key": "HighLoad", "target_id": world.web.pk, "config": {"labels": {"a": "b"}}})
    targets.update(world.web.pk, {"hostname": "web-2"})
    assert AlertRule.objects.get(pk=row.pk).target.hostname == "web-2"
