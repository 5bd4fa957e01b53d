"""What the database itself refuses, whatever the code above it believes."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

from alerts.models import AlertRule, AlertTemplate, Group, Membership, Namespace, PolicyState, Target

pytestmark = pytest.mark.django_db


@pytest.fixture
def place() -> dict[str, Any]:
    """One row of each kind."""
    namespace = Namespace.objects.create(name="site", label="site")
    group = Group.objects.create(name="berlin", namespace=namespace, label_value="berlin", external_id="g1")
    target = Target.objects.create(hostname="web-1", external_id="t1")
    Membership.objects.create(target=target, group=group, namespace=namespace)
    AlertTemplate.objects.create(name="cpu", query_template="up == 0")
    AlertRule.objects.create(key="cpu", merge_strategy="merge", scope_key="global", external_id="r1")
    return {"namespace": namespace, "group": group, "target": target}


def refused(make: Any) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        make()


TAKEN = {
    "a namespace's name": lambda at: Namespace.objects.create(name="site", label="other"),
    "a namespace's label": lambda at: Namespace.objects.create(name="other", label="site"),
    "a group's name in its namespace": lambda at: Group.objects.create(
        name="berlin", namespace=at["namespace"], label_value="other"
    ),
    "a group's label value in its namespace": lambda at: Group.objects.create(
        name="other", namespace=at["namespace"], label_value="berlin"
    ),
    "a target's hostname": lambda at: Target.objects.create(hostname="web-1"),
    "a template's name": lambda at: AlertTemplate.objects.create(name="cpu", query_template="up"),
    "a rule's kind, key and scope": lambda at: AlertRule.objects.create(
        key="cpu", merge_strategy="merge", scope_key="global"
    ),
    "an external id": lambda at: AlertRule.objects.create(
        key="other", merge_strategy="merge", scope_key="global", external_id="r1"
    ),
    "a second group of one namespace": lambda at: Membership.objects.create(
        target=at["target"],
        group=Group.objects.create(name="kiel", namespace=at["namespace"], label_value="kiel"),
        namespace=at["namespace"],
    ),
}

NEVER = {
    "two scopes": lambda at: AlertRule.objects.create(
        key="x", merge_strategy="merge", scope_key="x", namespace=at["namespace"], group=at["group"]
    ),
    "an unknown kind": lambda at: AlertRule.objects.create(key="x", merge_strategy="merge", scope_key="x", kind="x"),
    "an unknown strategy": lambda at: AlertRule.objects.create(key="x", merge_strategy="x", scope_key="x"),
    "an unknown status": lambda at: Target.objects.create(hostname="x", status="x"),
    "version 0": lambda at: Target.objects.create(hostname="x", version=0),
    "a second policy state": lambda at: PolicyState.objects.create(id=2),
}


@pytest.mark.parametrize("make", TAKEN.values(), ids=TAKEN)
def test_what_is_taken_is_refused(place: dict[str, Any], make: Any) -> None:
    refused(lambda: make(place))


@pytest.mark.parametrize("make", NEVER.values(), ids=NEVER)
def test_what_cannot_be_is_refused(place: dict[str, Any], make: Any) -> None:
    refused(lambda: make(place))


def test_a_deleted_row_gives_its_names_free(place: dict[str, Any]) -> None:
    for model in (Namespace, Group, Target, AlertTemplate, AlertRule):
        model.objects.update(deleted_at=timezone.now())
    for name, make in TAKEN.items():
        if name != "a second group of one namespace":
            make(place)


def test_any_number_of_rows_may_have_no_external_id() -> None:
    for hostname in ("a", "b"):
        Target.objects.create(hostname=hostname)


def test_names_differ_by_case() -> None:
    Target.objects.create(hostname="web")
    Target.objects.create(hostname="WEB")


def test_the_first_namespaces_are_there() -> None:
    found = Namespace.objects.living().values_list("name", "label", "priority")
    assert sorted(found, key=lambda row: row[2]) == [
        ("infrastructure", "infrastructure", 10),
        ("logical", "logical", 50),
        ("environment", "environment", 100),
    ]


def test_the_models_and_the_migrations_agree() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def test_each_bump_gives_the_next_revision() -> None:
    first = PolicyState.bump()
    assert (PolicyState.bump(), PolicyState.current()) == (first + 1, first + 1)


def test_a_lost_state_row_is_made_again() -> None:
    PolicyState.objects.all().delete()
    assert PolicyState.bump() == 1
