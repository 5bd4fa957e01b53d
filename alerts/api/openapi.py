"""The OpenAPI document, drawn by drf-spectacular from the views' own tables.

Each view says per method what it takes and gives (``Operation``); parameters come from the table that also parses
them, bodies from the serializers that also judge them; every problem an operation can answer with is declared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import uritemplate
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent

from alerts.api import problems
from alerts.api.serializers.fields import RowSerializer, StrictSerializer

Schema = dict[str, Any]

PATH_PARAMETERS: dict[str, Schema] = {
    "id": {"type": "integer", "format": "int64", "minimum": 1, "maximum": 10**18 - 1},
    "group_id": {"type": "integer", "format": "int64", "minimum": 1, "maximum": 10**18 - 1},
    "template_id": {"type": "integer", "format": "int64", "minimum": 1, "maximum": 10**18 - 1},
    "severity": {"type": "string", "minLength": 1},
    "name": {"type": "string", "minLength": 1},
}
HEADERS: dict[str, tuple[str, Schema]] = {
    "If-Match": ("Write only if the version is still this one; 412 otherwise.", {"type": "string"}),
    "If-None-Match": ("304 when the version is still this one.", {"type": "string"}),
    "Idempotency-Key": (
        "A second request with this key gets the first one's answer.",
        {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    ),
}
RESPONSE_HEADERS: dict[str, Schema] = {
    "ETag": {
        "description": "The version, or a bundle's hash; not in a dry run.",
        "schema": {"type": "string", "pattern": '^"(v[0-9]+|[0-9a-f]{64})"$'},
    },
    "Location": {"description": "Where it is.", "required": True, "schema": {"type": "string"}},
}
PROBLEMS = {
    400: "The request, or the policy in it, is not valid.",
    401: "No token, or not a good one.",
    403: "The role does not allow this.",
    404: "There is no such thing.",
    406: "Only JSON is spoken here.",
    409: "Something that exists stands against it.",
    410: "It is gone for good.",
    412: "It was changed since.",
    413: "The body is larger than 1 MiB (16 MiB where many rules are written).",
    415: "The body is not JSON in UTF-8.",
    500: "A fault of ours.",
    502: "Prometheus refused, or said something else than expected.",
    503: "The database or Prometheus cannot be reached.",
}
ALWAYS = (400, 401, 403, 406, 500, 503)
WITH_BODY = (413, 415)


@dataclass(frozen=True)
class Answer:
    """What one status looks like. ``schema`` is a serializer class or a JSON Schema; None: no body."""

    description: str
    schema: Any = None
    example: Any = None
    headers: tuple[str, ...] = ()
    media_type: str = "application/json"
    page: bool = False
    required: bool = True


@dataclass(frozen=True)
class Operation:
    """One method of one endpoint."""

    id: str
    tag: str
    summary: str
    answers: Mapping[int, Answer]
    description: str = ""
    request: Any = None
    request_example: Any = None
    request_required: bool = True
    headers: tuple[str, ...] = ()
    problems: tuple[int, ...] = ()
    open: bool = False
    path: Mapping[str, Schema] = field(default_factory=dict)


class ApiSchema(AutoSchema):
    """Asks the view for its ``Operation``; what no view describes is not in the document."""

    view: Any

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: Any
    ) -> dict[str, Any] | None:
        self.path, self.method, self.registry = path, method.upper(), registry
        operation = self.view.operations().get(self.method)
        if operation is None:
            return None
        said: dict[str, Any] = {
            "operationId": operation.id,
            "summary": operation.summary,
            "description": operation.description,
            "tags": [operation.tag],
            "parameters": self._path_parameters(operation) + self._query_parameters() + _header_parameters(operation),
            "responses": self._responses(operation),
            "security": [] if operation.open else self.get_auth(),
        }
        if operation.request is not None:
            said["requestBody"] = self._request_body(operation)
        return {name: value for name, value in said.items() if value or name == "security"}

    def _path_parameters(self, operation: Operation) -> list[Schema]:
        schemas = {**PATH_PARAMETERS, **operation.path}
        return [
            {"name": name, "in": "path", "required": True, "schema": schemas[name]}
            for name in uritemplate.variables(self.path)
        ]

    def _query_parameters(self) -> list[Schema]:
        return [
            {"name": it.name, "in": "query", "required": False, "description": it.description, "schema": it.schema}
            | ({"explode": True, "style": "form"} if it.many else {})
            for it in self.view.parameters.get(self.method, ())
        ]

    def _request_body(self, operation: Operation) -> Schema:
        content: Schema = {"schema": self._schema_of(operation.request, "request")}
        if operation.request_example is not None:
            content["example"] = operation.request_example
        return {"required": operation.request_required, "content": {"application/json": content}}

    def _responses(self, operation: Operation) -> Schema:
        found = {str(status): self._answer(answer) for status, answer in operation.answers.items()}
        needed = {*((400, 406, 500) if operation.open else ALWAYS), *operation.problems}
        if operation.request is not None:
            needed.update(WITH_BODY)
        for status in sorted(needed):
            found[str(status)] = self._problem(status)
        return dict(sorted(found.items()))

    def _answer(self, answer: Answer) -> Schema:
        said: Schema = {"description": answer.description}
        if answer.headers:
            said["headers"] = {name: RESPONSE_HEADERS[name] for name in answer.headers}
        if answer.schema is not None:
            schema = self._schema_of(answer.schema, "response")
            content: Schema = {"schema": self._page_of(schema) if answer.page else schema}
            if answer.example is not None:
                content["example"] = page_example(answer.example) if answer.page else answer.example
            said["content"] = {answer.media_type: content}
        return said

    def _problem(self, status: int) -> Schema:
        headers = {}
        if status == 401:
            headers = {"headers": {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}}
        example = problems.Problem(status, _EXAMPLE_CODES[status], PROBLEMS[status]).body
        schema = self._component("Problem", PROBLEM_SCHEMA)
        response = {
            "description": PROBLEMS[status],
            **headers,
            "content": {problems.CONTENT_TYPE: {"schema": schema, "example": example}},
        }
        return self._component(f"Problem{status}", response, ResolvedComponent.RESPONSE)

    def _schema_of(self, wanted: Any, direction: Any) -> Schema:
        if isinstance(wanted, dict):
            return wanted
        serializer = wanted(partial=True) if direction == "request" and self.method == "PATCH" else wanted()
        return self.resolve_serializer(serializer, direction).ref

    def _page_of(self, item: Schema) -> Schema:
        name = item["$ref"].rsplit("/", 1)[-1] + "Page" if "$ref" in item else "Page"
        link = {"type": ["string", "null"], "format": "uri"}
        schema = {
            "type": "object",
            "required": ["count", "next", "previous", "results"],
            "properties": {
                "count": {"type": "integer", "minimum": 0},
                "next": link,
                "previous": link,
                "results": {"type": "array", "items": item},
            },
        }
        return self._component(name, schema) if "$ref" in item else schema

    def _component(self, name: str, schema: Schema, kind: str = ResolvedComponent.SCHEMA) -> Schema:
        component = ResolvedComponent(name=name, type=kind, schema=schema, object=name)
        self.registry.register_on_missing(component)
        return component.ref

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Schema:
        """Requests take no other fields; rows in responses always have all of theirs."""
        schema = super()._map_basic_serializer(serializer, direction)
        for shown in schema.get("properties", {}).values():
            shown.pop("x-spec-enum-id", None)
        if direction == "response" and isinstance(serializer, RowSerializer):
            schema["required"] = list(schema.get("properties", {}))
        elif isinstance(serializer, StrictSerializer):
            schema["additionalProperties"] = False
        return schema


def page_example(example: Any) -> dict[str, Any]:
    return {"count": 1, "next": None, "previous": None, "results": [example]}


def _header_parameters(operation: Operation) -> list[Schema]:
    return [
        {"name": name, "in": "header", "required": False, "description": HEADERS[name][0], "schema": HEADERS[name][1]}
        for name in operation.headers
    ]


_EXAMPLE_CODES = {
    400: "invalid",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    406: "not_acceptable",
    409: "conflict",
    410: "server_deleted",
    412: "version_mismatch",
    413: "too_large",
    415: "unsupported_media_type",
    500: "internal",
    502: "prometheus_refused",
    503: "unavailable",
}
PROBLEM_SCHEMA: Schema = {
    "type": "object",
    "description": "RFC 9457.",
    "required": ["type", "title", "status", "detail", "errors"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "message"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer into the body."},
                    "parameter": {"type": "string", "description": "The query parameter at fault."},
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                    "hint": {"type": "string"},
                    "offset": {"type": "integer", "description": "Characters before the fault in the text."},
                    "line": {"type": "integer"},
                    "column": {"type": "integer"},
                    "key": {"type": "string", "description": "The rule it speaks of; for a conflict the other one."},
                    "rule_id": {"type": "integer"},
                },
            },
        },
        "error_count": {"type": "integer", "description": "How many objections there are, when not all are listed."},
        "ids": {"type": "array", "items": {"type": "integer"}, "description": "The ids that are not there."},
        "held_by": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type", "id", "name"],
                "properties": {
                    "type": {"type": "string"},
                    "id": {"type": "integer"},
                    "name": {"type": "string"},
                },
            },
        },
    },
}


class BearerScheme(OpenApiAuthenticationExtension):
    target_class = "alerts.api.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> Schema:
        return {"type": "http", "scheme": "bearer", "description": "`manage.py create_api_token` prints one."}


class SessionScheme(OpenApiAuthenticationExtension):
    target_class = "alerts.api.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> Schema:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
