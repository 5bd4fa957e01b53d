"""What is written in the admin goes through the actions: the same refusals, the same words, the same rows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from alerts.actions import groups, rules, targets, templates, tokens
from alerts.domain.errors import PolicyError
from alerts.models import AlertRule, AlertTemplate, ApiToken, Group, Namespace, PolicyState, Target

RULES = "/admin/alerts/alertrule/"
ADD = f"{RULES}add/"
Typed = Callable[..., dict[str, Any]]


def errors_of(answer: Any) -> dict[str, list[str]]:
    assert answer.status_code == 200, answer.status_code
    return {name: list(found) for name, found in answer.context["adminform"].form.errors.items()}


def test_rule_is_stored_like_any_other(world: SimpleNamespace, editor: Client, typed: Typed) -> None:
    before = PolicyState.current()
    query = "load5\n> 3"
    values = typed(
        editor,
        ADD,
        name="LoadFive",
        group=world.staging.pk,
        query_template=query.replace("\n", "\r\n"),
        config='{"for_duration": "5m", "labels": {"team": "a"}}',
        enabled="unknown",
    )
    answer = editor.post(ADD, values)
    assert answer.status_code == 302, errors_of(answer)
    rule = AlertRule.objects.get(key="LoadFive")
    assert (rule.scope_key, rule.merge_strategy) == (f"group:{world.staging.pk}", "override")
    assert (rule.query_template, rule.severity, rule.enabled, rule.external_id) == (query, None, None, None)
    assert rule.config == {"for_duration": "5m", "labels": {"team": "a"}}
    assert rule.revision == PolicyState.current() == before + 1
    assert LogEntry.objects.filter(object_id=str(rule.pk)).count() == 1


BAD = [
    ("no promql", {"query_template": "sum(("}, "query_template"),
    ("only promtool objects", {"query_template": "no_such_function(up)"}, "query_template"),
    ("reserved label", {"query_template": "up == 0", "config": {"labels": {"severity": "x"}}}, "config"),
    ("bad duration", {"query_template": "up == 0", "config": {"for_duration": "5 minutes"}}, "config"),
    ("unknown severity", {"query_template": "up == 0", "severity": "fatal"}, "severity"),
    ("undeclared variable", {"query_template": "up > {{ .most }}"}, "query_template"),
    ("override without a query", {"merge_strategy": "override"}, "query_template"),
    ("wrong shape", {"query_template": "up == 0", "config": ["a"]}, "config"),
    ("left-over braces", {"query_template": "up == 0", "config": {"annotations": {"a": "{{ x"}}}, "config"),
]


@pytest.mark.parametrize(("values", "field"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_rule_is_refused_in_the_actions_words(
    values: dict[str, Any], field: str, world: SimpleNamespace, editor: Client, typed: Typed
) -> None:
    with pytest.raises(PolicyError) as refused:
        rules.create({"name": "Bad", **values})
    before = PolicyState.current()
    text = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
    found = errors_of(editor.post(ADD, typed(editor, ADD, name="Bad", enabled="unknown", **text)))
    expected = [str(finding) for finding in refused.value.findings]
    assert expected
    assert all(any(words in shown for shown in found[field]) for words in expected), found
    assert PolicyState.current() == before
    assert not AlertRule.objects.filter(name="Bad").exists()


@pytest.mark.parametrize("text", ["{", '{"a": 1, "a": 2}', '{"a": NaN}', "[" * 100_000])
def test_what_is_not_json_is_refused(text: str, world: SimpleNamespace, editor: Client, typed: Typed) -> None:
    values = typed(editor, ADD, name="Bad", enabled="unknown", query_template="up == 0", config=text)
    assert list(errors_of(editor.post(ADD, values))) == ["config"]


def test_two_scopes_are_an_error_at_both(world: SimpleNamespace, editor: Client, typed: Typed) -> None:
    values = typed(
        *(editor, ADD),
        name="Bad",
        query_template="up == 0",
        enabled="unknown",
        group=world.staging.pk,
        target=world.web.pk,
    )
    found = errors_of(editor.post(ADD, values))
    assert set(found) == {"group", "target"}


def test_a_taken_identity_is_refused(world: SimpleNamespace, editor: Client, typed: Typed) -> None:
    values = typed(editor, ADD, name="HighLoad", query_template="up == 0", enabled="unknown")
    assert "already" in errors_of(editor.post(ADD, values))["key"][0]


def test_rule_begins_as_a_copy_of_a_template(world: SimpleNamespace, editor: Client, typed: Typed) -> None:
    values = typed(editor, ADD, name="Copied", template=world.template.pk, enabled="unknown")
    answer = editor.post(ADD, values)
    assert answer.status_code == 302, errors_of(answer)
    rule = AlertRule.objects.get(name="Copied")
    assert rule.query_template == world.template.query_template
    assert rule.created_from_template == world.template


def test_a_write_that_breaks_another_key_is_refused_naming_it(
    world: SimpleNamespace, editor: Client, typed: Typed
) -> None:
    rules.create({"name": "job:load:sum", "kind": "recording", "query_template": "sum by (job) (load1)"})
    values = typed(
        *(editor, ADD),
        name="Reader",
        query_template="job:load:sum > 1",
        group=world.staging.pk,
        enabled="unknown",
    )
    found = errors_of(editor.post(ADD, values))
    assert "job:load:sum" in json.dumps(found)


def test_saving_a_form_as_it_is_changes_nothing(world: SimpleNamespace, editor: Client, typed: Typed) -> None:
    path = f"{RULES}{world.override.pk}/change/"
    before = PolicyState.current()
    answer = editor.post(path, typed(editor, path, enabled="unknown"))
    assert answer.status_code == 302, errors_of(answer)
    world.override.refresh_from_db()
    assert world.override.version == 1
    assert PolicyState.current() == before


def test_a_lost_update_is_refused(world: SimpleNamespace, editor: Client, typed: Typed) -> None:
    path = f"{RULES}{world.override.pk}/change/"
    seen = typed(editor, path, enabled="unknown", config='{"for_duration": "1m"}')
    rules.update(world.override.pk, {"config": {"for_duration": "2m"}})
    found = errors_of(editor.post(path, seen))
    assert "its version is 2 now" in found["__all__"][0]
    world.override.refresh_from_db()
    assert world.override.config == {"for_duration": "2m"}
    without = {name: value for name, value in seen.items() if name != "seen_version"}
    assert "seen_version" in errors_of(editor.post(path, without))


def test_deleted_rules_are_seen_and_restored(world: SimpleNamespace, editor: Client) -> None:
    chosen = {"_selected_action": [world.override.pk]}
    assert editor.post(RULES, {"action": "bury", **chosen}).status_code == 302
    world.override.refresh_from_db()
    assert not world.override.living
    assert world.override not in editor.get(RULES).context["cl"].result_list
    shown = editor.get(f"{RULES}?deleted=only")
    assert list(shown.context["cl"].result_list) == [world.override]
    page = editor.get(f"{RULES}{world.override.pk}/change/")
    assert page.status_code == 200
    assert not page.context["has_change_permission"]
    assert editor.post(f"{RULES}?deleted=only", {"action": "raise_dead", **chosen}).status_code == 302
    world.override.refresh_from_db()
    assert world.override.living


def test_a_restore_that_meets_a_taken_name_says_so(world: SimpleNamespace, editor: Client) -> None:
    rules.delete([world.override.pk])
    rules.create({"key": "HighLoad", "group_id": world.production.pk, "config": {"for_duration": "1m"}})
    answer = editor.post(
        f"{RULES}?deleted=only", {"action": "raise_dead", "_selected_action": [world.override.pk]}, follow=True
    )
    assert "already" in answer.content.decode()
    world.override.refresh_from_db()
    assert not world.override.living


def test_what_is_held_is_not_deleted(world: SimpleNamespace, editor: Client) -> None:
    path = f"/admin/alerts/group/{world.production.pk}/delete/"
    answer = editor.post(path, {"post": "yes"}, follow=True)
    assert "It is still needed by" in answer.content.decode()
    world.production.refresh_from_db()
    assert world.production.living


def test_one_rule_is_deleted_from_its_page(world: SimpleNamespace, editor: Client) -> None:
    path = f"{RULES}{world.override.pk}/delete/"
    assert editor.get(path).status_code == 200
    assert editor.post(path, {"post": "yes"}).status_code == 302
    world.override.refresh_from_db()
    assert not world.override.living


@pytest.mark.parametrize(("role", "gone"), [("editor", False), ("admin", True)])
def test_admins_purge(role: str, gone: bool, world: SimpleNamespace, signed_in: Callable[[str], Client]) -> None:
    client = signed_in(role)
    rules.delete([world.override.pk])
    chosen = {"action": "purge", "_selected_action": [world.override.pk]}
    path = f"{RULES}?deleted=only"
    if gone:
        assert "no way back" in client.post(path, chosen).content.decode()
        assert AlertRule.objects.filter(pk=world.override.pk).exists()
    client.post(path, {**chosen, "confirmed": "yes"})
    assert AlertRule.objects.filter(pk=world.override.pk).exists() is not gone


def test_the_living_are_not_purged(world: SimpleNamespace, admin: Client) -> None:
    chosen = {"action": "purge", "_selected_action": [world.override.pk], "confirmed": "yes"}
    assert "is not deleted" in admin.post(RULES, chosen, follow=True).content.decode()
    assert AlertRule.objects.filter(pk=world.override.pk).exists()


def test_places_are_written_through_their_actions(world: SimpleNamespace, editor: Client, typed: Typed) -> None:
    path = "/admin/alerts/namespace/add/"
    assert editor.post(path, typed(editor, path, name="site", priority=5)).status_code == 302
    site = Namespace.objects.get(name="site")
    assert site.label == "site"

    path = "/admin/alerts/group/add/"
    values = typed(editor, path, name="berlin", namespace=site.pk)
    assert editor.post(path, values).status_code == 302
    berlin = Group.objects.get(name="berlin")
    assert berlin.label_value == "berlin"

    path = f"/admin/alerts/group/{berlin.pk}/change/"
    assert editor.post(path, typed(editor, path, name="Berlin")).status_code == 302
    berlin.refresh_from_db()
    assert (berlin.name, berlin.label_value) == ("Berlin", "berlin")

    path = f"/admin/alerts/target/{world.web.pk}/change/"
    values = typed(editor, path, sits_in=[world.production.pk, berlin.pk], endpoints='[{"job": "node", "port": 9100}]')
    assert editor.post(path, values).status_code == 302
    web = Target.objects.get(pk=world.web.pk)
    assert set(web.group_ids()) == {world.production.pk, berlin.pk}
    assert web.endpoints == [{"job": "node", "port": 9100}]


def test_two_groups_of_one_namespace_are_an_error_at_the_groups(
    world: SimpleNamespace, editor: Client, typed: Typed
) -> None:
    path = f"/admin/alerts/target/{world.web.pk}/change/"
    found = errors_of(editor.post(path, typed(editor, path, sits_in=[world.production.pk, world.staging.pk])))
    assert "both groups of the namespace" in found["sits_in"][0]


def test_a_parent_cycle_is_refused(world: SimpleNamespace, editor: Client, typed: Typed) -> None:
    child = groups.create({"name": "child", "namespace_id": world.environment.pk, "parent_id": world.staging.pk})
    path = f"/admin/alerts/group/{world.staging.pk}/change/"
    assert "parent" in errors_of(editor.post(path, typed(editor, path, parent=child.pk)))


def test_template_is_refused_and_stored(world: SimpleNamespace, editor: Client, typed: Typed) -> None:
    path = f"/admin/alerts/alerttemplate/{world.template.pk}/change/"
    assert "query_template" in errors_of(editor.post(path, typed(editor, path, query_template="load1 >")))
    assert editor.post(path, typed(editor, path, query_template="load5 > {{ .threshold }}")).status_code == 302
    assert AlertTemplate.objects.get(pk=world.template.pk).query_template == "load5 > {{ .threshold }}"


def test_choices_offer_only_the_living(world: SimpleNamespace, editor: Client) -> None:
    gone = targets.create({"hostname": "web-2"})
    targets.delete([gone.pk])
    query = "app_label=alerts&model_name=alertrule&field_name=target&term=web"
    found = editor.get(f"/admin/autocomplete/?{query}").json()["results"]
    assert [row["text"] for row in found] == ["web-1"]
    templates.delete([world.template.pk])
    assert not editor.get(ADD).context["adminform"].form.fields["template"].queryset.exists()


def test_a_token_is_shown_once_and_revoked(admin: Client, typed: Typed) -> None:
    path = "/admin/alerts/apitoken/add/"
    user = admin.get("/admin/").context["user"]
    answer = admin.post(path, {"user": user.pk, "role": "viewer", "name": "script"})
    token = re.search(r"cs_[\w-]+", answer.content.decode())
    assert answer.status_code == 200
    assert token
    row = tokens.authenticate(token[0])
    assert row is not None
    assert token[0] not in admin.get("/admin/alerts/apitoken/").content.decode()
    admin.post("/admin/alerts/apitoken/", {"action": "revoke", "_selected_action": [row.pk]})
    assert tokens.authenticate(token[0]) is None
    assert ApiToken.objects.filter(pk=row.pk).exists()


def test_a_token_that_would_be_expired_is_refused(admin: Client) -> None:
    user = admin.get("/admin/").context["user"]
    values = {"user": user.pk, "role": "viewer", "expires_at_0": "2001-01-01", "expires_at_1": "00:00"}
    assert "expires_at" in errors_of(admin.post("/admin/alerts/apitoken/add/", values))
