"""Prometheus servers in the admin: written through their actions, by admins alone; and the tokens of agents."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from alerts.actions import prometheus_servers, tokens
from alerts.models import ApiToken, PolicyState, PrometheusServer

LIST = "/admin/alerts/prometheusserver/"
ADD = f"{LIST}add/"
Typed = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path, db: None) -> None:
    settings.PROMETHEUS_RULE_ROOTS = (str(tmp_path),)


def errors_of(answer: Any) -> dict[str, list[str]]:
    assert answer.status_code == 200
    return {name: list(errors) for name, errors in answer.context["adminform"].form.errors.items()}


def test_a_server_is_made_and_changed_through_its_action(admin: Client, typed: Typed) -> None:
    before = PolicyState.current()
    url = "http://127.0.0.1:9"
    wrong = typed(admin, ADD, name="Eu", url="ftp://x", selector='{"nowhere": ["x"]}', tls='{"key": "-----BEGIN"}')
    assert errors_of(admin.post(ADD, wrong)).keys() == {"name", "url", "selector", "tls"}
    assert PolicyState.current() == before
    assert admin.post(ADD, typed(admin, ADD, name="eu", url=url, enabled="on")).status_code == 302
    eu = PrometheusServer.objects.get(name="eu")
    assert (eu.url, eu.selector, eu.enabled, eu.version) == (url, {}, True, 1)
    path = f"{LIST}{eu.pk}/change/"
    values = typed(admin, path, layout="consolidated", selector='{"environment": [""]}', name="us")
    assert admin.post(path, values).status_code == 302
    eu.refresh_from_db()
    assert (eu.name, eu.layout, eu.selector, eu.version) == ("eu", "consolidated", {"environment": [""]}, 2)
    assert "seen_version" in values
    assert "changed since" in str(errors_of(admin.post(path, {**values, "description": "x"})))


@pytest.mark.parametrize(("role", "seen", "added"), [("nobody", 403, 403), ("viewer", 200, 403), ("editor", 200, 403)])
def test_only_admins_write_servers(signed_in: Callable[[str], Client], role: str, seen: int, added: int) -> None:
    client, default = signed_in(role), PrometheusServer.objects.get(name="default")
    assert client.get(LIST).status_code == seen
    assert client.get(ADD).status_code == added
    path = f"{LIST}{default.pk}/change/"
    assert client.get(path).status_code == seen
    assert client.post(path, {"enabled": ""}).status_code == 403
    client.post(LIST, {"action": "bury", "_selected_action": [default.pk]})
    default.refresh_from_db()
    assert (default.enabled, default.living) == (True, True)


def test_servers_are_deleted_restored_and_purged(admin: Client) -> None:
    eu = prometheus_servers.create({"name": "eu", "url": "http://127.0.0.1:9"})
    chosen = {"_selected_action": [eu.pk], "confirmed": "yes"}
    for action, living in (("bury", False), ("raise_dead", True), ("bury", False)):
        admin.post(f"{LIST}?deleted=include", {"action": action, **chosen})
        assert PrometheusServer.objects.get(pk=eu.pk).living is living
    admin.post(f"{LIST}?deleted=only", {"action": "purge", **chosen})
    assert not PrometheusServer.objects.filter(pk=eu.pk).exists()


def test_an_agents_token_is_made_for_its_server(admin: Client) -> None:
    eu = prometheus_servers.create({"name": "eu", "url": "http://127.0.0.1:9", "delivery": "agent"})
    path = "/admin/alerts/apitoken/add/"
    user = admin.get("/admin/").context["user"].pk
    assert "server" in errors_of(admin.post(path, {"user": user, "role": "agent"}))
    assert "server" in errors_of(admin.post(path, {"user": user, "role": "admin", "server": eu.pk}))
    default = PrometheusServer.objects.get(name="default").pk
    assert "server" in errors_of(admin.post(path, {"user": user, "role": "agent", "server": default}))
    assert not ApiToken.objects.exists()
    found = re.search(r"cs_[\w-]+", admin.post(path, {"user": user, "role": "agent", "server": eu.pk}).content.decode())
    assert found
    row = tokens.authenticate(found[0])
    assert row is not None
    assert (row.role, row.server) == ("agent", eu)
    assert "eu" in admin.get("/admin/alerts/apitoken/").content.decode()


def test_counters_are_not_shown(admin: Client) -> None:
    assert admin.get("/admin/alerts/tally/").status_code == 404
