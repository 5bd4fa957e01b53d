"""Service discovery for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping

from rest_framework.request import Request
from rest_framework.response import Response

from alerts.actions.discovery import scrape_targets
from alerts.api.openapi import Answer, Operation
from alerts.api.query import Parameter
from alerts.api.views.base import ApiView
from alerts.models import Role

SCHEMA = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["targets", "labels"],
        "additionalProperties": False,
        "properties": {
            "targets": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 1},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    },
}
EXAMPLE = [
    {
        "targets": ["10.0.0.11:9100"],
        "labels": {
            "__metrics_path__": "/metrics",
            "__scheme__": "http",
            "environment": "production",
            "job": "node",
            "target": "web-1",
        },
    }
]


class PrometheusDiscovery(ApiView):
    """For ``http_sd_configs``: a bare array."""

    roles = {"GET": Role.DISCOVERY}
    parameters = {"GET": (Parameter("job", "text", "Only endpoints of this job."),)}

    def get(self, request: Request) -> Response:
        return Response(scrape_targets(self.query["job"]))

    def operations(self) -> Mapping[str, Operation]:
        answer = Answer("One entry per endpoint of every active target.", SCHEMA, EXAMPLE)
        return {"GET": Operation("discover_targets", "discovery", "What Prometheus shall scrape", {200: answer})}
