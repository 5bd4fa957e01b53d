"""API tokens: what is kept, what lets in, and the commands around them."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, Group
from django.core.management import CommandError, call_command
from django.utils import timezone

from alerts.actions import prometheus_servers, tokens
from alerts.actions.errors import InvalidPolicy
from alerts.models import ApiToken, PrometheusServer

pytestmark = pytest.mark.django_db
User: Any = get_user_model()


def printed(*command: str) -> str:
    out = StringIO()
    call_command(*command, stdout=out)
    return out.getvalue()


def test_only_the_hash_of_a_token_is_kept() -> None:
    plain, row = tokens.create("ann", "editor")
    assert plain.startswith("cs_")
    assert len(plain) > 40
    assert row.digest == hashlib.sha256(plain.encode()).hexdigest()
    kept = json.dumps(ApiToken.objects.values().get(), default=str)
    assert plain not in kept
    assert plain[len(row.prefix) :] not in kept


def test_a_token_lets_its_user_in_with_its_role() -> None:
    plain, _ = tokens.create("ann", "editor")
    row = tokens.authenticate(plain)
    assert row is not None
    assert (row.user.username, row.role) == ("ann", "editor")


def test_a_missing_user_is_made_without_a_password() -> None:
    tokens.create("ann", "viewer")
    user = User.objects.get(username="ann")
    assert (user.has_usable_password(), user.is_staff, user.is_superuser) == (False, False, False)
    tokens.create("ann", "viewer")
    assert User.objects.count() == 1


KEPT_OUT = {
    "expired": lambda row: ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1)),
    "revoked": lambda row: tokens.revoke(row.pk),
    "of an inactive user": lambda row: User.objects.update(is_active=False),
}


@pytest.mark.parametrize("spoil", KEPT_OUT.values(), ids=KEPT_OUT)
def test_a_token_that_is_no_longer_good_keeps_out(spoil: Any) -> None:
    plain, row = tokens.create("ann", "editor", expires_at=timezone.now() + timedelta(days=1))
    assert tokens.authenticate(plain) is not None
    spoil(row)
    assert tokens.authenticate(plain) is None


@pytest.mark.parametrize("wrong", ["", "cs_", "x", "cs_\0", "cs_\ud800", "cs_" + "a" * 10_000, "cs_%", "Bearer cs_"])
def test_a_wrong_token_keeps_out(wrong: str) -> None:
    tokens.create("ann", "editor")
    assert tokens.authenticate(wrong) is None


def test_use_is_noted_once_a_minute(django_assert_num_queries: Any) -> None:
    plain, row = tokens.create("ann", "editor")
    with django_assert_num_queries(2):
        tokens.authenticate(plain)
    with django_assert_num_queries(1):
        tokens.authenticate(plain)
    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(minutes=2))
    tokens.authenticate(plain)
    row.refresh_from_db()
    assert row.last_used_at > timezone.now() - timedelta(seconds=30)


def test_a_token_needs_a_known_role_and_a_time_to_come() -> None:
    with pytest.raises(InvalidPolicy):
        tokens.create("ann", "root")
    with pytest.raises(InvalidPolicy):
        tokens.create("ann", "viewer", expires_at=timezone.now())
    assert not User.objects.exists()


@pytest.mark.parametrize(
    ("flags", "named", "role"),
    [
        ({"is_superuser": True}, [], "admin"),
        ({}, ["viewer", "editor"], "editor"),
        ({"is_staff": True}, ["viewer"], "viewer"),
        ({"is_staff": True}, [], None),
        ({}, ["discovery", "others"], None),
        ({"is_superuser": True, "is_active": False}, ["admin"], None),
    ],
)
def test_a_sessions_role_is_its_users_strongest_group(
    flags: dict[str, Any], named: list[str], role: str | None
) -> None:
    user = User.objects.create(username="ann", **flags)
    user.groups.set([Group.objects.get_or_create(name=name)[0] for name in named])
    assert tokens.role_of(user) == role


def test_nobody_has_no_role() -> None:
    assert tokens.role_of(AnonymousUser()) is None


def test_the_command_prints_the_token_and_nothing_else() -> None:
    plain = printed("create_api_token", "--user", "ann", "--role", "discovery", "--name", "Prometheus")
    assert plain == plain.strip() + "\n"
    row = tokens.authenticate(plain.strip())
    assert row is not None
    assert (row.role, row.name, row.expires_at) == ("discovery", "Prometheus", None)


@pytest.mark.parametrize(("word", "days"), [("90d", 90), ("2w", 14)])
def test_a_token_can_expire_after_a_while(word: str, days: int) -> None:
    printed("create_api_token", "--user", "ann", "--role", "viewer", "--expires", word)
    left = ApiToken.objects.get().expires_at - timezone.now()
    assert timedelta(days=days, minutes=-1) < left <= timedelta(days=days)


def test_a_token_can_expire_at_a_time() -> None:
    printed("create_api_token", "--user", "ann", "--role", "viewer", "--expires", "2999-01-31T12:00:00Z")
    assert ApiToken.objects.get().expires_at.isoformat() == "2999-01-31T12:00:00+00:00"


@pytest.mark.parametrize("word", ["soon", "2020-01-01T00:00:00Z", "2020-99-99", "0s", "99999999999y"])
def test_a_time_that_makes_no_sense_is_refused(word: str) -> None:
    with pytest.raises(CommandError):
        printed("create_api_token", "--user", "ann", "--role", "viewer", "--expires", word)
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize("name", ["", "a b", "x" * 200])
def test_a_user_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(CommandError):
        printed("create_api_token", "--user", name, "--role", "viewer")


def test_tokens_are_listed_and_revoked_by_prefix_or_id() -> None:
    first, one = tokens.create("ann", "viewer", name="laptop")
    second, two = tokens.create("bob", "admin")
    assert printed("revoke_api_token", one.prefix) == f"{one.prefix} is revoked\n"
    printed("revoke_api_token", str(two.pk))
    assert tokens.authenticate(first) is tokens.authenticate(second) is None
    listed = json.loads(printed("list_api_tokens", "--format", "json"))
    assert [(row["user"], row["role"], row["state"]) for row in listed] == [
        ("bob", "admin", "revoked"),
        ("ann", "viewer", "revoked"),
    ]
    text = printed("list_api_tokens", "--user", "ann")
    assert one.prefix in text
    assert two.prefix not in text
    assert first not in text


def test_revoking_what_is_not_there_is_an_error() -> None:
    with pytest.raises(CommandError):
        printed("revoke_api_token", "cs_nothing")


# ------------------------------------------------------------------------------------------------ agents


@pytest.fixture
def eu() -> PrometheusServer:
    return prometheus_servers.create({"name": "eu", "url": "http://127.0.0.1:9090", "delivery": "agent"})


def test_the_token_of_an_agent_is_for_one_server(eu: PrometheusServer) -> None:
    plain = printed("create_agent_token", "eu", "--name", "eu-1", "--expires", "90d")
    row = tokens.authenticate(plain.strip())
    assert row is not None
    assert (row.role, row.server, row.name, row.user.username) == ("agent", eu, "eu-1", "agent-eu")
    assert not row.user.has_usable_password()
    assert json.loads(printed("list_api_tokens", "--format", "json"))[0]["server"] == "eu"
    printed("revoke_api_token", row.prefix)
    assert tokens.authenticate(plain.strip()) is None


@pytest.mark.parametrize(
    ("server", "change"), [("nowhere", {}), ("eu", {"delivery": "directory"}), ("eu", {"deleted_at": timezone.now()})]
)
def test_only_a_living_server_with_an_agent_gets_a_token(
    eu: PrometheusServer, server: str, change: dict[str, Any]
) -> None:
    PrometheusServer.objects.filter(pk=eu.pk).update(**change)
    with pytest.raises(CommandError):
        printed("create_agent_token", server)
    assert not ApiToken.objects.exists()
    assert not User.objects.exists()


def test_an_agents_role_and_a_server_go_together(eu: PrometheusServer) -> None:
    with pytest.raises(InvalidPolicy):
        tokens.create("ann", "agent")
    with pytest.raises(InvalidPolicy):
        tokens.create("ann", "admin", server=eu)
    with pytest.raises(CommandError):
        printed("create_api_token", "--user", "ann", "--role", "agent")
    assert not User.objects.exists()
