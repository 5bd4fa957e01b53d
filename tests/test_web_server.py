"""What the web server refuses before Django sees it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from config_server import gunicorn

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(("status", "reason"), [(400, "Bad Request"), (414, "URI Too Long"), (431, "Header Too Large")])
def test_a_request_that_is_no_http_is_answered_with_problem_json(status: int, reason: str) -> None:
    here, there = socket.socketpair()
    with here, there:
        gunicorn.refuse(here, status, reason, "é is no request")
        here.shutdown(socket.SHUT_WR)
        head, _, body = there.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} {reason}\r\n".encode())
    assert b"Content-Type: application/problem+json" in head
    assert f"Content-Length: {len(body)}".encode() in head
    problem = json.loads(body)
    assert problem.keys() == {"type", "title", "status", "detail", "errors"}
    assert problem["status"] == status


def test_nothing_is_left_in_the_home_directory() -> None:
    assert gunicorn.control_socket_disable


@pytest.mark.parametrize("name", ["Dockerfile", "docker-compose.yml", "alerts/management/commands/up.py"])
def test_every_web_server_is_started_with_its_settings(name: str) -> None:
    assert "python:config_server.gunicorn" in (ROOT / name).read_text()
