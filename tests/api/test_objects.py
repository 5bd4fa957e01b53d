"""One object at a time: created, read, replaced, changed, deleted; and what each refuses."""

from __future__ import annotations

import json
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts.models import AlertRule, PolicyState
from tests.api.conftest import PATHS, Caller

STAMPS = {"id", "version", "created_at", "updated_at", "deleted_at", "external_id"}
FIELDS = {
    "namespaces": {"name", "priority", "label", "description"},
    "groups": {"name", "namespace", "parent", "label_value", "description"},
    "targets": {"hostname", "address", "groups", "labels", "status", "endpoints"},
    "alert-templates": {
        *("name", "description", "severity", "query_template", "default_config", "variables", "kind", "unscoped"),
    },
    "alert-rules": {
        *("key", "name", "kind", "namespace_id", "group_id", "target_id", "query_template", "severity"),
        *("default_config", "variables", "unscoped", "config", "merge_strategy", "priority", "enabled"),
        *("partition_by", "allow_split", "scope", "created_from_template_id", "created_from_template_name"),
    },
}
LEAST: dict[str, dict[str, Any]] = {
    "namespaces": {"name": "least"},
    "groups": {"name": "least", "namespace": 1},
    "targets": {"hostname": "least"},
    "alert-templates": {"name": "least", "query_template": "up == 0"},
    "alert-rules": {"name": "Least", "query_template": "up == 0"},
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "namespaces": {"priority": 0, "label": "least", "description": ""},
    "groups": {"parent": None, "label_value": "least", "description": ""},
    "targets": {"address": "", "groups": [], "labels": {}, "status": "active", "endpoints": []},
    "alert-templates": {
        "description": "",
        "severity": None,
        "default_config": {},
        "variables": [],
        "kind": "alerting",
        "unscoped": [],
    },
    "alert-rules": {
        "key": "Least",
        "kind": "alerting",
        "scope": "global",
        "namespace_id": None,
        "group_id": None,
        "target_id": None,
        "severity": None,
        "default_config": {},
        "variables": [],
        "unscoped": [],
        "config": {},
        "merge_strategy": "override",
        "priority": 100,
        "enabled": True,
        "partition_by": [],
        "allow_split": False,
        "created_from_template_id": None,
        "created_from_template_name": None,
    },
}
FULL: dict[str, dict[str, Any]] = {
    "namespaces": {"name": "full", "priority": -5, "label": "full_label", "description": "  Äöü \n"},
    "groups": {"name": "full", "namespace": 1, "label_value": "f/ü l", "description": "x"},
    "targets": {
        "hostname": "full.example",
        "address": "fe80::1",
        "labels": {"rack": "b4", "empty": ""},
        "status": "disabled",
        "endpoints": [{"scheme": "https", "job": "a b", "port": 65535, "path": "/x"}, {"job": "node", "port": 1}],
    },
    "alert-templates": {
        "name": "Full",
        "description": "x",
        "severity": "critical",
        "query_template": "  sum by (target) (up) # comment\n > {{ .limit }}  ",
        "default_config": {"for_duration": "1h30m", "labels": {"team": "a"}, "template_vars": {"limit": 80.0}},
        "variables": [{"name": "limit", "type": "number", "default": 1e3, "min": 0, "unit": "%", "description": "x"}],
        "kind": "alerting",
        "unscoped": ["maintenance"],
    },
    "alert-rules": {
        "key": "full-key",
        "name": "Full",
        "kind": "alerting",
        "query_template": "up == {{ .limit }}",
        "severity": "info",
        "default_config": {"interval": "60s"},
        "variables": [{"name": "limit", "type": "number", "default": 0}],
        "unscoped": ["other"],
        "config": {
            "for_duration": "5m",
            "keep_firing_for": "0s",
            "labels": {"team": "a", "quote": '"\\\n'},
            "annotations": {"summary": "{{ $labels.target }}"},
            "template_vars": {"limit": 1},
        },
        "merge_strategy": "override",
        "priority": -1,
        "enabled": False,
        "partition_by": ["environment"],
        "allow_split": True,
        "external_id": "ext-1",
    },
}


