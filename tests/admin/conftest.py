"""A small policy, and people with roles at the admin's door."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Group as UserGroup
from django.contrib.auth.models import User
from django.test import Client

from alerts.actions import groups, policy, rules, targets, templates
from alerts.models import Namespace


@pytest.fixture(autouse=True)
def fresh_policy() -> None:
    """Rolled-back tests leave the revision where it was, with other rows under it."""
    policy.forget()


@pytest.fixture
def world(db: None, settings: Any, promtool: Any) -> SimpleNamespace:
    """Two groups of the seeded environment, a target in one, and a key with a layer above and one below."""
    settings.PROMTOOL_PATH = str(promtool)
    environment = Namespace.objects.get(name="environment")
    production = groups.create({"name": "production", "namespace_id": environment.pk})
    staging = groups.create({"name": "staging", "namespace_id": environment.pk})
    web = targets.create({"hostname": "web-1", "groups": [production.pk]})
    template = templates.create(
        {
            "name": "High load",
            "query_template": "load1 > {{ .threshold }}",
            "severity": "warning",
            "variables": [{"name": "threshold", "type": "number", "default": 8}],
        }
    )
    rule = rules.create({"name": "HighLoad", "template_id": template.pk})
    override = rules.create(
        {"key": "HighLoad", "group_id": production.pk, "config": {"template_vars": {"threshold": 4}}}
    )
    return SimpleNamespace(
        environment=environment,
        production=production,
        staging=staging,
        web=web,
        template=template,
        rule=rule,
        override=override,
    )


@pytest.fixture
def signed_in(db: None) -> Callable[[str], Client]:
    """``signed_in("editor")``: the client of a staff member with that role."""

    def enter(role: str) -> Client:
        user = User.objects.create_user(f"some-{role}", is_staff=True, is_superuser=role == "superuser")
        if role not in ("superuser", "nobody"):
            user.groups.add(UserGroup.objects.get_or_create(name=role)[0])
        client = Client()
        client.force_login(user)
        return client

    return enter


@pytest.fixture
def editor(signed_in: Callable[[str], Client]) -> Client:
    return signed_in("editor")


@pytest.fixture
def admin(signed_in: Callable[[str], Client]) -> Client:
    return signed_in("superuser")


@pytest.fixture
def typed() -> Callable[..., dict[str, str]]:
    """What the form of an object holds as it is, with some fields typed over."""

    def fill(client: Client, path: str, **over: Any) -> dict[str, str]:
        form = client.get(path).context["adminform"].form
        values = {}
        for name in form.fields:
            value = form[name].value()
            if name in form.fields and value is not None and value is not False:
                values[name] = value
        return {**values, **over}

    return fill
