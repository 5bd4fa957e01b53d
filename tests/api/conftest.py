"""A caller per role, and a small policy to ask about."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from django.test.client import ClientHandler

from alerts.actions import policy, prometheus_servers, tokens
from alerts.models import PrometheusServer

PATHS = ("namespaces", "groups", "targets", "alert-templates", "alert-rules")


class Answer:
    """An HTTP answer, with what tests ask of it most."""

    def __init__(self, response: Any) -> None:
        self.response = response
        self.status: int = response.status_code
        self.headers = response.headers
        self.content: bytes = response.content

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def problem(self) -> dict[str, Any]:
        """The body of a problem, after looking that it is one."""
        assert self.headers["Content-Type"] == "application/problem+json", (self.status, self.content[:500])
        found = self.json
        assert {"type", "title", "status", "detail", "errors"} <= found.keys()
        assert found["status"] == self.status
        assert all({"pointer", "code", "message"} <= error.keys() for error in found["errors"])
        return found

    @property
    def pointers(self) -> list[str]:
        return [error["pointer"] for error in self.problem["errors"]]

    @property
    def codes(self) -> list[str]:
        return [error["code"] for error in self.problem["errors"]]


# Shared: each handler of its own would read all static files again.
HANDLER = ClientHandler(enforce_csrf_checks=False)


class Caller:
    """Speaks to the API in process with one token."""

    def __init__(self, token: str | None) -> None:
        self.token = token
        self.client = Client(raise_request_exception=False)
        self.client.handler = HANDLER

    def __call__(self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, **headers: str) -> Answer:
        """``body`` becomes JSON; ``raw`` goes as it is. Header names as keywords: ``if_match='"v1"'``."""
        path = path if path.startswith("/") else f"/api/v1/{path}"
        content_type = headers.pop("content_type", "application/json")
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token is not None:
            sent.setdefault("authorization", f"Bearer {self.token}")
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        return Answer(self.client.generic(method, path, data, content_type=content_type, headers=sent))

    def get(self, path: str, **headers: str) -> Answer:
        return self("GET", path, **headers)

    def post(self, path: str, body: Any = None, **more: Any) -> Answer:
        return self("POST", path, body, **more)

    def put(self, path: str, body: Any, **headers: str) -> Answer:
        return self("PUT", path, body, **headers)

    def patch(self, path: str, body: Any, **headers: str) -> Answer:
        return self("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Answer:
        return self("DELETE", path, **headers)

    def make(self, path: str, **values: Any) -> dict[str, Any]:
        """Create an object that must be right."""
        answer = self.post(path, values)
        assert answer.status == 201, answer.content
        return answer.json


@pytest.fixture(autouse=True)
def fresh_policy() -> None:
    """Rolled-back tests leave the revision where it was, with other rows under it."""
    policy.forget()


@pytest.fixture(autouse=True)
def nobody_listens(settings: Any) -> None:
    """Prometheus is not there, unless a test starts one."""
    settings.PROMETHEUS_URL = "http://127.0.0.1:9"


@pytest.fixture
def caller(db: None) -> Callable[[str | None], Caller]:
    """A caller with a fresh token of a role; None: without any."""

    def make(role: str | None) -> Caller:
        return Caller(None if role is None else tokens.create(f"{role}-user", role)[0])

    return make


@pytest.fixture
def admin(caller: Callable[[str | None], Caller]) -> Caller:
    return caller("admin")


@pytest.fixture
def world(admin: Caller) -> SimpleNamespace:
    """Two sites, one below the other, a stage; a target in both; a template, and a rule at the lower site."""
    site = admin.make("namespaces", name="site", priority=10)
    stage = admin.make("namespaces", name="stage", priority=20)
    europe = admin.make("groups", name="europe", namespace=site["id"])
    berlin = admin.make("groups", name="berlin", namespace=site["id"], parent=europe["id"])
    live = admin.make("groups", name="live", namespace=stage["id"])
    web = admin.make(
        "targets",
        hostname="web-1",
        address="10.0.0.1",
        groups=[berlin["id"], live["id"]],
        endpoints=[{"job": "node", "port": 9100}],
    )
    template = admin.make(
        "alert-templates",
        name="High load",
        severity="warning",
        query_template="load1 > {{ .threshold }}",
        variables=[{"name": "threshold", "type": "number", "default": 8, "min": 1, "max": 100}],
        default_config={"for_duration": "5m"},
    )
    rule = admin.make("alert-rules", name="HighLoad", group_id=berlin["id"], query_template="load1 > 4")
    found = SimpleNamespace(
        site=site, stage=stage, europe=europe, berlin=berlin, live=live, web=web, template=template, rule=rule
    )
    found.one = dict(zip(PATHS, (site, berlin, web, template, rule), strict=True))
    return found


@pytest.fixture
def eu(db: None) -> PrometheusServer:
    """A server that is fed by an agent."""
    return prometheus_servers.create({"name": "eu", "url": "http://127.0.0.1:9", "delivery": "agent"})


@pytest.fixture
def agent(eu: PrometheusServer) -> Caller:
    """The agent beside it."""
    return Caller(tokens.create_for_agent("eu")[0])