@pytest.mark.parametrize("path", PATHS)
def test_what_is_left_out_gets_its_default(admin: Caller, path: str) -> None:
    answer = admin.post(path, LEAST[path])
    assert answer.status == 201
    made = answer.json
    assert made.keys() == FIELDS[path] | STAMPS
    assert {name: made[name] for name in DEFAULTS[path]} == DEFAULTS[path]
    assert (made["version"], made["deleted_at"], made["external_id"]) == (1, None, None)
    assert answer.headers["ETag"] == '"v1"'
    assert answer.headers["Location"] == f"/api/v1/{path}/{made['id']}"
    assert admin.get(answer.headers["Location"]).json == made


def as_text(row: dict[str, Any], fields: Iterable[str]) -> str:
    return json.dumps({name: row[name] for name in fields}, sort_keys=True)


@pytest.mark.parametrize("path", PATHS)
def test_values_come_back_as_they_were_written(admin: Caller, path: str) -> None:
    made = admin.make(path, **FULL[path])
    for shown in (made, admin.get(f"{path}/{made['id']}").json, admin.get(path + "?ordering=-id").json["results"][0]):
        # To JSON 80 and 80.0 are the same; to people who wrote them they are not.
        assert as_text(shown, FULL[path]) == as_text(FULL[path], FULL[path])


@pytest.mark.parametrize("path", PATHS)
def test_put_resets_what_it_leaves_out(admin: Caller, path: str) -> None:
    made = admin.make(path, **{**FULL[path], "external_id": "x"})
    least = {**LEAST[path], **({"name": "full"} if path == "groups" else {})}
    answer = admin.put(f"{path}/{made['id']}", least)
    assert answer.status == 200
    assert answer.headers["ETag"] == '"v2"'
    fixed = {"label_value": "f/ü l"} if path == "groups" else {}
    expected = {**DEFAULTS[path], **least, **fixed, "external_id": None, "version": 2}
    assert {name: answer.json[name] for name in expected} == expected
    assert admin.get(f"{path}/{made['id']}").json == answer.json


@pytest.mark.parametrize("path", PATHS)
def test_patch_changes_only_what_it_names(admin: Caller, path: str) -> None:
    made = admin.make(path, **FULL[path])
    answer = admin.patch(f"{path}/{made['id']}", {"external_id": "new"})
    assert answer.status == 200
    changing = {"external_id": "new", "version": 2, "updated_at": answer.json["updated_at"]}
    assert answer.json == {**made, **changing}


def test_patch_replaces_a_named_field_whole(admin: Caller) -> None:
    made = admin.make("alert-rules", **FULL["alert-rules"])
    answer = admin.patch(f"alert-rules/{made['id']}", {"config": {"for_duration": "1m"}})
    assert answer.json["config"] == {"for_duration": "1m"}


@pytest.mark.parametrize("path", PATHS)
def test_patch_of_nothing_changes_nothing(admin: Caller, path: str) -> None:
    made = admin.make(path, **LEAST[path])
    assert admin.patch(f"{path}/{made['id']}", {}).json == made


@pytest.mark.parametrize("path", PATHS)
def test_answer_can_be_sent_back_as_it_came(admin: Caller, path: str) -> None:
    made = admin.get(f"{path}/{admin.make(path, **FULL[path])['id']}").json
    answer = admin.put(f"{path}/{made['id']}", {**made, "id": 99, "version": 99, "created_at": "never"})
    assert answer.status == 200
    assert {**answer.json, "updated_at": ""} == {**made, "updated_at": ""}
    assert admin.post(path, made).status == 409


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize("path", PATHS)
def test_unknown_field_is_refused(admin: Caller, path: str, method: str) -> None:
    made = admin.make(path, **LEAST[path])
    address = path if method == "POST" else f"{path}/{made['id']}"
    answer = admin(method, address, {**LEAST[path], "nmae": 1, "a/b~c": 2})
    assert answer.status == 400
    assert set(answer.pointers) == {"/nmae", "/a~1b~0c"}
    assert set(answer.codes) == {"unknown_field"}


