"""What is in force at a target, or would be at a group, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from alerts.actions import effective
from alerts.actions.errors import InvalidPolicy
from alerts.api.examples import EFFECTIVE, TRACE
from alerts.api.openapi import Answer, Operation
from alerts.api.problems import ApiProblem, parameter_entry
from alerts.api.query import Parameter
from alerts.api.serializers.servers import SILENT_SINCE
from alerts.api.servers import ONE_OF_THEM, known
from alerts.api.views.base import ApiView

_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_HEAD: dict[str, Any] = {
    "target": {"type": ["string", "null"], "description": "Its hostname; null for a hypothetical one."},
    "position": _TEXTS,
    "revision": {"type": "integer"},
    "loaded_revision": {"type": "integer"},
    "in_sync": {"type": "boolean", "description": "Whether Prometheus is known to hold this revision."},
    "pinned": {"type": ["integer", "null"], "description": "The release the server is pinned to."},
    "servers": {
        "type": "array",
        "description": "The enabled servers that hold the series there.",
        "items": {
            "type": "object",
            "required": ["name", "loaded_revision", "in_sync", "pinned"],
            "properties": {
                "name": {"type": "string"},
                "loaded_revision": {"type": "integer"},
                "in_sync": {"type": "boolean"},
                "why": {**_TEXT_OR_NULL, "description": "Why it is not known to hold this."},
                "silent_since": SILENT_SINCE,
                "pinned": {"type": ["integer", "null"]},
            },
        },
    },
}
_IN_FORCE: dict[str, Any] = {
    "in_force": {"type": "string", "enum": ["current", "last_good"]},
    "last_good": {"type": "object", "description": "Since which release the last good stays, and why."},
}
EFFECTIVE_SCHEMA = {
    "type": "object",
    "required": [*_HEAD, "rules"],
    "properties": {
        **_HEAD,
        "rules": {
            "type": "array",
            "items": {
                "type": "object",
                "required": [
                    "key",
                    "name",
                    "kind",
                    "severity",
                    "expr",
                    "for_duration",
                    "keep_firing_for",
                    "labels",
                    "annotations",
                    "source",
                    "file",
                    "group",
                    "in_force",
                ],
                "properties": {
                    "key": {"type": "string"},
                    "name": {"type": "string"},
                    "kind": {"type": "string", "enum": ["alerting", "recording"]},
                    "severity": _TEXT_OR_NULL,
                    "expr": {"type": "string", "description": "As Prometheus evaluates it there."},
                    "for_duration": _TEXT_OR_NULL,
                    "keep_firing_for": _TEXT_OR_NULL,
                    "labels": _TEXTS,
                    "annotations": _TEXTS,
                    "source": {
                        "type": "object",
                        "required": ["rule_id", "scope"],
                        "properties": {"rule_id": {"type": ["integer", "null"]}, "scope": {"type": "string"}},
                    },
                    "file": {"type": "string"},
                    "group": {"type": "string"},
                    **_IN_FORCE,
                },
            },
        },
    },
}
TRACE_SCHEMA = {
    "type": "object",
    "required": [*_HEAD, "keys"],
    "properties": {
        **_HEAD,
        "keys": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["key", "kind", "layers", "fields"],
                "properties": {
                    "key": {"type": "string"},
                    "kind": {"type": "string", "enum": ["alerting", "recording"]},
                    **_IN_FORCE,
                    "layers": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["rule_id", "scope", "status"],
                            "properties": {
                                "rule_id": {"type": "integer"},
                                "scope": {"type": "string"},
                                "status": {"type": "string", "enum": ["applied", "overridden", "disabled", "orphan"]},
                            },
                        },
                    },
                    "fields": {
                        "type": "object",
                        "additionalProperties": {
                            "type": "object",
                            "required": ["value", "set_by", "over"],
                            "properties": {"over": {"type": "array"}},
                        },
                    },
                },
            },
        },
    },
}


class AtPlace(ApiView):
    """``tell`` says what there is to say about a place."""

    tell: Callable[..., dict[str, Any]]
    operation: Operation

    def operations(self) -> Mapping[str, Operation]:
        return {"GET": self.operation}


class AtTarget(AtPlace):
    parameters = {"GET": (ONE_OF_THEM,)}

    def get(self, request: Request, id: int) -> Response:
        server = _server(self)
        return Response(type(self).tell(effective.place_of_target(id), server=server))


class AtGroup(AtPlace):
    """A target that sits in this group; ``?group=`` gives its groups in other namespaces."""

    parameters = {
        "GET": (Parameter("group", "integer", "Its group in another namespace; repeats.", many=True), ONE_OF_THEM)
    }

    def get(self, request: Request, id: int) -> Response:
        server = _server(self)
        try:
            place = effective.place_of_groups([id, *self.query["group"]])
        except InvalidPolicy as refused:  # all of it is about ?group=
            found = [parameter_entry("group", finding.code, finding.message) for finding in refused.findings]
            raise ApiProblem(400, "invalid", f"group: {found[0]['message']}", *found) from refused
        return Response(type(self).tell(place, server=server))


def _server(view: ApiView) -> str | None:
    name = view.query["server"]
    return known(name) if name is not None else None


def _operation(name: str, tag: str, summary: str, answer: Answer) -> Operation:
    return Operation(name, tag, summary, {200: answer}, problems=(404,))


_RULES = Answer("The rules in force.", EFFECTIVE_SCHEMA, EFFECTIVE)
_KEYS = Answer("Every layer that applies, and who had the last word.", TRACE_SCHEMA, TRACE)


class TargetEffective(AtTarget):
    tell = staticmethod(effective.effective_json)
    operation = _operation("effective_at_target", "targets", "What Prometheus evaluates for a target", _RULES)


class TargetTrace(AtTarget):
    tell = staticmethod(effective.traced_json)
    operation = _operation("trace_at_target", "targets", "Why it evaluates that", _KEYS)


class GroupEffective(AtGroup):
    tell = staticmethod(effective.effective_json)
    operation = _operation("effective_at_group", "groups", "What a target in this group would get", _RULES)


class GroupTrace(AtGroup):
    tell = staticmethod(effective.traced_json)
    operation = _operation("trace_at_group", "groups", "Why it would get that", _KEYS)
