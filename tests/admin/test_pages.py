"""Every page of every model opens, and says no to whom it should."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from django.contrib import admin as django_admin
from django.core.checks import run_checks
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts.actions import groups, rules, targets, tokens
from alerts.models import (
    AlertRule,
    CompiledKey,
    FileContent,
    Group,
    IdempotencyRecord,
    Release,
    ServerState,
    Target,
)

django_admin.autodiscover()  # as the URLs do
MODELS = sorted(
    model._meta.model_name or "" for model in django_admin.site._registry if model._meta.app_label == "alerts"
)
MADE_BY_HAND = {"namespace", "group", "target", "alerttemplate", "alertrule", "apitoken", "prometheusserver"}


@pytest.fixture
def delivered(world: SimpleNamespace) -> Release:
    """One row of everything that a delivery leaves behind."""
    _, token = tokens.create("somebody", "viewer")
    FileContent.objects.create(sha256="ab" * 32, content=b"groups: []\n", size=11)
    release = Release.objects.create(
        revision=5,
        state=Release.State.VERIFIED,
        trigger="api",
        manifest={"global.yml": "ab" * 32},
        rule_count=2,
        changes={
            "rules": {
                "added": [{"name": "HighLoad", "file": "global.yml", "labels": {"severity": "warning"}, "expr": "up"}],
                "changed": [],
                "removed": [],
            },
            "counts": {"added": 1},
        },
        errors=[{"code": "reload_refused", "message": "Prometheus refused it"}],
        timings={"compile": 0.01, "reload": 1.5},
        verified_at=timezone.now(),
    )
    ServerState.objects.create(loaded_release=release, pinned_release=release)
    CompiledKey.objects.create(kind="alerting", key="HighLoad", release=release, payload=[])
    IdempotencyRecord.objects.create(user=token.user, key="k", method="POST", path="/", body_hash="")
    return release


def test_the_framework_finds_no_fault_in_it() -> None:
    assert MODELS
    assert run_checks(tags=["admin", "urls"]) == []


@pytest.mark.parametrize("model", MODELS)
def test_list_and_every_object_open(model: str, delivered: Release, admin: Client) -> None:
    answer = admin.get(f"/admin/alerts/{model}/")
    assert answer.status_code == 200
    rows = list(answer.context["cl"].result_list)
    assert rows, "nothing to open"
    for row in rows:
        assert admin.get(f"/admin/alerts/{model}/{row.pk}/change/").status_code == 200
        assert admin.get(f"/admin/alerts/{model}/{row.pk}/history/").status_code == 200
    if answer.context["cl"].search_fields:
        assert admin.get(f"/admin/alerts/{model}/?q=1").status_code == 200


@pytest.mark.parametrize("model", MODELS)
def test_only_what_people_make_can_be_added(model: str, admin: Client) -> None:
    expected = 200 if model in MADE_BY_HAND else 403
    assert admin.get(f"/admin/alerts/{model}/add/").status_code == expected


@pytest.mark.parametrize(
    ("role", "seen", "added"), [("nobody", 403, 403), ("viewer", 200, 403), ("editor", 200, 200), ("admin", 200, 200)]
)
def test_the_role_decides(
    role: str, seen: int, added: int, world: SimpleNamespace, signed_in: Callable[[str], Client]
) -> None:
    client = signed_in(role)
    assert client.get("/admin/alerts/alertrule/").status_code == seen
    assert client.get(f"/admin/alerts/alertrule/{world.rule.pk}/change/").status_code == seen
    assert client.get("/admin/alerts/alertrule/add/").status_code == added


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_tokens_are_for_admins(role: str, db: None, signed_in: Callable[[str], Client]) -> None:
    assert signed_in(role).get("/admin/alerts/apitoken/").status_code == 403


def test_release_shows_diff_errors_and_timings_and_cannot_be_changed(delivered: Release, admin: Client) -> None:
    path = f"/admin/alerts/release/{delivered.pk}/change/"
    page = admin.get(path).content.decode()
    assert "HighLoad" in page
    assert "Prometheus refused it" in page
    assert "1.5 s" in page
    assert admin.post(path, {"state": "failed"}).status_code == 403
    assert admin.post(f"/admin/alerts/release/{delivered.pk}/delete/", {"post": "yes"}).status_code == 403
    delivered.refresh_from_db()
    assert delivered.state == "verified"


def test_server_state_shows_the_pin(delivered: Release, admin: Client) -> None:
    page = admin.get("/admin/alerts/serverstate/default/change/").content.decode()
    assert f"release {delivered.pk} (verified)" in page


def test_targets_page_shows_what_is_in_force_and_why(world: SimpleNamespace, admin: Client) -> None:
    page = admin.get(f"/admin/alerts/target/{world.web.pk}/change/").content.decode()
    assert "load1{environment=&quot;production&quot;} &gt; 4" in page
    assert "environment/production" in page
    assert "<del><code>8</code></del>" in page
    assert "template_vars.threshold" in page


def test_a_losing_value_is_struck_out_with_what_beat_it(world: SimpleNamespace, admin: Client) -> None:
    rules.update(world.rule.pk, {"config": {"template_vars": {"threshold": 7}}})
    page = admin.get(f"/admin/alerts/target/{world.web.pk}/change/").content.decode()
    lost = page[page.index("<del><code>7</code></del>") :][:300]
    assert "beaten by environment/production" in lost


@pytest.mark.parametrize("model", ["alertrule", "group", "target"])
def test_list_costs_the_same_for_many_rows(model: str, world: SimpleNamespace, admin: Client) -> None:

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert admin.get(f"/admin/alerts/{model}/").status_code == 200
        return len(queries)

    cost()
    few = cost()
    for number in range(8):
        group = groups.create(
            {"name": f"g{number}", "namespace_id": world.environment.pk, "parent_id": world.staging.pk}
        )
        targets.create({"hostname": f"t{number}", "groups": [group.pk]})
        rules.create({"key": "HighLoad", "group_id": group.pk, "config": {"for_duration": "5m"}})
    assert cost() == few
    assert Group.objects.count() == 10
    assert Target.objects.count() == 9
    assert AlertRule.objects.count() == 10


@pytest.mark.parametrize(
    ("scope", "keys"), [("global", ["rule"]), ("group", ["override"]), ("target", []), ("", ["override", "rule"])]
)
def test_rules_are_narrowed_by_scope(scope: str, keys: list[str], world: SimpleNamespace, admin: Client) -> None:
    found = admin.get(f"/admin/alerts/alertrule/?scope={scope}").context["cl"].result_list
    assert {row.pk for row in found} == {getattr(world, key).pk for key in keys}
