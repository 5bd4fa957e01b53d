"""A small policy in force, and people who look at it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Group as UserGroup
from django.contrib.auth.models import User
from django.test import Client

from alerts.actions import groups, policy, rules, targets
from alerts.models import Namespace


@pytest.fixture(autouse=True)
def fresh_policy() -> None:
    """Rolled-back tests leave the revision where it was, with other rows under it."""
    policy.forget()


@pytest.fixture
def nobody_answers(settings: Any) -> None:
    settings.PROMETHEUS_URL = "http://127.0.0.1:9"


@pytest.fixture
def world(db: None) -> SimpleNamespace:
    """One alert for everybody, with a stricter threshold in production, and a target inside and one outside."""
    environment = Namespace.objects.get(name="environment")
    production = groups.create({"name": "production", "namespace_id": environment.pk})
    staging = groups.create({"name": "staging", "namespace_id": environment.pk})
    inside = targets.create({"hostname": "web-1", "groups": [production.pk]})
    outside = targets.create({"hostname": "web-2", "groups": [staging.pk]})
    rule = rules.create(
        {
            "name": "HighLoad",
            "query_template": "load1 > {{ .most }}",
            "severity": "warning",
            "variables": [{"name": "most", "type": "number", "default": 8}],
            "config": {"template_vars": {"most": 7}},
        }
    )
    override = rules.create({"key": "HighLoad", "group_id": production.pk, "config": {"template_vars": {"most": 4}}})
    return SimpleNamespace(
        environment=environment,
        production=production,
        staging=staging,
        inside=inside,
        outside=outside,
        rule=rule,
        override=override,
    )


@pytest.fixture
def signed_in(db: None) -> Callable[[str], Client]:
    """``signed_in("viewer")``: the browser of somebody with that role."""

    def enter(role: str) -> Client:
        user = User.objects.create_user(f"some-{role}")
        if role != "nobody":
            user.groups.add(UserGroup.objects.get_or_create(name=role)[0])
        client = Client(enforce_csrf_checks=True)
        client.force_login(user)
        return client

    return enter


@pytest.fixture
def viewer(signed_in: Callable[[str], Client]) -> Client:
    return signed_in("viewer")
