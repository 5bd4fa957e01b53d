"""Many objects at once: all or nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from alerts.models import Group, PolicyState, Target
from tests.api.conftest import Caller

VERBS = ("delete", "restore", "purge")


@pytest.fixture
def three(admin: Caller) -> list[int]:
    return [admin.make("targets", hostname=f"t{number}")["id"] for number in range(3)]


def test_many_are_deleted_restored_and_purged(admin: Caller, three: list[int]) -> None:
    assert admin.post("targets/delete", {"ids": three}).json == {"ids": three}
    assert admin.get("targets").json["count"] == 0
    assert admin.post("targets/restore", {"ids": three}).json == {"ids": three}
    assert admin.get("targets").json["count"] == 3
    admin.post("targets/delete", {"ids": three})
    assert admin.post("targets/purge", {"ids": three}).json == {"ids": three}
    assert not Target.objects.exists()


@pytest.mark.parametrize("path", ["targets", "alert-rules"])
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/ids"]),
        ({"ids": []}, ["/ids"]),
        ({"ids": 1}, ["/ids"]),
        ({"ids": None}, ["/ids"]),
        ({"ids": "1"}, ["/ids"]),
        ({"ids": [1, "2"]}, ["/ids/1"]),
        ({"ids": [True]}, ["/ids/0"]),
        ({"ids": [0, 1, -1]}, ["/ids/0", "/ids/2"]),
        ({"ids": [1.0]}, ["/ids/0"]),
        ({"ids": [2**63 - 1, 2**62]}, None),
        ({"ids": [1], "force": True}, ["/force"]),
        ({"ids": list(range(1, 1002))}, ["/ids"]),
    ],
)
def test_wrong_ids_are_refused(
    admin: Caller, path: str, verb: str, body: dict[str, Any], pointers: list[str] | None
) -> None:
    answer = admin.post(f"{path}/{verb}", body)
    if pointers is None:
        assert answer.problem["ids"] == body["ids"]
        assert answer.status == 404
    else:
        assert (answer.status, answer.pointers) == (400, pointers)


@pytest.mark.parametrize("verb", VERBS)
def test_one_unknown_id_stops_them_all_and_every_unknown_id_is_listed(
    admin: Caller, three: list[int], verb: str
) -> None:
    if verb != "delete":
        admin.post("targets/delete", {"ids": three})
    before = list(Target.objects.values())
    answer = admin.post(f"targets/{verb}", {"ids": [998, *three, 999]})
    assert answer.status == 404
    assert answer.problem["ids"] == [998, 999]
    assert answer.pointers == ["/ids/0", "/ids/4"]
    assert list(Target.objects.values()) == before


def test_a_thousand_ids_are_accepted(admin: Caller) -> None:
    rows = Target.objects.bulk_create(Target(hostname=f"t{number}") for number in range(1000))
    assert admin.post("targets/delete", {"ids": [row.pk for row in rows]}).status == 200
    assert not Target.objects.living().exists()


def test_living_object_is_not_purged(admin: Caller, three: list[int]) -> None:
    admin.post("targets/delete", {"ids": three[:2]})
    answer = admin.post("targets/purge", {"ids": three})
    assert (answer.status, answer.codes) == (409, ["not_deleted"])
    assert Target.objects.count() == 3


def test_deleted_object_is_unknown_to_delete(admin: Caller, three: list[int]) -> None:
    admin.post("targets/delete", {"ids": three[:1]})
    assert admin.post("targets/delete", {"ids": three}).problem["ids"] == three[:1]
    assert Target.objects.living().count() == 2


@pytest.mark.parametrize(
    ("path", "name", "holders"),
    [
        ("namespaces", "site", {("group", "berlin"), ("group", "europe")}),
        ("groups", "berlin", {("target", "web-1"), ("alert-rule", "HighLoad")}),
        ("groups", "europe", {("group", "berlin")}),
        ("groups", "live", {("target", "web-1")}),
        ("targets", "web", {("alert-rule", "OnWeb")}),
    ],
)
def test_held_object_names_those_who_need_it(
    admin: Caller, world: SimpleNamespace, path: str, name: str, holders: set[tuple[str, str]]
) -> None:
    admin.make("alert-rules", name="OnWeb", target_id=world.web["id"], query_template="up == 0")
    row_id = vars(world)[name]["id"]
    for answer in (admin.delete(f"{path}/{row_id}"), admin.post(f"{path}/delete", {"ids": [row_id]})):
        assert answer.status == 409
        assert {(held["type"], held["name"]) for held in answer.problem["held_by"]} == holders
        assert all(isinstance(held["id"], int) for held in answer.problem["held_by"])
    assert admin.get(f"{path}/{row_id}").status == 200


def test_template_holds_nothing_and_rules_are_held_by_nothing(admin: Caller, world: SimpleNamespace) -> None:
    admin.make("alert-rules", name="Copy", template_id=world.template["id"])
    assert admin.delete(f"alert-templates/{world.template['id']}").status == 204
    assert admin.delete(f"alert-rules/{world.rule['id']}").status == 204


def test_tree_is_deleted_together(admin: Caller, world: SimpleNamespace) -> None:
    admin.delete(f"alert-rules/{world.rule['id']}")
    admin.delete(f"targets/{world.web['id']}")
    ids = [world.europe["id"], world.berlin["id"]]
    assert admin.post("groups/delete", {"ids": ids}).status == 200
    assert Group.objects.living().filter(pk__in=ids).count() == 0


def test_nothing_is_restored_below_something_deleted(admin: Caller, world: SimpleNamespace) -> None:
    admin.delete(f"alert-rules/{world.rule['id']}")
    admin.delete(f"targets/{world.web['id']}")
    admin.delete(f"groups/{world.berlin['id']}")
    for path, row in (("alert-rules", world.rule), ("targets", world.web)):
        answer = admin.post(f"{path}/restore", {"ids": [row["id"]]})
        assert (answer.status, answer.codes) == (409, ["deleted_reference"])


@pytest.mark.parametrize(
    ("path", "values", "field"),
    [
        ("namespaces", {"name": "a"}, "name"),
        ("groups", {"name": "a", "namespace": 1}, "name"),
        ("targets", {"hostname": "a"}, "hostname"),
        ("alert-templates", {"name": "a", "query_template": "up == 0"}, "name"),
        ("alert-rules", {"name": "a", "query_template": "up == 0"}, "key"),
    ],
)
def test_name_that_was_taken_meanwhile_stops_the_restoring(
    admin: Caller, path: str, values: dict[str, Any], field: str
) -> None:
    first = admin.make(path, **values)
    admin.delete(f"{path}/{first['id']}")
    second = admin.make(path, **values)
    answer = admin.post(f"{path}/restore", {"ids": [first["id"]]})
    assert answer.status == 409
    assert answer.problem["type"].endswith(":taken")
    admin.delete(f"{path}/{second['id']}")
    assert admin.post(f"{path}/restore", {"ids": [first["id"]]}).status == 200


@pytest.mark.parametrize("verb", VERBS)
def test_dry_run_of_many_stores_nothing(admin: Caller, three: list[int], verb: str) -> None:
    if verb != "delete":
        admin.post("targets/delete", {"ids": three})
    before, revision = list(Target.objects.values()), PolicyState.current()
    assert admin.post(f"targets/{verb}?dry_run=true", {"ids": three}).json == {"ids": three}
    assert (list(Target.objects.values()), PolicyState.current()) == (before, revision)
