"""Errors outside of any view of ours: unmatched URLs, hosts that are not ours, CSRF, failures of the machinery.

Named in ``config_server.urls``. Browsers on other pages get Django's own; programs get problems.
"""

from __future__ import annotations

import sys

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.views import csrf, defaults
from django.views.decorators.csrf import csrf_exempt

from alerts.api import errors
from alerts.api.problems import Problem

OURS = ("/api/", "/-/", "/metrics")
# No template, which might ask the database who is looking.
PAUSE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Back in a moment</title></head>
<body><h1>Back in a moment</h1>
<p>The database cannot be reached. Nothing was saved just now; try again in a few seconds.</p>
</body></html>
"""


@csrf_exempt
def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if _wants_page(request):
        return defaults.page_not_found(request, exception or Exception())
    return Problem(404, "not_found", "there is nothing at this address").response()


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if _wants_page(request):
        return defaults.bad_request(request, exception or Exception())
    if isinstance(exception, DisallowedHost):
        return Problem(400, "unknown_host", "this host is not one of ALLOWED_HOSTS").response()
    return Problem(400, "malformed_request", "the request is malformed").response()


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if _wants_page(request):
        return defaults.permission_denied(request, exception or Exception())
    return Problem(403, "forbidden", "not allowed").response()


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    if _wants_page(request):
        return csrf.csrf_failure(request, reason)
    return Problem(403, "csrf_failed", "the CSRF token is missing or wrong").response()


def server_error(request: HttpRequest) -> HttpResponse:
    """Sessions are read before any view: a database that is away may show here as well."""
    away = errors.database_is_away(sys.exception())
    if _wants_page(request):
        if away:
            return HttpResponse(PAUSE, status=503, headers={"Retry-After": errors.RETRY_AFTER})
        return defaults.server_error(request)
    if away:
        return errors.database_away().response()
    return Problem(500, "internal", "the server failed; its log says how").response()


def _wants_page(request: HttpRequest) -> bool:
    return not request.path.startswith(OURS) and "text/html" in request.META.get("HTTP_ACCEPT", "")