WRONG: list[tuple[str, str, Any]] = [
    ("namespaces", "name", 1),
    ("namespaces", "name", None),
    ("namespaces", "name", ""),
    ("namespaces", "name", ["a"]),
    ("namespaces", "name", "x" * 256),
    ("namespaces", "priority", "1"),
    ("namespaces", "priority", True),
    ("namespaces", "priority", 1.0),
    ("namespaces", "priority", 1.5),
    ("namespaces", "priority", None),
    ("namespaces", "priority", 2**31),
    ("namespaces", "priority", 2**62),
    ("namespaces", "label", 1),
    ("namespaces", "label", "not a label"),
    ("namespaces", "label", "__x"),
    ("namespaces", "label", "job"),
    ("namespaces", "label", "severity"),
    ("namespaces", "label", "target"),
    ("namespaces", "description", None),
    ("namespaces", "external_id", 1),
    ("groups", "namespace", "1"),
    ("groups", "namespace", True),
    ("groups", "namespace", None),
    ("groups", "namespace", 0),
    ("groups", "namespace", -1),
    ("groups", "namespace", 99),
    ("groups", "namespace", 2**62),
    ("groups", "parent", 99),
    ("groups", "parent", "1"),
    ("groups", "label_value", ""),
    ("groups", "label_value", 1),
    ("targets", "hostname", ""),
    ("targets", "hostname", 1),
    ("targets", "address", None),
    ("targets", "address", "a:1"),
    ("targets", "groups", 1),
    ("targets", "groups", None),
    ("targets", "groups", "1"),
    ("targets", "groups", {"0": 1}),
    ("targets", "groups", [99]),
    ("targets", "groups", [True]),
    ("targets", "groups", ["1"]),
    ("targets", "labels", []),
    ("targets", "labels", {"a": 1}),
    ("targets", "labels", {"a": None}),
    ("targets", "labels", {"a-b": "x"}),
    ("targets", "labels", {"environment": "x"}),
    ("targets", "labels", {"target": "x"}),
    ("targets", "labels", {"__address__": "x"}),
    ("targets", "status", "off"),
    ("targets", "status", None),
    ("targets", "status", True),
    ("targets", "endpoints", {}),
    ("targets", "endpoints", [1]),
    ("targets", "endpoints", [{"job": "a"}]),
    ("targets", "endpoints", [{"job": "a", "port": "1"}]),
    ("targets", "endpoints", [{"job": "a", "port": 0}]),
    ("targets", "endpoints", [{"job": "a", "port": 65536}]),
    ("targets", "endpoints", [{"job": "a", "port": 1, "path": "x"}]),
    ("targets", "endpoints", [{"job": "a", "port": 1, "scheme": "ftp"}]),
    ("targets", "endpoints", [{"job": "a", "port": 1, "extra": 1}]),
    ("alert-templates", "query_template", None),
    ("alert-templates", "query_template", 1),
    ("alert-templates", "query_template", "sum("),
    ("alert-templates", "severity", "loud"),
    ("alert-templates", "severity", 1),
    ("alert-templates", "kind", "other"),
    ("alert-templates", "kind", None),
    ("alert-templates", "default_config", []),
    ("alert-templates", "default_config", None),
    ("alert-templates", "default_config", {"for": "5m"}),
    ("alert-templates", "default_config", {"for_duration": 5}),
    ("alert-templates", "default_config", {"for_duration": "5 minutes"}),
    ("alert-templates", "variables", {}),
    ("alert-templates", "variables", [1]),
    ("alert-templates", "variables", [{"name": "a"}]),
    ("alert-templates", "variables", [{"name": "A", "type": "number"}]),
    ("alert-templates", "variables", [{"name": "a", "type": "colour"}]),
    ("alert-templates", "unscoped", "up"),
    ("alert-templates", "unscoped", [1]),
    ("alert-rules", "key", ""),
    ("alert-rules", "key", 1),
    ("alert-rules", "name", 1),
    ("alert-rules", "namespace_id", "1"),
    ("alert-rules", "namespace_id", 99),
    ("alert-rules", "group_id", 99),
    ("alert-rules", "target_id", 99),
    ("alert-rules", "template_id", "1"),
    ("alert-rules", "severity", "loud"),
    ("alert-rules", "config", None),
    ("alert-rules", "config", "x"),
    ("alert-rules", "config", {"labels": {"severity": "x"}}),
    ("alert-rules", "config", {"labels": {"environment": "x"}}),
    ("alert-rules", "config", {"labels": {"alertname": "x"}}),
    ("alert-rules", "config", {"labels": {"target": "x"}}),
    ("alert-rules", "config", {"labels": {"a-b": "x"}}),
    ("alert-rules", "config", {"labels": {"a": 1}}),
    ("alert-rules", "config", {"annotations": {"a-b": "x"}}),
    ("alert-rules", "config", {"annotations": {"a": "{{ .lower }}"}}),
    ("alert-rules", "config", {"annotations": {"a": "{{ broken"}}),
    ("alert-rules", "config", {"template_vars": {"undeclared": 1}}),
    ("alert-rules", "config", {"interval": "0s"}),
    ("alert-rules", "config", {"interval": {}}),
    ("alert-rules", "config", {"for_duration": []}),
    ("alert-rules", "merge_strategy", "append"),
    ("alert-rules", "priority", "100"),
    ("alert-rules", "priority", None),
    ("alert-rules", "enabled", "true"),
    ("alert-rules", "enabled", 1),
    ("alert-rules", "allow_split", None),
    ("alert-rules", "allow_split", "yes"),
    ("alert-rules", "partition_by", "environment"),
    ("alert-rules", "partition_by", [1]),
    ("alert-rules", "partition_by", ["nowhere"]),
]


