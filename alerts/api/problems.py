"""What an error looks like on the wire: ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson
from django.http import HttpResponse

from config_server.logs import REQUEST_ID

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:config-server:problem:"

Entry = dict[str, Any]
"""One item of ``errors``: ``pointer, code, message`` and what else is known."""


@dataclass(frozen=True)
class Problem:
    """One refused request. ``code`` is stable and ends the ``type``; ``extra`` are further members (``held_by``)."""

    status: int
    code: str
    detail: str
    errors: tuple[Entry, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        return {
            "type": TYPE_PREFIX + self.code,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "errors": list(self.errors),
            **_occurrence(self.status),
            **self.extra,
        }

    def response(self) -> HttpResponse:
        content = orjson.dumps(_speakable(self.body))
        return HttpResponse(content, status=self.status, content_type=CONTENT_TYPE, headers=dict(self.headers))


def _occurrence(status: int) -> dict[str, str]:
    """For what is our fault: the id under which the log tells more."""
    request_id = REQUEST_ID.get()
    return {"request_id": request_id} if status >= 500 and request_id else {}


class ApiProblem(Exception):
    """Raised inside the API where no action or framework has a word for it."""

    def __init__(self, status: int, code: str, detail: str, *errors: Entry, headers: Mapping[str, str] | None = None):
        self.problem = Problem(status, code, detail, errors, headers=headers or {})
        super().__init__(detail)


def entry(pointer: str, code: str, message: str, **more: Any) -> Entry:
    return {"pointer": pointer, "code": code, "message": message, **more}


def parameter_entry(name: str, code: str, message: str) -> Entry:
    """An objection to a query parameter: there is no place in the body to point to."""
    return {"pointer": "", "parameter": name, "code": code, "message": message}


def pointer_to(*parts: str | int) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _speakable(value: Any) -> Any:
    """The same without what JSON in UTF-8 cannot carry: a refused lone surrogate is quoted back in its message."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_speakable(str(key)): _speakable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_speakable(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
        return str(value)
    return value
