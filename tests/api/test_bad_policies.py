"""Policies that are well-formed JSON and still no policies: what gets what, and where it points."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from alerts.models import AlertRule, PolicyState
from tests.api.conftest import Answer, Caller

NUMBER = [{"name": "threshold", "type": "number", "min": 0, "max": 100}]
TEMPLATED = {"name": "x", "query_template": "load1 > {{ .threshold }}", "variables": NUMBER}


def refused(admin: Caller, body: dict[str, Any]) -> Answer:
    """The answer to a rule that must not be stored."""
    revision = PolicyState.current()
    answer = admin.post("alert-rules", body)
    assert answer.problem
    assert PolicyState.current() == revision
    assert admin.get("alert-rules").status == 200
    return answer


@pytest.mark.parametrize(
    ("query", "offset"),
    [
        ("sum(", None),
        ("up ==", None),
        ("up{", None),
        ("up{a=}", None),
        ("up 1", None),
        ('up{a="b}', None),
        ("", None),
        ("   ", None),
        ("rate(up)", None),
        ("sum(1, 2)", None),
        ("up{a=~'('}", None),
    ],
)
def test_promql_that_does_not_parse_is_refused_with_its_position(admin: Caller, query: str, offset: int | None) -> None:
    answer = refused(admin, {"name": "x", "query_template": query})
    assert answer.status == 400
    assert answer.pointers[0] == "/query_template"


@pytest.mark.parametrize("query", ["up[5m]", "(up[5m])", "up[5m:1m]", '"text"', "('text')"])
def test_a_query_that_can_never_be_a_rule_is_refused(admin: Caller, query: str) -> None:
    (error,) = refused(admin, {"name": "x", "query_template": query}).problem["errors"]
    assert (error["pointer"], error["code"]) == ("/query_template", "no_vector")


def test_position_is_of_the_text_as_written(admin: Caller) -> None:
    (error,) = refused(admin, {"name": "x", "query_template": "up ==\n  sum by (a) (foo{b=})"}).problem["errors"]
    assert error["line"] == 2
    assert error["column"] > 1
    assert error["offset"] > len("up ==\n")


@pytest.mark.parametrize(
    "query",
    ["mad_over_time(up[5m])", 'sort_by_label(up, "a")', 'up{a="b" or c="d"}'],
)
def test_what_only_promtool_refuses_is_refused_in_its_words(
    admin: Caller, settings: Any, promtool: Path, query: str
) -> None:
    settings.PROMTOOL_PATH = str(promtool)
    answer = refused(admin, {"name": "x", "query_template": query})
    assert answer.status == 400
    assert answer.pointers[0] == "/query_template"


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("up == " + "1" * 20_000, id="20 kB"),
        pytest.param("(" * 5000 + "up" + ")" * 5000, id="5,000 parentheses"),
        pytest.param("(" * 5000, id="5,000 parentheses that never close"),
        pytest.param("up" + " + 1" * 5000, id="5,000 terms"),
        pytest.param("up" + "+1" * 1500, id="1,500 terms in 3 kB"),
        pytest.param("-" * 5000 + "1", id="5,000 signs"),
        pytest.param("sum(" * 1000 + "up" + ")" * 1000, id="1,000 functions"),
        pytest.param("up" + "[1m:]" * 500, id="500 subqueries"),
        pytest.param("up{" + 'a="b",' * 2000 + "}", id="2,000 matchers"),
    ],
)
def test_hostile_expression_is_refused_at_once_and_the_process_lives(admin: Caller, query: str) -> None:
    start = time.process_time()
    assert refused(admin, {"name": "x", "query_template": query}).status == 400
    assert time.process_time() - start < 5


@pytest.mark.parametrize("query", ['up{a=~"(a+)+$"}', 'up{a=~"(.*)*x"}', 'up{a=~"' + "(a|a)*" * 50 + 'b"}'])
def test_regex_that_blows_up_a_backtracking_engine_takes_no_time(admin: Caller, query: str) -> None:
    start = time.process_time()
    assert admin.post("alert-rules", {"name": "x", "query_template": query}).status in (201, 400)
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("body", "named"),
    [
        pytest.param({"template_vars": {"other": 1}}, "other", id="undeclared"),
        pytest.param({}, "threshold", id="missing"),
        pytest.param({"template_vars": {"threshold": "many"}}, "threshold", id="mistyped"),
        pytest.param({"template_vars": {"threshold": True}}, "threshold", id="a boolean for a number"),
        pytest.param({"template_vars": {"threshold": [1]}}, "threshold", id="a list"),
        pytest.param({"template_vars": {"threshold": 101}}, "threshold", id="too large"),
        pytest.param({"template_vars": {"threshold": -1}}, "threshold", id="too small"),
        pytest.param({"template_vars": {"threshold": "80 or vector(1)"}}, "threshold", id="changes the structure"),
        pytest.param({"template_vars": {"threshold": "{{ .x }}"}}, "threshold", id="smuggles braces"),
    ],
)
def test_wrong_variable_is_named(admin: Caller, body: dict[str, Any], named: str) -> None:
    answer = refused(admin, {**TEMPLATED, "config": body})
    assert answer.status == 400
    assert any(named in error["message"] + error["pointer"] for error in answer.problem["errors"])


@pytest.mark.parametrize("value", ['"} or up{', '"', "{{ .x }}", "}}", '"} or vector(1) or up{a="', "a\0b", "a\nb\x1b"])
def test_text_value_never_changes_the_query(admin: Caller, value: str) -> None:
    body = {
        "name": "x",
        "query_template": 'up{job="{{ .job }}"} == 0',
        "variables": [{"name": "job", "type": "string"}],
        "config": {"template_vars": {"job": value}},
    }
    answer = refused(admin, body)
    assert answer.status == 400
    assert any("job" in error["message"] + error["pointer"] for error in answer.problem["errors"])


@pytest.mark.parametrize(
    ("template", "place"),
    [
        ("{{ .undeclared }}", "query_template"),
        ("up == {{ .threshold", "query_template"),
        ("up == {{ }}", "query_template"),
    ],
)
def test_broken_or_left_over_placeholder_is_refused(admin: Caller, template: str, place: str) -> None:
    answer = refused(admin, {**TEMPLATED, "query_template": template, "config": {"template_vars": {"threshold": 1}}})
    assert (answer.status, answer.pointers[0]) == (400, f"/{place}")


# ------------------------------------------------------------------------------------------------ references


@pytest.mark.parametrize(
    "fields", [("namespace_id", "group_id"), ("group_id", "target_id"), ("namespace_id", "group_id", "target_id")]
)
def test_two_scopes_are_refused(admin: Caller, world: SimpleNamespace, fields: tuple[str, ...]) -> None:
    ids = {"namespace_id": world.site["id"], "group_id": world.berlin["id"], "target_id": world.web["id"]}
    body = {"name": "x", "query_template": "up == 0", **{field: ids[field] for field in fields}}
    answer = refused(admin, body)
    assert (answer.status, set(answer.codes)) == (400, {"two_scopes"})
    patched = admin.patch(f"alert-rules/{world.rule['id']}", {"target_id": world.web["id"]})
    assert (patched.status, set(patched.codes)) == (400, {"two_scopes"})


def test_two_groups_of_one_namespace_are_refused(admin: Caller, world: SimpleNamespace) -> None:
    body = {"hostname": "x", "groups": [world.live["id"], world.berlin["id"], world.europe["id"]]}
    answer = admin.post("targets", body)
    assert (answer.status, answer.pointers, answer.codes) == (400, ["/groups/2"], ["two_groups"])


def test_parent_cycle_is_refused(admin: Caller, world: SimpleNamespace) -> None:
    for parent in (world.berlin, world.europe):
        answer = admin.patch(f"groups/{world.europe['id']}", {"parent": parent["id"]})
        assert (answer.status, answer.pointers, answer.codes) == (400, ["/parent"], ["cycle"])


def test_parent_in_another_namespace_is_refused(admin: Caller, world: SimpleNamespace) -> None:
    answer = admin.patch(f"groups/{world.berlin['id']}", {"parent": world.live["id"]})
    assert (answer.status, answer.pointers) == (400, ["/parent"])


def test_deleted_reference_is_a_conflict(admin: Caller, world: SimpleNamespace) -> None:
    namespace = admin.make("namespaces", name="gone")
    group = admin.make("groups", name="gone", namespace=world.site["id"])
    target = admin.make("targets", hostname="gone")
    for path, row in (("namespaces", namespace), ("groups", group), ("targets", target)):
        admin.delete(f"{path}/{row['id']}")
    admin.delete(f"alert-templates/{world.template['id']}")
    query = {"name": "x", "query_template": "up == 0"}
    requests = [
        ("groups", {"name": "x", "namespace": namespace["id"]}, "/namespace"),
        ("groups", {"name": "x", "namespace": world.site["id"], "parent": group["id"]}, "/parent"),
        ("targets", {"hostname": "x", "groups": [group["id"]]}, "/groups/0"),
        ("alert-rules", {**query, "namespace_id": namespace["id"]}, "/namespace_id"),
        ("alert-rules", {**query, "group_id": group["id"]}, "/group_id"),
        ("alert-rules", {**query, "target_id": target["id"]}, "/target_id"),
        ("alert-rules", {"name": "x", "template_id": world.template["id"]}, "/template_id"),
    ]
    for path, body, pointer in requests:
        answer = admin.post(path, body)
        assert (answer.status, answer.pointers, answer.codes) == (409, [pointer], ["deleted_reference"])


def test_one_rule_per_key_and_scope(admin: Caller, world: SimpleNamespace) -> None:
    body = {"key": "HighLoad", "name": "Other", "query_template": "up == 0"}
    answer = admin.post("alert-rules", {**body, "group_id": world.berlin["id"]})
    assert answer.status == 409
    assert answer.problem["type"].endswith(":taken")
    assert admin.post("alert-rules", {**body, "group_id": world.europe["id"]}).status == 201
    recording = {"key": "HighLoad", "name": "a:b", "kind": "recording", "query_template": "up"}
    assert admin.post("alert-rules", {**recording, "group_id": world.berlin["id"]}).status == 201


@pytest.mark.parametrize(
    ("path", "first", "second", "pointer"),
    [
        ("namespaces", {"name": "a", "label": "x"}, {"name": "a", "label": "y"}, "/name"),
        ("namespaces", {"name": "a", "label": "x"}, {"name": "b", "label": "x"}, "/label"),
        ("groups", {"name": "a", "namespace": 1}, {"name": "a", "namespace": 1, "label_value": "b"}, "/name"),
        ("groups", {"name": "a", "namespace": 1}, {"name": "b", "namespace": 1, "label_value": "a"}, "/label_value"),
        ("targets", {"hostname": "a"}, {"hostname": "a"}, "/hostname"),
        ("targets", {"hostname": "a", "external_id": "x"}, {"hostname": "b", "external_id": "x"}, "/external_id"),
    ],
)
def test_taken_name_is_a_conflict_that_points(
    admin: Caller, path: str, first: dict[str, Any], second: dict[str, Any], pointer: str
) -> None:
    made = admin.make(path, **first)
    answer = admin.post(path, second)
    assert (answer.status, answer.pointers, answer.codes) == (409, [pointer], ["taken"])
    admin.delete(f"{path}/{made['id']}")
    assert admin.post(path, second).status == 201


# ------------------------------------------------------------------------------------------------ the compile


def test_no_selector_at_a_narrow_scope_is_refused(admin: Caller, world: SimpleNamespace) -> None:
    answer = refused(admin, {"name": "x", "query_template": "vector(1)", "group_id": world.berlin["id"]})
    assert answer.status == 400


def test_matcher_against_the_scope_is_refused_naming_both(admin: Caller, world: SimpleNamespace) -> None:
    answer = refused(admin, {"name": "x", "query_template": 'up{site="paris"} == 0', "group_id": world.berlin["id"]})
    assert answer.status == 400
    assert "paris" in str(answer.problem["errors"])
    assert "berlin" in str(answer.problem["errors"])


def test_splitting_what_is_one_count_is_a_conflict_naming_the_broader_rule(
    admin: Caller, world: SimpleNamespace
) -> None:
    broad = admin.make("alert-rules", key="Few", name="Few", query_template="sum(up) < 3")
    answer = refused(
        admin, {"key": "Few", "query_template": "sum(up) < 2", "group_id": world.berlin["id"], "name": "Few"}
    )
    assert answer.status == 409
    assert broad["id"] in [error.get("rule_id") for error in answer.problem["errors"]]


def test_reading_a_recording_without_the_label_is_refused_naming_it(admin: Caller, world: SimpleNamespace) -> None:
    admin.make("alert-rules", name="all:up", kind="recording", query_template="sum(up)")
    answer = refused(admin, {"name": "x", "query_template": "all:up < 3", "group_id": world.berlin["id"]})
    assert answer.status in (400, 409)
    assert "all:up" in str(answer.problem["errors"])


def test_write_that_breaks_another_key_is_a_conflict_naming_it(admin: Caller, world: SimpleNamespace) -> None:
    recording = admin.make("alert-rules", name="some:up", kind="recording", query_template="sum by (site) (up)")
    admin.make("alert-rules", key="Reader", name="Reader", query_template="some:up < 3", group_id=world.berlin["id"])
    before = AlertRule.objects.values().get(pk=recording["id"])
    answer = admin.patch(f"alert-rules/{recording['id']}", {"query_template": "sum(up)"})
    assert answer.status == 409
    assert "Reader" in [error.get("key") for error in answer.problem["errors"]]
    assert AlertRule.objects.values().get(pk=recording["id"]) == before


def test_override_without_a_query_is_refused(admin: Caller, world: SimpleNamespace) -> None:
    answer = refused(admin, {"key": "HighLoad", "merge_strategy": "override", "target_id": world.web["id"]})
    assert answer.status == 400


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "not-a-record"}, "/name"),
        ({"name": "a:b", "config": {"for_duration": "5m"}}, "/config/for_duration"),
        ({"name": "a:b", "config": {"annotations": {"a": "b"}}}, "/config/annotations"),
    ],
)
def test_recording_rule_has_its_own_limits(admin: Caller, body: dict[str, Any], pointer: str) -> None:
    answer = refused(admin, {"kind": "recording", "query_template": "up", **body})
    assert (answer.status, answer.pointers) == (400, [pointer])


def test_label_that_a_namespace_would_take_is_in_use(admin: Caller) -> None:
    admin.make("alert-rules", name="x", query_template="up == 0", config={"labels": {"team": "a"}})
    answer = admin.post("namespaces", {"name": "team"})
    assert (answer.status, answer.pointers) == (409, ["/label"])
