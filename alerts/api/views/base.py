"""What every endpoint does before and after its own work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponseBase
from rest_framework.request import Request
from rest_framework.views import APIView

from alerts.api import errors, query
from alerts.api.authentication import BearerAuthentication, SessionAuthentication
from alerts.api.negotiation import JsonRenderer, Negotiation
from alerts.api.openapi import ApiSchema, Operation
from alerts.api.permissions import HasRole
from alerts.api.query import Parameter
from alerts.models import Role

READ, WRITE = Role.VIEWER, Role.EDITOR
DEFAULT_ROLES = {"GET": READ, "POST": WRITE, "PUT": WRITE, "PATCH": WRITE, "DELETE": WRITE}


class ApiView(APIView):
    """Authenticate, ask for the role, read the query parameters, answer JSON; every error is a problem.

    ``parameters`` and ``roles`` are tables by method; ``operations`` is what OpenAPI says of each method.
    """

    authentication_classes = [BearerAuthentication, SessionAuthentication]
    permission_classes = [HasRole]
    renderer_classes: list[Any] = [JsonRenderer]
    parser_classes = []
    throttle_classes = []
    content_negotiation_class = Negotiation
    versioning_class = None
    metadata_class = None
    http_method_names = ["get", "post", "put", "patch", "delete", "head"]
    schema = ApiSchema()

    parameters: Mapping[str, tuple[Parameter, ...]] = {}
    roles: Mapping[str, str] = {}
    query: dict[str, Any]

    def operations(self) -> Mapping[str, Operation]:
        """What each method does, for the OpenAPI document."""
        return {}

    def required_role(self, method: str | None) -> str:
        method = "GET" if method == "HEAD" else method or "GET"
        return self.roles.get(method) or DEFAULT_ROLES.get(method, READ)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        method = "GET" if request.method == "HEAD" else request.method or "GET"
        if hasattr(self, method.lower()):
            self.query = query.read(request.query_params, self.parameters.get(method, ()))

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """What was said to one token is no other's; it may be kept when it is asked for again (ETag)."""
        response.headers.setdefault("Cache-Control", "private, no-cache")
        return super().finalize_response(request, response, *args, **kwargs)

    def handle_exception(self, exc: Exception) -> HttpResponseBase:  # type: ignore[override]
        return errors.response(exc, allowed=self.allowed_methods)
