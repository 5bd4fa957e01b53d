"""The one place where an exception becomes a status.

Domain and actions know nothing of HTTP; frameworks speak their own dialects; here all of them become one ``Problem``.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import IntegrityError, InterfaceError, OperationalError
from django.db.transaction import TransactionManagementError
from django.http import Http404, HttpResponse
from rest_framework import exceptions as drf

from alerts.actions import errors as actions
from alerts.adapters.prometheus import PrometheusError, PrometheusUnavailable
from alerts.adapters.release_files import StoreError
from alerts.api.authentication import REALM
from alerts.api.preconditions import etag
from alerts.api.problems import ApiProblem, Entry, Problem, pointer_to
from alerts.domain.errors import Finding, PolicyConflict, PolicyError

logger = logging.getLogger(__name__)
MAX_ENTRIES = 200
RETRY_AFTER = "2"
"""Seconds: as long as a restart of the database takes."""


def response(exc: Exception, allowed: Sequence[str] = ()) -> HttpResponse:
    """The answer to a request that ended in ``exc``."""
    problem = problem_of(exc)
    if problem.status == 405:
        problem = dataclasses.replace(problem, headers={"Allow": ", ".join(allowed)})
    if problem.status == 500:
        logger.error("%s: %s", problem.code, exc, exc_info=exc)
    elif problem.status > 500:
        logger.warning("%s: %s", problem.code, exc)
    return problem.response()


def problem_of(exc: BaseException) -> Problem:
    """What to say about ``exc``. Unknown ones are ours to fix, and say nothing to the client."""
    if isinstance(exc, ApiProblem):
        return exc.problem
    if isinstance(exc, PolicyError):
        return _from_policy(exc)
    if isinstance(exc, drf.APIException):
        return _from_rest_framework(exc)
    if isinstance(exc, Http404):
        return Problem(404, "not_found", "there is nothing here")
    if isinstance(exc, PermissionDenied):
        return Problem(403, "forbidden", str(exc) or "not allowed")
    if isinstance(exc, RequestDataTooBig):
        return Problem(413, "too_large", "the body is too large")
    if isinstance(exc, SuspiciousOperation | BadRequest):
        return Problem(400, "malformed_request", "the request is malformed")
    if isinstance(exc, IntegrityError):
        return Problem(409, "conflict", "another request took the same place first")
    if database_is_away(exc):
        return database_away()
    if isinstance(exc, PrometheusUnavailable):
        return Problem(503, "prometheus_unavailable", str(exc), headers={"Retry-After": RETRY_AFTER})
    if isinstance(exc, PrometheusError):
        return Problem(502, "prometheus_refused", str(exc))
    if isinstance(exc, StoreError):
        return Problem(503, "rule_directory", str(exc))
    return Problem(500, "internal", "the server failed; its log says how")


def database_is_away(exc: BaseException | None) -> bool:
    """Whether it failed for want of a database: gone, restarting, too slow, or closed in the middle."""
    while exc is not None:
        if isinstance(exc, OperationalError | InterfaceError):
            return True
        # Django notices a transaction whose connection went, and says only that it is broken.
        if not isinstance(exc, TransactionManagementError):
            return False
        exc = exc.__cause__ or exc.__context__
    return False


def database_away() -> Problem:
    """Nothing was acknowledged: a write whose end is unknown is to be asked about again."""
    detail = "the database cannot be reached, or took too long; nothing was confirmed"
    return Problem(503, "unavailable", detail, headers={"Retry-After": RETRY_AFTER})


_POLICY_STATUS: tuple[tuple[type[PolicyError], int, str], ...] = (
    (actions.NotFound, 404, "not_found"),
    (actions.VersionMismatch, 412, "version_mismatch"),
    (actions.Taken, 409, "taken"),
    (actions.Held, 409, "held"),
    (PolicyConflict, 409, "conflict"),
    (PolicyError, 400, "invalid"),
)


def _from_policy(exc: PolicyError) -> Problem:
    status, code = next((status, code) for kind, status, code in _POLICY_STATUS if isinstance(exc, kind))
    entries = tuple(_finding_entry(finding) for finding in exc.findings[:MAX_ENTRIES])
    first = exc.findings[0] if exc.findings else None
    detail = f"{first.pointer}: {first}" if first and first.pointer else str(first or "") or str(exc) or "not valid"
    extra: dict[str, Any] = {}
    if isinstance(exc, actions.Held):
        extra = {"held_by": exc.held_by}
    elif isinstance(exc, actions.NotFound):
        extra = {"ids": list(exc.ids)}
    if len(exc.findings) > MAX_ENTRIES:
        extra["error_count"] = len(exc.findings)
    headers = {"ETag": etag(exc.version)} if isinstance(exc, actions.VersionMismatch) else {}
    return Problem(status, code, detail, entries, extra, headers)


def _finding_entry(finding: Finding) -> Entry:
    """``pointer``, ``code`` and ``message`` always; the rest when it is known."""
    said = {"pointer": finding.pointer, "code": finding.code, "message": finding.message}
    more = {name: getattr(finding, name) for name in ("hint", "offset", "line", "column", "key", "rule_id")}
    return said | {name: value for name, value in more.items() if value not in (None, "")}


_FRAMEWORK_CODES = {
    400: "malformed_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    415: "unsupported_media_type",
    429: "throttled",
}


def _from_rest_framework(exc: drf.APIException) -> Problem:
    if isinstance(exc, drf.ValidationError):
        entries = tuple(islice(serializer_entries(exc.detail), MAX_ENTRIES))
        first = entries[0] if entries else {"pointer": "", "message": "the request is not valid"}
        return Problem(400, "invalid", f"{first['pointer'] or 'body'}: {first['message']}", entries)
    headers = {"WWW-Authenticate": REALM} if exc.status_code == 401 else {}
    code = _FRAMEWORK_CODES.get(exc.status_code, "internal")
    return Problem(exc.status_code, code, str(exc.detail), headers=headers)


def serializer_entries(detail: Any, *at: str | int) -> Iterator[Entry]:
    """Serializers nest their objections like the body; pointers say the same flat."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            yield from serializer_entries(inner, *(at if name == "non_field_errors" else (*at, name)))
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            # A list of words is about this place, a list of dictionaries about its items.
            yield from serializer_entries(inner, *(at if isinstance(inner, str) else (*at, index)))
    else:
        code = getattr(detail, "code", "invalid")
        yield {"pointer": pointer_to(*at), "code": code, "message": str(detail)}
