"""Two requests for one place: one gets it, the other is told so; never a fault of ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections

from alerts.models import AlertRule, Group, Membership, Namespace, Target
from tests.api.conftest import PATHS, Answer, Caller

pytestmark = pytest.mark.django_db(transaction=True)
AT_ONCE = 6


@pytest.fixture
def place(transactional_db: None) -> Namespace:
    """Tables are empty after a test with transactions of its own: a namespace, its group, a target."""
    namespace, _ = Namespace.objects.get_or_create(name="place", label="place")
    Group.objects.create(name="group", label_value="group", namespace=namespace)
    return namespace


def at_once(token: str | None, requests: list[tuple[str, str, Any, dict[str, str]]]) -> list[Answer]:
    """All requests together, each in a thread with a connection of its own."""

    def send(request: tuple[str, str, Any, dict[str, str]]) -> Answer:
        method, path, body, headers = request
        try:
            return Caller(token)(method, path, body, **headers)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(send, requests))


def body_for(path: str, namespace: Namespace) -> dict[str, Any]:
    return {
        "namespaces": {"name": "same"},
        "groups": {"name": "same", "namespace": namespace.pk},
        "targets": {"hostname": "same"},
        "alert-templates": {"name": "same", "query_template": "up == 0"},
        "alert-rules": {"name": "same", "query_template": "up == 0"},
    }[path]


@pytest.mark.parametrize("path", PATHS)
def test_name_is_given_once(caller: Callable[..., Caller], place: Namespace, path: str) -> None:
    admin = caller("admin")
    answers = at_once(admin.token, [("POST", path, body_for(path, place), {})] * AT_ONCE)
    assert Counter(answer.status for answer in answers) == {201: 1, 409: AT_ONCE - 1}
    assert all(answer.problem["type"].endswith(":taken") for answer in answers if answer.status == 409)
    assert all(answer.pointers for answer in answers if answer.status == 409)


@pytest.mark.parametrize("path", PATHS)
def test_external_id_is_given_once(caller: Callable[..., Caller], place: Namespace, path: str) -> None:
    admin = caller("admin")
    field = "hostname" if path == "targets" else "name"
    bodies = [{**body_for(path, place), field: f"n{n}", "external_id": "same"} for n in range(AT_ONCE)]
    answers = at_once(admin.token, [("POST", path, body, {}) for body in bodies])
    assert Counter(answer.status for answer in answers) == {201: 1, 409: AT_ONCE - 1}
    assert {pointer for answer in answers if answer.status == 409 for pointer in answer.pointers} == {"/external_id"}


def test_one_of_many_updates_with_a_version_wins(caller: Callable[..., Caller], place: Namespace) -> None:
    admin = caller("admin")
    address = f"namespaces/{place.pk}"
    requests = [("PATCH", address, {"description": f"d{n}"}, {"if_match": '"v1"'}) for n in range(AT_ONCE)]
    answers = at_once(admin.token, requests)
    assert Counter(answer.status for answer in answers) == {200: 1, 412: AT_ONCE - 1}
    (winner,) = [answer for answer in answers if answer.status == 200]
    assert admin.get(address).json == winner.json


def test_updates_without_a_version_all_count(caller: Callable[..., Caller], place: Namespace) -> None:
    admin = caller("admin")
    answers = at_once(
        admin.token, [("PATCH", f"namespaces/{place.pk}", {"priority": n + 1}, {}) for n in range(AT_ONCE)]
    )
    assert sorted(answer.json["version"] for answer in answers) == list(range(2, AT_ONCE + 2))


def test_group_and_what_needs_it_do_not_pass_each_other(caller: Callable[..., Caller], place: Namespace) -> None:
    admin = caller("admin")
    for turn in range(5):
        group = admin.make("groups", name=f"g{turn}", namespace=place.pk)
        delete, join, rule = at_once(
            admin.token,
            [
                ("DELETE", f"groups/{group['id']}", None, {}),
                ("POST", "targets", {"hostname": f"t{turn}", "groups": [group["id"]]}, {}),
                ("POST", "alert-rules", {"name": f"r{turn}", "group_id": group["id"], "query_template": "up == 0"}, {}),
            ],
        )
        assert delete.status in (204, 409)
        needed = (
            Membership.objects.filter(group_id=group["id"]).exists()
            or AlertRule.objects.filter(group_id=group["id"]).exists()
        )
        assert Group.objects.get(pk=group["id"]).living == needed or not needed
        if delete.status == 204:
            assert (join.status, rule.status) == (409, 409)
        else:
            assert 201 in (join.status, rule.status)


def test_target_ends_in_one_group_of_a_namespace(caller: Callable[..., Caller], place: Namespace) -> None:
    admin = caller("admin")
    groups = [admin.make("groups", name=f"g{n}", namespace=place.pk)["id"] for n in range(AT_ONCE)]
    target = admin.make("targets", hostname="t")
    answers = at_once(admin.token, [("PATCH", f"targets/{target['id']}", {"groups": [group]}, {}) for group in groups])
    assert {answer.status for answer in answers} == {200}
    assert Membership.objects.filter(target_id=target["id"]).count() == 1


def test_purge_and_restore_do_not_pass_each_other(caller: Callable[..., Caller], place: Namespace) -> None:
    admin = caller("admin")
    for turn in range(5):
        ids = {"ids": [admin.make("targets", hostname=f"t{turn}")["id"]]}
        admin.post("targets/delete", ids)
        purge, restore = at_once(
            admin.token, [("POST", "targets/purge", ids, {}), ("POST", "targets/restore", ids, {})]
        )
        assert (purge.status, restore.status) in {(200, 404), (409, 200)}
        assert Target.objects.filter(pk=ids["ids"][0]).exists() == (restore.status == 200)