@pytest.mark.parametrize(("path", "field", "value"), WRONG)
def test_wrong_value_is_refused_where_it_stands_and_stores_nothing(
    admin: Caller, path: str, field: str, value: Any
) -> None:
    revision = PolicyState.current()
    answer = admin.post(path, {**LEAST[path], field: value})
    assert answer.status == 400, answer.content
    assert all(pointer == f"/{field}" or pointer.startswith(f"/{field}/") for pointer in answer.pointers), answer.json
    assert PolicyState.current() == revision
    assert admin.get(path).status == 200


@pytest.mark.parametrize("path", PATHS)
def test_required_fields_are_named(admin: Caller, path: str) -> None:
    answer = admin.post(path, {})
    assert answer.status == 400
    assert answer.pointers


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_unknown_id_is_not_found(admin: Caller, method: str, path: str) -> None:
    answer = admin(method, f"{path}/999999", LEAST[path] if method in ("PUT", "PATCH") else None)
    assert answer.status == 404
    assert answer.problem["type"].endswith(":not_found")


@pytest.mark.parametrize("path", PATHS)
def test_deleted_object_is_gone_until_restored(admin: Caller, path: str) -> None:
    made = admin.make(path, **LEAST[path])
    address = f"{path}/{made['id']}"
    answer = admin.delete(address)
    assert (answer.status, answer.content) == (204, b"")
    assert [
        admin(method, address, LEAST[path] if method == "PUT" else None).status for method in ("GET", "PUT", "DELETE")
    ] == [404] * 3
    shown = admin.get(f"{address}?deleted=include").json
    assert shown["deleted_at"] is not None
    assert shown["version"] == 2
    assert admin.post(f"{path}/restore", {"ids": [made["id"]]}).status == 200
    assert admin.get(address).json["deleted_at"] is None


@pytest.mark.parametrize("path", PATHS)
def test_dry_run_judges_and_stores_nothing(admin: Caller, path: str) -> None:
    made = admin.make(path, **FULL[path])
    revision, address = PolicyState.current(), f"{path}/{made['id']}"
    created = admin.post(f"{path}?dry_run=true", LEAST[path])
    assert (created.status, created.json["id"], "Location" in created.headers) == (200, None, False)
    assert {name: created.json[name] for name in DEFAULTS[path]} == DEFAULTS[path]
    changed = admin.patch(f"{address}?dry_run=true", {"external_id": "new"})
    assert (changed.status, changed.json["external_id"], changed.json["id"]) == (200, "new", made["id"])
    assert admin.delete(f"{address}?dry_run=true").status == 204
    for method, url in (("POST", path), ("PUT", address), ("PATCH", address)):
        assert admin(method, f"{url}?dry_run=true", {**LEAST[path], "external_id": 1}).status == 400
    assert admin.post(f"{path}?dry_run=true", FULL[path]).status == 409
    assert PolicyState.current() == revision
    assert admin.get(address).json == made
    assert admin.get(f"{path}?search=least").json["count"] == 0


def test_dry_run_of_a_target_shows_the_groups_it_would_have(admin: Caller, world: SimpleNamespace) -> None:
    europe = [world.europe["id"]]
    assert admin.post("targets?dry_run=true", {"hostname": "a", "groups": europe}).json["groups"] == europe
    assert admin.patch(f"targets/{world.web['id']}?dry_run=true", {"groups": europe}).json["groups"] == europe
    assert admin.get(f"targets/{world.web['id']}").json["groups"] == world.web["groups"]


