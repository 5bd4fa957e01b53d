"""Two writers at once, each on a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from alerts.actions import groups, namespaces, policy, rules, targets
from alerts.actions.errors import Held, PolicyConflict, PolicyError, Taken, VersionMismatch
from alerts.models import AlertRule, Group, PolicyState, Target

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def fresh_policy() -> None:
    policy.forget()


def at_once(*actions: Callable[[], Any]) -> list[Any]:
    """What each returned or raised; they start together."""
    start = threading.Barrier(len(actions))
    results: list[Any] = [None] * len(actions)

    def run(place: int) -> None:
        try:
            start.wait()
            results[place] = actions[place]()
        except PolicyError as error:
            results[place] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def types(results: list[Any]) -> set[type]:
    return {type(result) for result in results}


def test_of_two_that_take_one_name_one_gets_it() -> None:
    for number in range(10):
        results = at_once(*[lambda n=number: targets.create({"hostname": f"web-{n}"})] * 2)
        assert types(results) == {Target, Taken}
    assert Target.objects.count() == 10


def test_of_two_rules_of_one_key_and_scope_one_is_made() -> None:
    results = at_once(*[lambda: rules.create({"name": "A", "query_template": "up"})] * 2)
    assert types(results) == {AlertRule, Taken}


def test_of_two_that_saw_the_same_version_one_writes() -> None:
    row = targets.create({"hostname": "web"})
    changes = [lambda to=to: targets.update(row.pk, {"address": to}, expected_version=1) for to in ("a", "b")]
    assert types(at_once(*changes)) == {Target, VersionMismatch}
    assert Target.objects.get().version == 2


def test_a_group_is_not_deleted_under_a_rule_that_is_being_made() -> None:
    for number in range(10):
        namespace = namespaces.create({"name": f"site{number}"})
        group = groups.create({"name": "berlin", "namespace_id": namespace.pk})
        made, deleted = at_once(
            lambda at=group: rules.create({"key": "a", "group_id": at.pk, "config": {"labels": {"a": "b"}}}),
            lambda at=group: groups.delete([at.pk]),
        )
        survived = Group.objects.get(pk=group.pk).living
        if survived:
            assert isinstance(made, AlertRule)
            assert isinstance(deleted, Held)
        else:
            assert isinstance(made, PolicyConflict)


def test_two_moves_do_not_make_a_cycle_together() -> None:
    namespace = namespaces.create({"name": "site"})
    a, b = (groups.create({"name": name, "namespace_id": namespace.pk}) for name in "ab")
    at_once(
        lambda: groups.update(a.pk, {"parent_id": b.pk}),
        lambda: groups.update(b.pk, {"parent_id": a.pk}),
    )
    assert Group.objects.filter(parent__isnull=False).count() == 1


def test_each_change_has_a_revision_of_its_own() -> None:
    before = PolicyState.current()
    writers = [
        lambda n=number: [targets.create({"hostname": f"host-{n}-{place}"}) for place in range(5)]
        for number in range(4)
    ]
    at_once(*writers)
    revisions = sorted(Target.objects.values_list("revision", flat=True))
    assert revisions == list(range(before + 1, before + 21))
    assert PolicyState.current() == before + 20
