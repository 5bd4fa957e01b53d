"""Who may do what. A refused attempt changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group as UserGroup
from django.test import Client
from django.utils import timezone

from alerts.actions import tokens
from alerts.models import (
    AlertRule,
    AlertTemplate,
    ApiToken,
    Group,
    IdempotencyRecord,
    Namespace,
    PolicyState,
    Release,
    ServerState,
    Target,
)
from tests.api.conftest import PATHS, Answer, Caller

READS = [
    *(path for path in PATHS),
    *(f"{path}/{{{path}}}" for path in PATHS),
    "alert-templates/severity/warning",
    "alert-rules/group/{groups}",
    "alert-rules/template/{alert-templates}",
    "targets/{targets}/alert-rules/effective",
    "targets/{targets}/alert-rules/trace",
    "groups/{groups}/alert-rules/effective",
    "groups/{groups}/alert-rules/trace",
    "plan",
    "prometheus/status",
    "prometheus/rules/files",
    "releases",
    "schema",
    "docs",
]
DISCOVERY = ["sd/prometheus", "/metrics"]
EDITS: list[tuple[str, str, Any]] = [
    ("POST", "namespaces", {"name": "new"}),
    ("POST", "groups", {"name": "new", "namespace": 1}),
    ("POST", "targets", {"hostname": "new"}),
    ("POST", "alert-templates", {"name": "new", "query_template": "up == 0"}),
    ("POST", "alert-rules", {"name": "new", "query_template": "up == 0"}),
    *(
        (method, f"{path}/{{{path}}}", {"external_id": "new"})
        for path in PATHS
        for method in ("PUT", "PATCH", "DELETE")
    ),
    *(("POST", f"{path}/{verb}", {"ids": []}) for path in PATHS for verb in ("delete", "restore")),
    ("POST", "prometheus/rules/regenerate", None),
    ("POST", "prometheus/rules/regenerate/{groups}", None),
]
POWERS: list[tuple[str, str, Any]] = [
    *(("POST", f"{path}/purge", {"ids": []}) for path in PATHS),
    ("POST", "prometheus/reload", None),
    ("POST", "prometheus/resume", None),
    ("POST", "releases/1/rollback", None),
]
WRITES = EDITS + POWERS


def everything() -> list[Any]:
    """All that a request could change."""
    models = (Namespace, Group, Target, AlertTemplate, AlertRule, PolicyState, Release, ServerState, IdempotencyRecord)
    return [list(model.objects.order_by("pk").values()) for model in models]


def ask(caller: Caller, world: SimpleNamespace, method: str, path: str, body: Any = None) -> Answer:
    ids = {name: row["id"] for name, row in world.one.items()}
    if isinstance(body, dict) and "ids" in body:
        body = {"ids": [ids[path.split("/")[0]]]}
    return caller(method, path.format(**ids), body)


def statuses(caller: Caller, world: SimpleNamespace, requests: list[tuple[str, str, Any]]) -> dict[str, int]:
    """What each request is answered with; every refusal must be a problem."""
    found = {}
    for method, path, body in requests:
        answer = ask(caller, world, method, path, body)
        found[f"{method} {path}"] = answer.status
        if answer.status == 401:
            assert answer.problem["type"].endswith(":unauthenticated")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        elif answer.status == 403:
            assert answer.problem["type"].endswith(":forbidden")
    return found


def gets(paths: list[str]) -> list[tuple[str, str, Any]]:
    return [("GET", path, None) for path in paths]


REFUSED = [
    (None, "reading", gets(READS + DISCOVERY), 401),
    (None, "writing", WRITES, 401),
    ("viewer", "writing", WRITES, 403),
    ("editor", "purging and configuring", POWERS, 403),
    ("discovery", "reading", gets(READS), 403),
    ("discovery", "writing", WRITES, 403),
]


@pytest.mark.parametrize(
    ("role", "requests", "status"),
    [pytest.param(role, requests, status, id=f"{role or 'nobody'} {what}") for role, what, requests, status in REFUSED],
)
def test_attempt_without_the_right_changes_nothing(
    caller: Callable[..., Caller], world: SimpleNamespace, role: str | None, requests: Any, status: int
) -> None:
    someone, before = caller(role), everything()
    found = statuses(someone, world, requests)
    assert found == dict.fromkeys(found, status)
    assert everything() == before


@pytest.mark.parametrize(
    ("role", "paths"),
    [
        ("viewer", READS + DISCOVERY),
        ("editor", READS + DISCOVERY),
        ("admin", READS + DISCOVERY),
        ("discovery", DISCOVERY),
    ],
)
def test_role_reads_what_is_for_it(
    caller: Callable[..., Caller], world: SimpleNamespace, role: str, paths: list[str]
) -> None:
    found = statuses(caller(role), world, gets(paths))
    assert found == dict.fromkeys(found, 200)


@pytest.mark.parametrize(("role", "requests"), [("editor", EDITS), ("admin", WRITES)])
def test_role_may_write_what_is_for_it(
    caller: Callable[..., Caller], world: SimpleNamespace, role: str, requests: list[tuple[str, str, Any]]
) -> None:
    found = statuses(caller(role), world, requests)
    assert not {status for status in found.values() if status in (401, 403) or status == 500}


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Bearer cs_" + "x" * 43,
        "Bearer {token}x",
        "Bearer {token} {token}",
        "Basic cm9vdDpyb290",
        "Token {token}",
        "{token}",
        "Bearer " + "x" * 5000,
        "Bearer \u00e9\u00ff",
    ],
)
def test_wrong_token_is_refused(admin: Caller, header: str) -> None:
    answer = admin.get("namespaces", authorization=header.format(token=admin.token))
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert admin.token not in answer.content.decode()


def test_scheme_may_be_written_in_any_case(admin: Caller) -> None:
    assert admin.get("namespaces", authorization=f"bearer {admin.token}").status == 200


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"expires_at": timezone.now() - timedelta(seconds=1)}, id="expired"),
        pytest.param({"revoked_at": timezone.now()}, id="revoked"),
    ],
)
def test_token_that_is_no_longer_good_is_refused(admin: Caller, change: dict[str, Any]) -> None:
    assert admin.get("namespaces").status == 200
    ApiToken.objects.update(**change)
    assert admin.get("namespaces").status == 401


def test_token_of_an_inactive_user_is_refused(admin: Caller) -> None:
    get_user_model().objects.update(is_active=False)
    assert admin.get("namespaces").status == 401


def test_bad_token_is_not_saved_by_a_session(db: None) -> None:
    user = get_user_model().objects.create_superuser("root", password="x")
    client = Client()
    client.force_login(user)
    assert client.get("/api/v1/namespaces").status_code == 200
    assert client.get("/api/v1/namespaces", headers={"Authorization": "Bearer wrong"}).status_code == 401


@pytest.mark.parametrize(
    ("groups", "superuser", "reads", "writes", "purges"),
    [
        ([], False, 403, 403, 403),
        (["viewer"], False, 200, 403, 403),
        (["editor"], False, 200, 200, 403),
        (["admin"], False, 200, 200, 404),
        ([], True, 200, 200, 404),
    ],
)
def test_session_has_the_role_of_its_user(
    db: None, groups: list[str], superuser: bool, reads: int, writes: int, purges: int
) -> None:
    user = get_user_model().objects.create_user("somebody", password="x", is_superuser=superuser)
    user.groups.set(UserGroup.objects.get_or_create(name=name)[0] for name in groups)
    client = Client()
    client.force_login(user)
    body = {"content_type": "application/json"}
    assert client.get("/api/v1/namespaces").status_code == reads
    assert client.post("/api/v1/namespaces?dry_run=true", {"name": "a"}, **body).status_code == writes
    assert client.post("/api/v1/namespaces/purge", {"ids": [99]}, **body).status_code == purges


def test_session_writes_only_with_the_csrf_token(db: None) -> None:
    user = get_user_model().objects.create_superuser("root", password="x")
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    refused = Answer(client.post("/api/v1/namespaces", {"name": "a"}, content_type="application/json"))
    assert refused.status == 403
    assert "CSRF" in refused.problem["detail"]
    assert not Namespace.objects.filter(name="a").exists()
    client.get("/api/v1/docs")
    token = client.cookies["csrftoken"].value
    accepted = client.post(
        "/api/v1/namespaces", {"name": "a"}, content_type="application/json", headers={"X-CSRFToken": token}
    )
    assert accepted.status_code == 201


def test_token_needs_no_csrf_token(db: None) -> None:
    plain, _ = tokens.create("robot", "admin")
    client = Client(enforce_csrf_checks=True)
    answer = client.post(
        "/api/v1/namespaces",
        {"name": "a"},
        content_type="application/json",
        headers={"Authorization": f"Bearer {plain}"},
    )
    assert answer.status_code == 201


@pytest.mark.parametrize("path", ["/-/healthy", "/-/ready"])
def test_probes_need_no_token(caller: Callable[..., Caller], path: str) -> None:
    assert caller(None).get(path).status == 200


def test_token_is_kept_as_a_hash_only(admin: Caller) -> None:
    row = ApiToken.objects.values().get()
    assert admin.token is not None
    assert admin.token not in str(row)
    assert len(admin.token) > 40
