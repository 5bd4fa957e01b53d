"""gunicorn's settings (``-c python:config_server.gunicorn``): what it refuses itself is problem+json too."""

from __future__ import annotations

from http import HTTPStatus
from socket import socket

from gunicorn import util

from alerts.api.problems import CONTENT_TYPE, Problem

limit_request_line = 8190


def refuse(client: socket, status: int, reason: str, message: str) -> None:
    """A request that is no HTTP, or too long a line of it, never gets as far as Django."""
    body = Problem(status, HTTPStatus(status).name.lower(), message or reason).response().content
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: {CONTENT_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    util.write_nonblock(client, head.encode("latin-1") + body)


util.write_error = refuse
