"""Who is asking: a bearer token, or a browser session (with CSRF)."""

from __future__ import annotations

from typing import Any

from rest_framework import authentication, exceptions
from rest_framework.request import Request

from alerts.actions import tokens

REALM = 'Bearer realm="config-server"'


class BearerAuthentication(authentication.BaseAuthentication):
    """``Authorization: Bearer <token>``. Any ``Authorization`` header that is not a good token is refused."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        header = request.META.get("HTTP_AUTHORIZATION")
        if header is None:
            return None
        scheme, _, raw = header.partition(" ")
        token = tokens.authenticate(raw.strip()) if scheme.lower() == "bearer" else None
        if token is None:
            raise exceptions.AuthenticationFailed("the token is not valid")
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return REALM


class SessionAuthentication(authentication.SessionAuthentication):
    """The session of Django's own login; writes need the CSRF token."""

    def enforce_csrf(self, request: Request) -> None:
        # The wrapped request: asking the wrapper for a form would read the body as one.
        super().enforce_csrf(request._request)  # type: ignore[arg-type]
