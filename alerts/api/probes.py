"""For machines that watch this one: ``/-/healthy``, ``/-/ready`` (no token) and ``/metrics`` (any role)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from django.http import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from alerts.actions import readiness
from alerts.api import metrics
from alerts.api.errors import RETRY_AFTER
from alerts.api.negotiation import JsonRenderer, TextRenderer
from alerts.api.openapi import Answer, Operation
from alerts.api.problems import Problem
from alerts.api.views.base import ApiView
from alerts.models import Role

CHECK_SCHEMA = {
    "type": "object",
    "required": ["name", "ok", "detail", "needed"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "ok": {"type": "boolean"},
        "detail": {"type": "string"},
        "needed": {"type": "boolean", "description": "Without it nothing can be served."},
    },
}
READY = Answer(
    "It is.",
    {
        "type": "object",
        "required": ["status", "checks"],
        "additionalProperties": False,
        "properties": {
            "status": {"type": "string", "enum": ["ready"]},
            "checks": {"type": "array", "items": CHECK_SCHEMA},
        },
    },
    {"status": "ready", "checks": [{"name": "database", "ok": True, "detail": "answers", "needed": True}]},
)
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Probe(ApiView):
    """Open to everybody, and silent about everything else."""

    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []
    renderer_classes = [TextRenderer]


class Healthy(Probe):
    """The process answers."""

    def get(self, request: Request) -> Response:
        return Response("ok\n")

    def operations(self) -> Mapping[str, Operation]:
        return {"GET": _probe("healthy", "Whether the process lives")}


class Ready(Probe):
    """Every check that there is; 503 when one fails without which nothing can be served."""

    renderer_classes = [JsonRenderer]

    def get(self, request: Request) -> HttpResponseBase:
        found = readiness.checks()
        told = [dataclasses.asdict(check) for check in found]
        missing = [f"{check.name} {check.detail}" for check in found if check.needed and not check.ok]
        if not missing:
            return Response({"status": "ready", "checks": told})
        headers = {"Retry-After": RETRY_AFTER}
        return Problem(503, "not_ready", "; ".join(missing), extra={"checks": told}, headers=headers).response()

    def operations(self) -> Mapping[str, Operation]:
        return {
            "GET": Operation(
                "ready", "operations", "Whether requests can be served", {200: READY}, problems=(503,), open=True
            )
        }


class Metrics(ApiView):
    """What Prometheus may know about this control plane."""

    roles = {"GET": Role.DISCOVERY}
    renderer_classes = [TextRenderer]

    def get(self, request: Request) -> Response:
        return Response(metrics.exposition(), content_type=METRICS_TYPE)

    def operations(self) -> Mapping[str, Operation]:
        answer = Answer("Prometheus' text format.", {"type": "string"}, media_type="text/plain")
        return {"GET": Operation("metrics", "operations", "Our own metrics", {200: answer})}


def _probe(name: str, summary: str) -> Operation:
    answer = Answer("It is.", {"type": "string"}, "ok\n", media_type="text/plain")
    return Operation(name, "operations", summary, {200: answer}, open=True)