@pytest.mark.parametrize("number", [0, -1, 80.0, 0.1, 1e-7, 1e16, 1e22, 1e300, 2**62, -(2**63)])
def test_any_number_comes_back_and_lists_keep_working(admin: Caller, number: float) -> None:
    variables = [{"name": "limit", "type": "number", "default": number}]
    made = admin.make("alert-templates", name="a", query_template="up > {{ .limit }}", variables=variables)
    for shown in (made, admin.get("alert-templates").json["results"][0]):
        assert shown["variables"][0]["default"] == number


# ------------------------------------------------------------------------------------------------ versions


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_lost_update_is_refused(admin: Caller, method: str, path: str) -> None:
    made = admin.make(path, **LEAST[path])
    address = f"{path}/{made['id']}"
    admin.patch(address, {"external_id": "somebody else"})
    answer = admin(method, address, LEAST[path], if_match='"v1"')
    assert answer.status == 412
    assert answer.headers["ETag"] == '"v2"'
    assert answer.problem["type"].endswith(":version_mismatch")
    assert admin.get(address).json["external_id"] == "somebody else"
    assert admin(method, address, LEAST[path], if_match='"v2"').status in (200, 204)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("*", 200),
        ('"v1"', 200),
        ('"v7", "v1"', 200),
        ('"v2"', 412),
        ('W/"v1"', 412),
        ("v1", 412),
        ('"1"', 412),
        ("nonsense", 412),
        ('""', 412),
    ],
)
def test_if_match_compares_strongly(admin: Caller, header: str, status: int) -> None:
    made = admin.make("namespaces", name="a")
    assert admin.patch(f"namespaces/{made['id']}", {"description": "b"}, if_match=header).status == status


@pytest.mark.parametrize(
    ("header", "status"), [('"v1"', 304), ('W/"v1"', 304), ("*", 304), ('"v0", "v1"', 304), ('"v2"', 200), ("v1", 200)]
)
def test_unchanged_object_is_not_sent_again(admin: Caller, header: str, status: int) -> None:
    made = admin.make("namespaces", name="a")
    answer = admin.get(f"namespaces/{made['id']}", if_none_match=header)
    assert (answer.status, answer.headers["ETag"]) == (status, '"v1"')
    assert bool(answer.content) == (status == 200)


def test_not_modified_reads_one_number(admin: Caller, world: SimpleNamespace) -> None:
    admin.get("namespaces")
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert admin.get(f"alert-rules/{world.rule['id']}", if_none_match='"v1"').status == 304
    assert "query_template" not in queries[-1]["sql"]
    assert len(queries) == 2  # the token, the version


# ------------------------------------------------------------------------------------------------ particular ones


def test_fixed_fields_of_a_group_stay(admin: Caller, world: SimpleNamespace) -> None:
    address = f"groups/{world.berlin['id']}"
    for field, value in (("namespace", world.stage["id"]), ("label_value", "elsewhere")):
        for method, body in (("PUT", {"name": "berlin", field: value}), ("PATCH", {field: value})):
            answer = admin(method, address, body)
            assert (answer.status, answer.pointers) == (400, [f"/{field}"])
    assert admin.patch(address, {"namespace": world.site["id"], "label_value": "berlin"}).status == 200
    renamed = admin.patch(address, {"name": "Berlin"}).json
    assert (renamed["name"], renamed["label_value"]) == ("Berlin", "berlin")


def test_rule_from_a_template_is_a_deep_copy(admin: Caller, world: SimpleNamespace) -> None:
    made = admin.make("alert-rules", name="Copy", template_id=world.template["id"])
    for field in ("query_template", "severity", "default_config", "variables", "kind", "unscoped"):
        assert made[field] == world.template[field]
    assert made["created_from_template_id"] == world.template["id"]
    assert made["created_from_template_name"] == "High load"
    admin.patch(f"alert-templates/{world.template['id']}", {"severity": "critical", "name": "Other"})
    assert admin.get(f"alert-rules/{made['id']}").json == made
    admin.delete(f"alert-templates/{world.template['id']}")
    assert admin.get(f"alert-rules/{made['id']}").json == made
    admin.post("alert-templates/purge", {"ids": [world.template["id"]]})
    after = admin.get(f"alert-rules/{made['id']}").json
    assert (after["created_from_template_id"], after["created_from_template_name"]) == (None, "High load")


