"""Prometheus: what it holds, what a release would change, and asking for one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from alerts.actions import deploy, deploy_waiting, plan, reload, rollback, rule_files, status
from alerts.api import idempotency, parsers
from alerts.api.examples import PLAN, STATUS
from alerts.api.negotiation import TextRenderer
from alerts.api.openapi import Answer, Operation
from alerts.api.problems import ApiProblem
from alerts.api.query import Parameter
from alerts.api.resources import GROUPS, SERVERS
from alerts.api.serializers.servers import SILENT_SINCE
from alerts.api.servers import SERVER, known, name_of
from alerts.api.views import releases
from alerts.api.views.base import ApiView
from alerts.models import Role

_WAIT = (
    Parameter("wait", "boolean", "Answer when it is finished.", default=False),
    Parameter("timeout", "integer", "Seconds to wait at most.", minimum=0, maximum=300, default=30),
)
_ID_OR_NULL = {"type": ["integer", "null"]}
_OBJECTS = {"type": "array", "items": {"type": "object"}}
_NAMES = {"type": "array", "items": {"type": "string"}}
PLAN_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["revision", "empty", "files", "rules", "identities", "timers", "counts", "last_good"],
    "properties": {
        "revision": {"type": "integer"},
        "loaded_revision": {"type": "integer"},
        "loaded_release": _ID_OR_NULL,
        "pinned": _ID_OR_NULL,
        "empty": {"type": "boolean", "description": "Whether nothing would change."},
        "files": {"type": "object", "properties": {"added": _NAMES, "changed": _NAMES, "removed": _NAMES}},
        "rules": {"type": "object", "properties": {"added": _OBJECTS, "changed": _OBJECTS, "removed": _OBJECTS}},
        "identities": {**_OBJECTS, "description": "Rules whose alerts get other labels."},
        "timers": {**_OBJECTS, "description": "Rules whose `for` starts anew."},
        "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
        "last_good": _OBJECTS,
    },
}
STATUS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["server", "revision", "loaded_revision", "in_sync", "pinned", "drift", "warnings", "error"],
    "properties": {
        "server": {"type": "string"},
        "delivery": {"enum": ["directory", "agent"], "description": "A server with an agent is not asked from here."},
        "rule_dir": {"type": ["string", "null"], "description": "null: an agent's own, not known here."},
        "revision": {"type": "integer"},
        "loaded_revision": {"type": "integer"},
        "in_sync": {"type": "boolean"},
        "why": {"type": ["string", "null"], "description": "Why not."},
        "silent_since": SILENT_SINCE,
        "loaded_release": _ID_OR_NULL,
        "pinned": {**_ID_OR_NULL, "description": "The release the server is pinned to."},
        "reachable": {"type": "boolean"},
        "drift": _OBJECTS,
        "warnings": _OBJECTS,
        "error": {"type": ["object", "null"]},
        "failures": {"type": "integer"},
        "prometheus_version": {"type": ["string", "null"]},
        "promtool_version": {"type": ["string", "null"], "description": "Of who judges its rules: of its agent's."},
    },
}

AFTERWARDS = Answer("The status after that.", STATUS_SCHEMA, STATUS)


class ServerView(ApiView):
    """About one server: ``?server=``, or ``/prometheus-servers/{id}/…``, where ``as_view(by_id=True)``."""

    by_id = False
    more: Mapping[str, tuple[Parameter, ...]] = {}

    @property
    def parameters(self) -> Mapping[str, tuple[Parameter, ...]]:  # type: ignore[override]
        methods = [method.upper() for method in self.http_method_names if hasattr(self, method)]
        own = () if self.by_id else (SERVER,)
        return {method: (*own, *self.more.get(method, ())) for method in methods}

    def server(self) -> str:
        return name_of(self.kwargs["id"]) if self.by_id else known(self.query["server"])

    def named(self, operation: Operation) -> Operation:
        """The same operation at the address of one server."""
        if not self.by_id:
            return operation
        return dataclasses.replace(operation, id=f"{operation.id}_of_server", tag=SERVERS.path)


class Command(ServerView):
    """Something that is asked for with an empty body."""

    def post(self, request: Request, **kwargs: int) -> Response:
        body = parsers.read_object(request._request, required=False)
        parsers.refuse_fields(body)
        server = self.server()
        return idempotency.once_outside(request, body, lambda: self.do(server))

    def do(self, server: str) -> Response:
        raise NotImplementedError


class Regenerate(Command):
    """Ask for a release of the policy as it is. A group only says who asks: a release is always the whole set."""

    more = {"POST": _WAIT}

    def post(self, request: Request, **kwargs: int) -> Response:
        if "group_id" in kwargs:
            GROUPS.version(kwargs["group_id"])
        return super().post(request, **kwargs)

    def do(self, server: str) -> Response:
        if self.query["wait"]:
            outcome = deploy_waiting.deploy_within("api", server=server, timeout=self.query["timeout"])
            if outcome.release is not None:
                return releases.delivered(outcome)
        return releases.delivered(deploy.request("api", server=server))

    def operations(self) -> Mapping[str, Operation]:
        return {"POST": self.named(_command("regenerate", "Ask for a release", releases.DELIVERED, (404, 409)))}


class RegenerateGroup(Regenerate):
    def operations(self) -> Mapping[str, Operation]:
        summary = "Ask for a release, for the sake of a group"
        return {"POST": _command("regenerate_for_group", summary, releases.DELIVERED, (404, 409))}


class RuleFiles(ServerView):
    """The files in force."""

    def get(self, request: Request) -> Response:
        release = rule_files.release_in_force(self.server())
        files = [dataclasses.asdict(file) for file in rule_files.files_in_force(release)] if release else []
        return Response({"release": release.pk if release else None, "files": files})

    def operations(self) -> Mapping[str, Operation]:
        schema = {
            "type": "object",
            "required": ["release", "files"],
            "properties": {
                "release": {"type": ["integer", "null"]},
                "files": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name", "sha256", "size"],
                        "properties": {
                            "name": {"type": "string"},
                            "sha256": {"type": "string"},
                            "size": {"type": "integer"},
                        },
                    },
                },
            },
        }
        example = {"release": 7, "files": [{"name": "global.yml", "sha256": "9f2c" * 16, "size": 812}]}
        answer = Answer("By name.", schema, example)
        return {
            "GET": Operation("list_rule_files", "prometheus", "The rule files in force", {200: answer}, problems=(404,))
        }


class RuleFile(ServerView):
    """One of them, as Prometheus reads it."""

    renderer_classes = [TextRenderer]

    def get(self, request: Request, name: str) -> Response:
        release = rule_files.release_in_force(self.server())
        content = rule_files.content_in_force(release, name) if release else None
        if content is None:
            raise ApiProblem(404, "not_found", f"there is no rule file {name!r} in force")
        return Response(content)

    def operations(self) -> Mapping[str, Operation]:
        answer = Answer("YAML.", {"type": "string"}, "groups: []\n", media_type="text/plain")
        summary = "One rule file in force"
        return {"GET": Operation("get_rule_file", "prometheus", summary, {200: answer}, problems=(404,))}


class Plan(ServerView):
    """What a release would change now; nothing is written."""

    def get(self, request: Request) -> Response:
        return Response(plan.plan(self.server()))

    def operations(self) -> Mapping[str, Operation]:
        answer = Answer("Added, changed, removed; identities that change and timers that restart.", PLAN_SCHEMA, PLAN)
        return {
            "GET": Operation("plan", "prometheus", "What a release would change now", {200: answer}, problems=(404,))
        }


class Status(ServerView):
    """What is wanted, what is loaded, and how it goes."""

    def get(self, request: Request, **kwargs: int) -> Response:
        return Response(status.status(self.server()))

    def operations(self) -> Mapping[str, Operation]:
        answer = Answer("It.", STATUS_SCHEMA, STATUS)
        operation = Operation("prometheus_status", "prometheus", "How delivery goes", {200: answer}, problems=(404,))
        return {"GET": self.named(operation)}


class Reload(Command):
    roles = {"POST": Role.ADMIN}

    def do(self, server: str) -> Response:
        return Response(reload.reload(server))

    def operations(self) -> Mapping[str, Operation]:
        summary = "Let Prometheus read its rule files again"
        return {"POST": self.named(_command("reload", summary, {200: AFTERWARDS}, (404, 409, 502)))}


class Resume(Command):
    roles = {"POST": Role.ADMIN}

    def do(self, server: str) -> Response:
        return Response(rollback.resume(server))

    def operations(self) -> Mapping[str, Operation]:
        summary = "Lift the pin of a rollback and deliver the policy as it is"
        return {"POST": self.named(_command("resume", summary, {200: AFTERWARDS}, (404, 409, 502)))}


def _command(name: str, summary: str, answers: Mapping[int, Answer], problems: tuple[int, ...]) -> Operation:
    return Operation(
        id=name,
        tag="prometheus",
        summary=summary,
        request=parsers.EMPTY_SCHEMA,
        request_required=False,
        request_example={},
        answers=answers,
        headers=("Idempotency-Key",),
        problems=problems,
    )
