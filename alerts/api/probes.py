"""For machines that watch this one: ``/-/healthy``, ``/-/ready`` (no token) and ``/metrics`` (any role)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from rest_framework.request import Request
from rest_framework.response import Response

from alerts.api import metrics
from alerts.api.negotiation import TextRenderer
from alerts.api.openapi import Answer, Operation
from alerts.api.problems import ApiProblem
from alerts.api.views.base import ApiView
from alerts.models import Role

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
    """The database answers and has all its tables."""

    migrated = False

    def get(self, request: Request) -> Response:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            Ready.migrated = Ready.migrated or not _unapplied()
        except Exception as exc:
            raise ApiProblem(503, "unavailable", "the database cannot be reached") from exc
        if not Ready.migrated:
            raise ApiProblem(503, "unavailable", "the database is not migrated")
        return Response("ok\n")

    def operations(self) -> Mapping[str, Operation]:
        return {"GET": _probe("ready", "Whether requests can be served", problems=(503,))}


def _unapplied() -> list[Any]:
    executor = MigrationExecutor(connection)
    return executor.migration_plan(executor.loader.graph.leaf_nodes())


class Metrics(ApiView):
    """What Prometheus may know about this control plane."""

    roles = {"GET": Role.DISCOVERY}
    renderer_classes = [TextRenderer]

    def get(self, request: Request) -> Response:
        return Response(metrics.exposition(), content_type=METRICS_TYPE)

    def operations(self) -> Mapping[str, Operation]:
        answer = Answer("Prometheus' text format.", {"type": "string"}, media_type="text/plain")
        return {"GET": Operation("metrics", "operations", "Our own metrics", {200: answer})}


def _probe(name: str, summary: str, problems: tuple[int, ...] = ()) -> Operation:
    answer = Answer("It is.", {"type": "string"}, "ok\n", media_type="text/plain")
    return Operation(name, "operations", summary, {200: answer}, problems=problems, open=True)
