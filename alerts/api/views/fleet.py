"""All servers together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from alerts.actions import fleet_findings
from alerts.api.examples import FLEET_FINDINGS
from alerts.api.openapi import Answer, Operation
from alerts.api.views.base import ApiView

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
FINDINGS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["revision", "servers", "needs_several_servers", "gaps"],
    "properties": {
        "revision": {"type": "integer"},
        "servers": {**_TEXTS, "description": "Those that are enabled."},
        "needs_several_servers": {
            "type": "array",
            "description": "Rules that mean one thing, and are evaluated in pieces by several servers.",
            "items": {
                "type": "object",
                "required": ["kind", "key", "rule_id", "name", "region", "servers", "label", "code", "message"],
                "properties": {
                    "kind": {"type": "string", "enum": ["alerting", "recording"]},
                    "key": _TEXT,
                    "rule_id": {"type": "integer"},
                    "name": _TEXT,
                    "region": _TEXT,
                    "servers": _TEXTS,
                    "label": {**_TEXT, "description": "By which the servers cut it; empty: all evaluate it alike."},
                    "code": _TEXT,
                    "message": _TEXT,
                    "hint": _TEXT,
                },
            },
        },
        "gaps": {
            "type": ["array", "null"],
            "description": "Positions that no server holds; null: too many to tell.",
            "items": {"type": "object", "required": ["region"], "properties": {"region": _TEXT}},
        },
    },
}


class Findings(ApiView):
    """Nothing here stops a write: whoever moves series to another server is not to be stopped by a policy."""

    def get(self, request: Request) -> Response:
        return Response(fleet_findings.findings())

    def operations(self) -> Mapping[str, Operation]:
        answer = Answer("As the policy and the servers are now.", FINDINGS_SCHEMA, FLEET_FINDINGS)
        summary = "Rules that need several servers, and positions that none holds"
        return {"GET": Operation("fleet_findings", "prometheus-servers", summary, {200: answer})}
