"""JSON out, whatever is asked for: an ``Accept`` that leaves no room for it is refused."""

from __future__ import annotations

from typing import Any

from django.http.request import MediaType
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from alerts.domain.json_text import json_bytes


class JsonRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return b"" if data is None else json_bytes(data)


class TextRenderer(BaseRenderer):
    media_type = "text/plain"
    format = "txt"
    charset = "utf-8"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return data if isinstance(data, bytes) else str(data).encode()


class Negotiation(BaseContentNegotiation):
    """The view's first renderer that the client accepts; there is no ``?format=``."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return None

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        accept = request.META.get("HTTP_ACCEPT", "*/*").strip() or "*/*"
        accepted = [] if accept == "*/*" else [MediaType(part) for part in accept.split(",") if part.strip()]
        wanted = [media for media in accepted if media.params.get("q", "1") not in ("0", "0.0", "0.00", "0.000")]
        for renderer in renderers:
            if not accepted or any(media.match(renderer.media_type) for media in map(_without_params, wanted)):
                return renderer, renderer.media_type
        raise NotAcceptable(available_renderers=renderers)


def _without_params(media: MediaType) -> MediaType:
    return MediaType(f"{media.main_type}/{media.sub_type}")
