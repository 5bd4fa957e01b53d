"""Every request has an id, leaves one line in the log, and nothing of what it asked for."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

import pytest
from django.db import OperationalError, connection
from django.test import RequestFactory
from django.urls import resolve

from config_server.logs import REQUEST_ID, InContext
from config_server.request_ids import HEADER, route_of
from tests.api.conftest import Caller

MADE = re.compile(r"[0-9a-f]{16}")


@pytest.fixture
def access(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.handler.addFilter(InContext())
    caplog.set_level(logging.DEBUG, "config_server.access")
    return caplog


@pytest.mark.parametrize("given", ["abcd", "0f2c9b1e-8a5d-4a6e-9d53-3f1f2f6f7a11", "Req_1.2"])
def test_an_id_of_sane_shape_is_kept(admin: Caller, given: str) -> None:
    assert admin.get("namespaces", x_request_id=given).headers[HEADER] == given


@pytest.mark.parametrize(
    "given", ["", "abc", "x" * 65, "a b c d", "ab\x1bcd", "abcd%0a", "ünïcödé", "-abcd", "{{abcd}}"]
)
def test_any_other_is_replaced(admin: Caller, given: str) -> None:
    assert MADE.fullmatch(admin.get("namespaces", x_request_id=given).headers[HEADER])


def test_every_answer_has_an_id_of_its_own(caller: Callable[..., Caller]) -> None:
    paths = ("/-/healthy", "/nothing", "/api/v1/nothing", "/api/v1/namespaces", "/login", "/static/nothing")
    ids = [caller(None).get(path).headers[HEADER] for path in paths]
    assert len(set(ids)) == len(paths)
    assert REQUEST_ID.get() == ""


def test_a_problem_that_is_our_fault_names_it(admin: Caller) -> None:
    def down(*_: object) -> None:
        raise OperationalError("gone")

    assert "request_id" not in admin.get("namespaces/999").problem
    with connection.execute_wrapper(down):
        answer = admin.get("namespaces", x_request_id="find-me")
    assert answer.problem["request_id"] == "find-me"


def test_a_request_leaves_one_line(admin: Caller, access: pytest.LogCaptureFixture) -> None:
    admin.get("namespaces?token=deadbeef", x_request_id="find-me")
    (record,) = [record for record in access.records if record.name == "config_server.access"]
    said = (record.method, record.route, record.status, record.user, record.request_id)  # type: ignore[attr-defined]
    assert said == ("GET", "/api/v1/namespaces", 400, "admin-user", "find-me")
    assert re.fullmatch(r"GET /api/v1/namespaces 400 [\d.]+ms admin-user", record.getMessage())
    assert "deadbeef" not in access.text


def test_probes_are_quiet(caller: Callable[..., Caller], access: pytest.LogCaptureFixture) -> None:
    caller(None).get("/-/healthy")
    assert [record.levelname for record in access.records if record.name == "config_server.access"] == ["DEBUG"]


def test_nobody_is_looked_up_for_the_log(caller: Callable[..., Caller], django_assert_num_queries: object) -> None:
    one = caller(None)
    one.client.cookies["sessionid"] = "x" * 32
    with django_assert_num_queries(0):  # type: ignore[operator]
        one.get("/-/healthy")


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/api/v1/targets/12/alert-rules/effective", "/api/v1/targets/{id}/alert-rules/effective"),
        ("/api/v1/prometheus/rules/files/x.yml", "/api/v1/prometheus/rules/files/{name}"),
        ("/api/v1/no/such/thing", "unmatched"),
        ("/admin/no/such/thing", "unmatched"),
        ("/metrics", "/metrics"),
        ("/", "/"),
    ],
)
def test_a_route_is_the_pattern_whatever_is_asked_for(path: str, route: str) -> None:
    request = RequestFactory().get(path)
    request.resolver_match = resolve(path)
    assert route_of(request) == route
