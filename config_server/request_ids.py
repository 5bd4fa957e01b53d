"""Every request has an id: ``X-Request-ID`` of the caller when it is of sane shape, else one made here.

It goes back in the answer, onto every log record made meanwhile, and into problems that are our fault (5xx). When the
answer is ready, one line of access log and one observation for ``/metrics`` are made of it: the route, never the path
or the query, so nothing of what was asked for is kept.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.functional import LazyObject, empty

from alerts.api import http_metrics
from config_server.logs import about

logger = logging.getLogger("config_server.access")
HEADER = "X-Request-ID"
SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{3,63}\Z")
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
# Asked for all day long by machines; what they find is in their answers.
QUIET = frozenset(("/-/healthy", "/-/ready", "/metrics", "/static"))
CONVERTER = re.compile(r"<(?:[^>:]*:)?([^>]*)>")
UNMATCHED = "unmatched"


class RequestIds:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get(HEADER, "")
        request_id = given if SANE.match(given) else secrets.token_hex(8)
        start = time.perf_counter()
        with about(request_id=request_id):
            response = self.get_response(request)
            self._note(request, response, time.perf_counter() - start)
        response.headers[HEADER] = request_id
        return response

    def _note(self, request: HttpRequest, response: HttpResponse, seconds: float) -> None:
        method = request.method if request.method in METHODS else "other"
        route = route_of(request)
        http_metrics.observe(method, route, response.status_code, seconds)
        said = {"method": method, "route": route, "status": response.status_code, "user": _user(request)}
        said["ms"] = round(seconds * 1000, 1)
        level = logging.DEBUG if route in QUIET and response.status_code < 500 else logging.INFO
        logger.log(level, "%(method)s %(route)s %(status)s %(ms)sms %(user)s", said, extra=said)


def route_of(request: HttpRequest) -> str:
    """The URL's pattern, as the API guide writes it: as many values as there are patterns, whatever is asked for."""
    match = request.resolver_match
    if match is None:
        return "/static" if request.path_info.startswith(settings.STATIC_URL) else UNMATCHED
    if "^" in match.route or "(?" in match.route:  # a pattern that catches what no other does
        return UNMATCHED
    return "/" + CONVERTER.sub(r"{\1}", match.route)


def _user(request: HttpRequest) -> str:
    """Who asked, when that was found out; nobody is looked up for the log."""
    user: Any = getattr(request, "user", None)
    if user is None or (isinstance(user, LazyObject) and user._wrapped is empty):
        return "-"
    return user.get_username() or "-"