@pytest.mark.parametrize("field", ["query_template", "severity", "default_config", "variables", "kind", "unscoped"])
def test_template_and_definition_exclude_each_other(admin: Caller, world: SimpleNamespace, field: str) -> None:
    answer = admin.post("alert-rules", {"name": "x", "template_id": world.template["id"], field: world.template[field]})
    assert (answer.status, answer.pointers) == (400, [f"/{field}"])


def test_unknown_template_is_refused(admin: Caller) -> None:
    answer = admin.post("alert-rules", {"name": "x", "template_id": 99})
    assert (answer.status, answer.pointers) == (400, ["/template_id"])


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_template_is_named_at_creation_only(admin: Caller, world: SimpleNamespace, method: str) -> None:
    body = {"name": "HighLoad", "query_template": "load1 > 4", "template_id": world.template["id"]}
    answer = admin(method, f"alert-rules/{world.rule['id']}", body)
    assert (answer.status, answer.pointers) == (400, ["/template_id"])


@pytest.mark.parametrize(
    ("field", "scope"),
    [(None, "global"), ("namespace_id", "site"), ("group_id", "site/berlin"), ("target_id", "target/web-1")],
)
def test_scope_is_shown_as_people_read_it(admin: Caller, world: SimpleNamespace, field: str | None, scope: str) -> None:
    ids = {"namespace_id": world.site["id"], "group_id": world.berlin["id"], "target_id": world.web["id"]}
    made = admin.make("alert-rules", name="x", query_template="up == 0", **({field: ids[field]} if field else {}))
    assert made["scope"] == scope
    assert admin.get(f"alert-rules/{made['id']}").json["scope"] == scope
    assert AlertRule.objects.get(pk=made["id"]).key == "x"


def test_rule_without_a_query_merges(admin: Caller, world: SimpleNamespace) -> None:
    made = admin.make("alert-rules", key="HighLoad", target_id=world.web["id"], config={"for_duration": "1m"})
    assert (made["merge_strategy"], made["name"], made["query_template"]) == ("merge", None, None)


def test_key_defaults_to_the_name(admin: Caller) -> None:
    made = admin.make("alert-rules", name="A", query_template="up == 0")
    assert made["key"] == "A"
    assert admin.patch(f"alert-rules/{made['id']}", {"name": "B"}).json["key"] == "A"
    assert admin.put(f"alert-rules/{made['id']}", {"name": "B", "query_template": "up == 0"}).json["key"] == "B"


def test_target_moves_between_groups(admin: Caller, world: SimpleNamespace) -> None:
    address = f"targets/{world.web['id']}"
    moved = admin.patch(address, {"groups": [world.europe["id"]]})
    assert (moved.json["groups"], moved.headers["ETag"]) == ([world.europe["id"]], '"v2"')
    assert admin.patch(address, {"groups": []}).json["groups"] == []


def test_put_resets_the_strategy_and_whether_it_is_enabled(admin: Caller) -> None:
    body = {"name": "Reset", "query_template": "up == 0"}
    made = admin.post("alert-rules", {**body, "merge_strategy": "merge", "enabled": False}).json
    written = admin.put(f"alert-rules/{made['id']}", body).json
    assert (written["merge_strategy"], written["enabled"]) == ("override", True)


@pytest.mark.parametrize(
    ("body", "enabled"),
    [
        ({"name": "Silent", "query_template": "up == 0"}, True),
        ({"name": "Silent", "query_template": "up == 0", "enabled": None}, None),
        ({"name": "Silent", "query_template": "up == 0", "merge_strategy": "merge"}, None),
        ({"name": "Silent", "config": {"for_duration": "5m"}}, None),
        ({"name": "Silent", "query_template": "up == 0", "enabled": False}, False),
    ],
)
def test_an_override_that_is_silent_about_enabled_says_true(
    admin: Caller, body: dict[str, Any], enabled: bool | None
) -> None:
    assert admin.post("alert-rules", body).json["enabled"] is enabled


def test_a_rule_from_a_template_has_its_name_where_nothing_else_is_said(admin: Caller) -> None:
    template = admin.post("alert-templates", {"name": "Lent", "query_template": "up == 0"}).json
    made = admin.post("alert-rules", {"template_id": template["id"]}).json
    assert (made["name"], made["key"], made["enabled"]) == ("Lent", "Lent", True)
    layer = admin.post("alert-rules", {"template_id": template["id"], "key": "Other"}).json
    assert (layer["name"], layer["key"]) == (None, "Other")
