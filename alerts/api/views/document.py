"""The OpenAPI document, and a page that shows it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from django.http import HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import render
from drf_spectacular.generators import SchemaGenerator
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from alerts.api.openapi import Answer, Operation
from alerts.api.views.base import ApiView


@cache
def document() -> dict[str, Any]:
    """The same for everybody, and for as long as the process lives."""
    return SchemaGenerator().get_schema(public=True)


class Schema(ApiView):
    def get(self, request: Request) -> Response:
        return Response(document())

    def operations(self) -> Mapping[str, Operation]:
        answer = Answer("OpenAPI 3.1.", {"type": "object"})
        return {"GET": Operation("openapi", "document", "This document", {200: answer})}


class PageRenderer(BaseRenderer):
    media_type = "text/html"
    format = "html"
    charset = "utf-8"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> Any:
        return data


class Docs(ApiView):
    """Swagger UI from our own static files. Its script is a file too: no script of ours is inline."""

    renderer_classes = [PageRenderer]

    def get(self, request: Request) -> HttpResponse:
        # The page's own requests need the cookie.
        get_token(request._request)
        return render(request._request, "alerts/api_docs.html")

    def operations(self) -> Mapping[str, Operation]:
        answer = Answer("A page for a browser.", {"type": "string"}, media_type="text/html")
        return {"GET": Operation("docs", "document", "This document, to read and try", {200: answer})}
