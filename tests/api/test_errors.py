"""Every error is a problem, whoever raised it, and says nothing of our insides."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import IntegrityError, OperationalError, connection
from django.http import Http404
from django.test import Client, RequestFactory
from rest_framework import exceptions as drf

from alerts.actions.errors import Held, Holder, NotFound, Taken, VersionMismatch
from alerts.adapters.prometheus import BadAnswer, LifecycleDisabled, PrometheusUnavailable, ReloadRefused
from alerts.api import errors, handlers
from alerts.domain.errors import Finding, InvalidPolicy, PolicyConflict, PromqlError
from tests.api.conftest import Answer, Caller

FINDING = Finding("code", "message", "/name")


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (InvalidPolicy(FINDING), 400),
        (PromqlError(FINDING), 400),
        (PolicyConflict(FINDING), 409),
        (Taken(FINDING), 409),
        (Held([Holder("group", 1, "a")]), 409),
        (NotFound("group", [1]), 404),
        (VersionMismatch(3), 412),
        (InvalidPolicy([]), 400),
        (drf.ParseError(), 400),
        (drf.ValidationError({"a": ["x"]}), 400),
        (drf.NotAuthenticated(), 401),
        (drf.AuthenticationFailed(), 401),
        (drf.PermissionDenied(), 403),
        (PermissionDenied(), 403),
        (Http404(), 404),
        (drf.NotFound(), 404),
        (drf.MethodNotAllowed("GET"), 405),
        (drf.NotAcceptable(), 406),
        (drf.UnsupportedMediaType("x"), 415),
        (drf.Throttled(), 429),
        (RequestDataTooBig(), 413),
        (SuspiciousOperation(), 400),
        (IntegrityError("UNIQUE constraint failed: secret"), 409),
        (OperationalError("secret host is down"), 503),
        (PrometheusUnavailable("down"), 503),
        (ReloadRefused("no"), 502),
        (LifecycleDisabled("no"), 502),
        (BadAnswer("no"), 502),
        (ZeroDivisionError("secret"), 500),
        (KeyError("secret"), 500),
    ],
)
def test_every_exception_has_a_status(raised: Exception, status: int) -> None:
    answer = Answer(errors.response(raised, ["GET"]))
    assert answer.status == status
    assert answer.problem["detail"]
    assert "secret" not in answer.content.decode()


def test_finding_brings_all_it_knows() -> None:
    finding = Finding("syntax", "Bad.", "/query_template", "Mend it.", offset=0, line=1, column=1, key="K", rule_id=7)
    (found,) = Answer(errors.response(InvalidPolicy(finding))).problem["errors"]
    assert found == {
        "pointer": "/query_template",
        "code": "syntax",
        "message": "Bad.",
        "hint": "Mend it.",
        "offset": 0,
        "line": 1,
        "column": 1,
        "key": "K",
        "rule_id": 7,
    }


def test_holders_are_listed() -> None:
    problem = Answer(errors.response(Held([Holder("alert-rule", 3, "HighLoad")]))).problem
    assert problem["held_by"] == [{"type": "alert-rule", "id": 3, "name": "HighLoad"}]


def test_missing_ids_are_listed() -> None:
    assert Answer(errors.response(NotFound("target", [7, 9]))).problem["ids"] == [7, 9]


def test_nested_objections_of_a_serializer_become_pointers() -> None:
    raised = drf.ValidationError(
        {"endpoints": {1: {"port": ["Too large."]}}, "a/b": ["No."], "c": [{}, {"d": ["No."]}]}
    )
    assert Answer(errors.response(raised)).pointers == ["/endpoints/1/port", "/a~1b", "/c/1/d"]


def test_what_cannot_be_said_in_utf8_is_quoted_back_all_the_same() -> None:
    answer = Answer(errors.response(InvalidPolicy(Finding("x", "not \ud800", "/\ud800"))))
    assert answer.problem["errors"][0]["message"] == "not ?"


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/nope",
        "/api/v1/",
        "/api/v1",
        "/api/v1/namespaces/",
        "/api/v1/namespaces/0",
        "/api/v1/namespaces/01",
        "/api/v1/namespaces/-1",
        "/api/v1/namespaces/abc",
        "/api/v1/namespaces/99999999999999999999999",
        "/api/v1/alert-rules/group/abc",
        "/api/v2/namespaces",
        "/api/",
        "/-/nope",
        "/metrics/nope",
        "/nope",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_unmatched_address_is_not_found(admin: Caller, method: str, path: str) -> None:
    answer = admin(method, path, {} if method == "POST" else None)
    assert answer.status == 404
    assert answer.problem["type"].endswith(":not_found")


def test_unmatched_address_is_a_problem_with_debug_too(admin: Caller, settings: object) -> None:
    settings.DEBUG = True  # type: ignore[attr-defined]
    assert admin.get("nope").problem["status"] == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "namespaces", {"GET", "HEAD", "POST"}),
        ("PUT", "namespaces", {"GET", "HEAD", "POST"}),
        ("POST", "namespaces/1", {"GET", "HEAD", "PUT", "PATCH", "DELETE"}),
        ("GET", "namespaces/delete", {"POST"}),
        ("OPTIONS", "namespaces", {"GET", "HEAD", "POST"}),
        ("TRACE", "namespaces", {"GET", "HEAD", "POST"}),
        ("PROPFIND", "namespaces", {"GET", "HEAD", "POST"}),
        ("POST", "/-/healthy", {"GET", "HEAD"}),
        ("POST", "/metrics", {"GET", "HEAD"}),
    ],
)
def test_other_methods_are_refused_with_those_allowed(admin: Caller, method: str, path: str, allowed: set[str]) -> None:
    answer = admin(method, path)
    assert answer.status == 405
    assert answer.problem["type"].endswith(":method_not_allowed")
    assert set(answer.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 200),
        ("application/*", 200),
        ("application/json", 200),
        ("application/json; indent=4", 200),
        ("text/html, application/json;q=0.5", 200),
        ("text/html", 406),
        ("application/xml, text/*", 406),
        ("application/json;q=0", 406),
        ("nonsense", 406),
    ],
)
def test_only_json_is_spoken(admin: Caller, accept: str, status: int) -> None:
    answer = admin.get("namespaces", accept=accept)
    assert answer.status == status
    if status == 200:
        assert answer.headers["Content-Type"] == "application/json"
    else:
        assert answer.problem["type"].endswith(":not_acceptable")


def test_foreign_host_is_refused(admin: Caller) -> None:
    answer = admin.get("namespaces", host="evil.example")
    assert answer.status == 400
    assert answer.problem["type"].endswith(":unknown_host")


def test_fault_of_ours_tells_the_log_and_not_the_client(
    admin: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, settings: object
) -> None:
    def broken(job: str | None) -> None:
        raise RuntimeError("the secret reason")

    settings.DEBUG = True  # type: ignore[attr-defined]
    monkeypatch.setattr("alerts.api.views.discovery.scrape_targets", broken)
    answer = admin.get("sd/prometheus")
    assert answer.status == 500
    assert "secret" not in str(answer.problem)
    assert "the secret reason" in caplog.text


def test_failing_database_is_unavailable_not_a_fault(caller: Callable[..., Caller], db: None) -> None:
    someone = caller("viewer")

    def down(*_: object) -> None:
        raise OperationalError("connection refused")

    with connection.execute_wrapper(down):
        answer = someone.get("namespaces")
    assert answer.status == 503
    assert "cannot be reached, or took too long" in answer.problem["detail"]
    assert answer.headers["Retry-After"]


@pytest.mark.parametrize(
    ("handler", "status"),
    [
        (handlers.bad_request, 400),
        (handlers.forbidden, 403),
        (handlers.not_found, 404),
        (handlers.server_error, 500),
        (handlers.csrf_failure, 403),
    ],
)
def test_programs_get_problems_and_browsers_get_pages(handler: Callable[..., object], status: int) -> None:
    for path, accept, is_problem in (
        ("/api/v1/x", "text/html", True),
        ("/somewhere", "*/*", True),
        ("/somewhere", "text/html,*/*", False),
    ):
        answer = Answer(handler(RequestFactory().get(path, headers={"Accept": accept})))
        assert answer.status == status
        assert (answer.headers["Content-Type"] == "application/problem+json") is is_problem


def test_unmatched_page_is_a_page_for_a_browser(db: None) -> None:
    answer = Client().get("/nope", headers={"Accept": "text/html"})
    assert (answer.status_code, answer["Content-Type"].split(";")[0]) == (404, "text/html")
