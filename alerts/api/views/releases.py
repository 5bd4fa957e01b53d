"""The history of what was given to Prometheus, and the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from alerts.actions import rollback
from alerts.actions.deploy import Outcome
from alerts.api import idempotency, parsers
from alerts.api.examples import RELEASE
from alerts.api.openapi import Answer, Operation
from alerts.api.pagination import PAGE_PARAMETERS, Listing, paginate
from alerts.api.problems import ApiProblem
from alerts.api.query import Parameter
from alerts.api.servers import OF_SERVER, ever_known
from alerts.api.views.base import ApiView
from alerts.models import Release, Role

BRIEF = (
    "id",
    "server",
    "revision",
    "state",
    "trigger",
    "content_hash",
    "layout",
    "rule_count",
    "changed",
    "changes",
    "errors",
    "warnings",
    "timings",
    "last_good",
    "created_at",
    "finished_at",
    "activated_at",
    "verified_at",
)
STATE = Parameter("state", "choice", "Only those in it.", choices=tuple(Release.State.values))
ORDERS = tuple(sign + name for name in ("id", "created_at", "revision", "state") for sign in ("-", ""))
_TIME = {"type": ["string", "null"], "format": "date-time"}
_PROBLEMS = {"type": "array", "items": {"type": "object"}}
BRIEF_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": list(BRIEF),
    "properties": {
        "id": {"type": "integer"},
        "server": {"type": "string"},
        "revision": {"type": "integer", "description": "The policy revision it was compiled from."},
        "state": {"type": "string", "enum": list(Release.State.values)},
        "trigger": {"type": "string"},
        "content_hash": {"type": "string"},
        "layout": {"type": "string"},
        "rule_count": {"type": "integer"},
        "changed": {"type": "boolean"},
        "changes": {"type": "object", "description": "Files and rules added, changed, removed; a list shows counts."},
        "errors": _PROBLEMS,
        "warnings": _PROBLEMS,
        "timings": {"type": "object", "additionalProperties": {"type": "number"}, "description": "Seconds."},
        "last_good": _PROBLEMS,
        "created_at": {"type": "string", "format": "date-time"},
        "finished_at": _TIME,
        "activated_at": _TIME,
        "verified_at": _TIME,
    },
}
SCHEMA: dict[str, Any] = {
    **BRIEF_SCHEMA,
    "required": [*BRIEF, "files"],
    "properties": {**BRIEF_SCHEMA["properties"], "files": {"type": "object", "description": "Name to SHA-256."}},
}
EXAMPLE = {**RELEASE, "files": {"global.yml": "9f2c" * 16}}


def shown(release: Release, *, changed: bool | None = None) -> dict[str, Any]:
    """A release as the API shows it; ``changed`` is about this request when it asked for one."""
    found = {name: getattr(release, name) for name in BRIEF} | {"files": release.manifest}
    return found if changed is None else found | {"changed": changed}


DELIVERED = {
    200: Answer("Finished, well or not: see `state`. Nothing to do: `changed: false`.", SCHEMA, EXAMPLE, ("Location",)),
    202: Answer("A worker will do it.", SCHEMA, EXAMPLE, ("Location",)),
}


def delivered(outcome: Outcome) -> Response:
    """What came of asking for a release: 202 while it is not finished."""
    release = outcome.release
    if release is None:
        message = "another process is delivering to this server, and was not done in time"
        raise ApiProblem(503, "busy", message, headers={"Retry-After": "1"})
    return answered(release, changed=outcome.changed)


def answered(release: Release, *, changed: bool | None = None) -> Response:
    status = 202 if release.finished_at is None else 200
    headers = {"Location": f"/api/v1/releases/{release.pk}"}
    return Response(shown(release, changed=changed), status=status, headers=headers)


def brief(rows: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
    found = []
    for row in rows:
        item = dict(zip(BRIEF, row, strict=True))
        item["changes"] = {name: item["changes"][name] for name in ("files", "counts") if name in item["changes"]}
        found.append(item)
    return found


class Releases(ApiView):
    """Newest first."""

    parameters = {
        "GET": (
            *PAGE_PARAMETERS,
            Parameter("ordering", "choice", "By one of its fields; newest first.", choices=ORDERS, default="-id"),
            STATE,
            OF_SERVER,
        )
    }

    def get(self, request: Request) -> Response:
        rows = Release.objects.order_by(self.query["ordering"], "-id")
        if self.query["state"]:
            rows = rows.filter(state=self.query["state"])
        if self.query["server"]:
            rows = rows.filter(server=ever_known(self.query["server"]))
        return Response(paginate(request, Listing(rows.values_list(*BRIEF), rows.count), self.query, brief))

    def operations(self) -> Mapping[str, Operation]:
        answer = Answer("A page.", BRIEF_SCHEMA, RELEASE, page=True)
        return {"GET": Operation("list_releases", "releases", "List releases", {200: answer}, problems=(404,))}


class OneRelease(ApiView):
    def get(self, request: Request, id: int) -> Response:
        release = Release.objects.filter(pk=id).first()
        if release is None:
            raise ApiProblem(404, "not_found", f"there is no release {id}")
        return Response(shown(release))

    def operations(self) -> Mapping[str, Operation]:
        answer = Answer("It.", SCHEMA, EXAMPLE)
        return {"GET": Operation("get_release", "releases", "One release", {200: answer}, problems=(404,))}


class Rollback(ApiView):
    """Go back to a release's files, and stay there until resumed."""

    roles = {"POST": Role.ADMIN}

    def post(self, request: Request, id: int) -> Response:
        body = parsers.read_object(request._request, required=False)
        parsers.refuse_fields(body)
        return idempotency.once_outside(request, body, lambda: answered(rollback.roll_back(id)))

    def operations(self) -> Mapping[str, Operation]:
        return {
            "POST": Operation(
                id="roll_back",
                tag="releases",
                summary="Go back to a release and pin the server to it",
                description="Edits are accepted meanwhile, and delivered after `POST /prometheus/resume`.",
                request=parsers.EMPTY_SCHEMA,
                request_required=False,
                request_example={},
                answers=DELIVERED,
                headers=("Idempotency-Key",),
                problems=(404, 409, 502),
            )
        }
