"""Lists: pages, order, filters, and parameters as strict as bodies."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts.models import Namespace, Target
from tests.api.conftest import PATHS, Caller


def names(answer: Any, field: str = "name") -> list[str]:
    assert answer.status == 200, answer.content
    return [row[field] for row in answer.json["results"]]


@pytest.fixture
def five(admin: Caller) -> None:
    """Targets t0 … t4."""
    for number in range(5):
        admin.make("targets", hostname=f"t{number}")


@pytest.mark.parametrize("path", [*PATHS, "releases"])
def test_empty_list_is_a_page(admin: Caller, path: str) -> None:
    Namespace.objects.all().delete()
    assert admin.get(path).json == {"count": 0, "next": None, "previous": None, "results": []}


def test_pages_link_to_one_another(admin: Caller, five: None) -> None:
    first = admin.get("targets?page_size=2&ordering=hostname&status=active").json
    assert (first["count"], first["previous"], len(first["results"])) == (5, None, 2)
    assert first["next"] == "http://testserver/api/v1/targets?page_size=2&ordering=hostname&status=active&page=2"
    second = admin.get(first["next"].removeprefix("http://testserver")).json
    assert [row["hostname"] for row in second["results"]] == ["t2", "t3"]
    third = admin.get(second["next"].removeprefix("http://testserver")).json
    assert (third["next"], [row["hostname"] for row in third["results"]]) == (None, ["t4"])
    assert admin.get(second["previous"].removeprefix("http://testserver")).json["results"] == first["results"]


@pytest.mark.parametrize(
    ("query", "count", "rows"),
    [
        ("", 5, 5),
        ("page_size=5", 5, 5),
        ("page_size=4", 5, 4),
        ("page_size=1000", 5, 5),
        ("page=1&page_size=6", 5, 5),
        ("page=3&page_size=2", 5, 1),
        ("page=5&page_size=1", 5, 1),
    ],
)
def test_count_is_of_all_pages(admin: Caller, five: None, query: str, count: int, rows: int) -> None:
    page = admin.get(f"targets?{query}").json
    assert (page["count"], len(page["results"])) == (count, rows)


@pytest.mark.parametrize("query", ["page=2", "page=4&page_size=2", "page=2147483647&page_size=1000"])
def test_page_behind_the_last_is_not_there(admin: Caller, five: None, query: str) -> None:
    assert admin.get(f"targets?{query}").problem["status"] == 404


@pytest.mark.parametrize(
    ("path", "query", "parameter", "code"),
    [
        ("targets", "page=0", "page", "invalid_parameter"),
        ("targets", "page=-1", "page", "invalid_parameter"),
        ("targets", "page=x", "page", "invalid_parameter"),
        ("targets", "page=1.0", "page", "invalid_parameter"),
        ("targets", "page=", "page", "invalid_parameter"),
        ("targets", "page=%201", "page", "invalid_parameter"),
        ("targets", "page=%D9%A1", "page", "invalid_parameter"),
        ("targets", "page=99999999999999999999", "page", "invalid_parameter"),
        ("targets", "page_size=0", "page_size", "invalid_parameter"),
        ("targets", "page_size=1001", "page_size", "invalid_parameter"),
        ("targets", "page=1&page=2", "page", "repeated_parameter"),
        ("targets", "limit=1", "limit", "unknown_parameter"),
        ("targets", "Page=1", "Page", "unknown_parameter"),
        ("targets", "format=json", "format", "unknown_parameter"),
        ("targets", "hostnam=x", "hostnam", "unknown_parameter"),
        ("targets", "dry_run=true", "dry_run", "unknown_parameter"),
        ("targets", "deleted=yes", "deleted", "invalid_parameter"),
        ("targets", "ordering=labels", "ordering", "invalid_parameter"),
        ("targets", "ordering=hostname,,", "ordering", "invalid_parameter"),
        ("targets", "ordering=--hostname", "ordering", "invalid_parameter"),
        ("targets", "ordering=memberships__group__name", "ordering", "invalid_parameter"),
        ("targets", "search=" + "x" * 201, "search", "invalid_parameter"),
        ("targets", "search=%00", "search", "invalid_parameter"),
        ("targets", "hostname=a%00", "hostname", "invalid_parameter"),
        ("targets", "hostname=", "hostname", "invalid_parameter"),
        ("targets", "group=x", "group", "invalid_parameter"),
        ("targets", "group=0", "group", "invalid_parameter"),
        ("targets", "group=99999999999999999999", "group", "invalid_parameter"),
        ("targets", "namespace=environment", "namespace", "invalid_parameter"),
        ("targets", "status=on", "status", "invalid_parameter"),
        ("groups", "parent=none", "parent", "invalid_parameter"),
        ("groups", "parent=0", "parent", "invalid_parameter"),
        ("alert-rules", "enabled=yes", "enabled", "invalid_parameter"),
        ("alert-rules", "enabled=1", "enabled", "invalid_parameter"),
        ("alert-rules", "kind=other", "kind", "invalid_parameter"),
        ("alert-rules", "scope=everywhere", "scope", "invalid_parameter"),
        ("alert-rules", "template=x", "template", "invalid_parameter"),
        ("alert-rules/group/1", "x=1", "x", "unknown_parameter"),
        ("releases", "state=good", "state", "invalid_parameter"),
        ("releases", "ordering=files", "ordering", "invalid_parameter"),
        ("namespaces/1", "x=1", "x", "unknown_parameter"),
        ("groups/1/alert-rules/effective", "group=x", "group", "invalid_parameter"),
        ("targets/1/alert-rules/effective", "group=1", "group", "unknown_parameter"),
        ("sd/prometheus", "jobs=x", "jobs", "unknown_parameter"),
        ("plan", "x=1", "x", "unknown_parameter"),
        ("schema", "format=json", "format", "unknown_parameter"),
        ("/-/healthy", "x=1", "x", "unknown_parameter"),
        ("/metrics", "x=1", "x", "unknown_parameter"),
    ],
)
def test_wrong_parameter_is_refused_by_name(admin: Caller, path: str, query: str, parameter: str, code: str) -> None:
    answer = admin.get(f"{path}?{query}")
    assert answer.status == 400, answer.content[:300]
    (found,) = answer.problem["errors"]
    assert (found["parameter"], found["pointer"]) == (parameter, "")
    assert found["code"] in (code, "invalid")


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("POST", "namespaces", "dry_run=yes"),
        ("POST", "namespaces", "dry_run=1"),
        ("POST", "namespaces", "deleted=include"),
        ("PATCH", "namespaces/1", "dryrun=true"),
        ("DELETE", "namespaces/1", "force=true"),
        ("POST", "namespaces/delete", "x=1"),
        ("POST", "prometheus/rules/regenerate", "wait=1"),
        ("POST", "prometheus/rules/regenerate", "wait=true&timeout=-1"),
        ("POST", "prometheus/rules/regenerate", "wait=true&timeout=301"),
    ],
)
def test_wrong_parameter_of_a_write_is_refused(admin: Caller, method: str, path: str, query: str) -> None:
    before = list(Namespace.objects.values())
    assert admin(method, f"{path}?{query}", {"name": "new"}).status == 400
    assert list(Namespace.objects.values()) == before


def test_all_faults_are_told_at_once(admin: Caller) -> None:
    found = admin.get("targets?page=0&nope=1&status=x").problem["errors"]
    assert {error["parameter"] for error in found} == {"page", "nope", "status"}


def test_unknown_parameter_is_refused_before_the_body_is_read(admin: Caller) -> None:
    assert admin.post("namespaces?x=1", raw=b"{").codes == ["unknown_parameter"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["t0", "t1", "t2", "t3", "t4"]),
        ("ordering=-hostname", ["t4", "t3", "t2", "t1", "t0"]),
        ("ordering=status,-hostname", ["t4", "t3", "t1", "t0", "t2"]),
        ("ordering=-id", ["t4", "t3", "t2", "t1", "t0"]),
        ("ordering=-created_at&page_size=1", ["t4"]),
        ("search=T3", ["t3"]),
        ("search=%25", []),
        ("search=", ["t0", "t1", "t2", "t3", "t4"]),
        ("status=disabled", ["t2"]),
        ("hostname=t1", ["t1"]),
        ("hostname=T1", []),
        ("hostname=t1%20", []),
    ],
)
def test_lists_are_ordered_and_searched(admin: Caller, five: None, query: str, expected: list[str]) -> None:
    Target.objects.filter(hostname="t2").update(status="disabled")
    assert names(admin.get(f"targets?{query}"), "hostname") == expected


def test_deleted_rows_are_shown_when_asked_for(admin: Caller, five: None) -> None:
    admin.post("targets/delete", {"ids": [Target.objects.get(hostname="t1").pk]})
    assert names(admin.get("targets"), "hostname") == ["t0", "t2", "t3", "t4"]
    assert names(admin.get("targets?deleted=exclude"), "hostname") == ["t0", "t2", "t3", "t4"]
    assert names(admin.get("targets?deleted=only"), "hostname") == ["t1"]
    assert names(admin.get("targets?deleted=include"), "hostname") == ["t0", "t1", "t2", "t3", "t4"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("name={site}", []),
        ("namespace={site}", ["berlin", "europe"]),
        ("namespace={stage}", ["live"]),
        ("parent={europe}", ["berlin"]),
        ("parent=null", ["europe", "live"]),
        ("parent=null&namespace={site}", ["europe"]),
        ("name=berlin", ["berlin"]),
        ("external_id=x", []),
        ("namespace=999", []),
    ],
)
def test_groups_are_filtered(admin: Caller, world: SimpleNamespace, query: str, expected: list[str]) -> None:
    ids = {name: vars(world)[name]["id"] for name in ("site", "stage", "europe")}
    assert names(admin.get("groups?" + query.format(**ids))) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("group={berlin}", ["web-1"]),
        ("group={europe}", []),
        ("namespace={site}", ["web-1"]),
        ("namespace={site}&group={live}", ["web-1"]),
        ("namespace=1", []),
    ],
)
def test_targets_are_filtered_by_their_place(
    admin: Caller, world: SimpleNamespace, query: str, expected: list[str]
) -> None:
    admin.make("targets", hostname="nowhere")
    ids = {name: vars(world)[name]["id"] for name in ("site", "europe", "berlin", "live")}
    assert names(admin.get("targets?" + query.format(**ids)), "hostname") == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["G", "HighLoad", "N", "R", "T"]),
        ("scope=global", ["G", "R"]),
        ("scope=namespace", ["N"]),
        ("scope=group", ["HighLoad"]),
        ("scope=target", ["T"]),
        ("scope=site", ["N"]),
        ("scope=site/berlin", ["HighLoad"]),
        ("scope=site/nowhere", []),
        ("scope=target/web-1", ["T"]),
        ("namespace={site}", ["N"]),
        ("group={berlin}", ["HighLoad"]),
        ("target={web}", ["T"]),
        ("template={template}", ["T"]),
        ("kind=recording", ["R"]),
        ("kind=alerting&scope=global", ["G"]),
        ("severity=warning", ["T"]),
        ("severity=loud", []),
        ("enabled=true", ["HighLoad", "N", "R"]),
        ("enabled=True", ["HighLoad", "N", "R"]),
        ("enabled=false", ["G"]),
        ("enabled=null", ["T"]),
        ("key=G", ["G"]),
        ("name=a:b", ["R"]),
        ("external_id=e", ["N"]),
        ("search=LOAD1", ["G", "HighLoad", "N", "T"]),
        ("ordering=-priority,key", ["N", "G", "HighLoad", "R", "T"]),
    ],
)
def test_rules_are_filtered(admin: Caller, world: SimpleNamespace, query: str, expected: list[str]) -> None:
    ids = {name: vars(world)[name]["id"] for name in ("site", "berlin", "web", "template")}
    admin.make("alert-rules", name="G", query_template="load1 > 1", enabled=False)
    admin.make("alert-rules", key="R", name="a:b", kind="recording", query_template="avg by (target) (up)")
    admin.make(
        "alert-rules",
        name="N",
        query_template="load1 > 2",
        namespace_id=ids["site"],
        enabled=True,
        external_id="e",
        priority=200,
    )
    admin.make("alert-rules", name="T", target_id=ids["web"], template_id=ids["template"], enabled=None)
    assert names(admin.get("alert-rules?" + query.format(**ids)), "key") == expected


def test_lists_by_address(admin: Caller, world: SimpleNamespace) -> None:
    made = admin.make("alert-rules", name="T", template_id=world.template["id"])
    assert names(admin.get("alert-templates/severity/warning")) == ["High load"]
    assert names(admin.get("alert-templates/severity/info")) == []
    assert admin.get("alert-templates/severity/loud").problem["status"] == 404
    assert names(admin.get(f"alert-rules/group/{world.berlin['id']}")) == ["HighLoad"]
    assert names(admin.get(f"alert-rules/group/{world.europe['id']}")) == []
    assert admin.get("alert-rules/group/999").problem["status"] == 404
    assert admin.get(f"alert-rules/template/{world.template['id']}").json["results"] == [made]
    assert admin.get("alert-rules/template/999").problem["status"] == 404
    assert names(admin.get(f"alert-rules/template/{world.template['id']}?kind=recording")) == []


@pytest.mark.parametrize("path", [*PATHS, "sd/prometheus", "alert-rules?search=x&scope=group", "releases"])
def test_list_asks_the_database_as_often_for_many_rows_as_for_few(
    admin: Caller, world: SimpleNamespace, path: str
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert admin.get(path).status == 200
        return len(captured)

    few = queries()
    for number in range(6):
        group = admin.make("groups", name=f"g{number}", namespace=world.site["id"])
        admin.make("namespaces", name=f"n{number}")
        admin.make(
            "targets", hostname=f"t{number}", groups=[group["id"]], endpoints=[{"job": "a", "port": 1}], address="a"
        )
        admin.make("alert-templates", name=f"t{number}", query_template="up == 0")
        admin.make("alert-rules", name=f"r{number}", group_id=group["id"], query_template="up == 0")
    assert queries() == few <= 4


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("targets?page=-1", "'page' must be a whole number from 1 to 2147483647"),
        ("targets?page=99999999999999999999", "'page' must be a whole number from 1 to 2147483647"),
        ("targets?page_size=1001", "'page_size' must be a whole number from 1 to 1000"),
        ("prometheus/rules/files?server=%00", "'server' must not hold a NUL character"),
    ],
)
def test_a_wrong_parameter_is_told_with_what_would_be_right(admin: Caller, path: str, words: str) -> None:
    assert admin.get(path).problem["errors"][0]["message"] == words
