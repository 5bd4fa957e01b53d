"""What the web server refuses before Django sees it."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections import Counter
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from config_server import gunicorn
from tests.servers.processes import Process, eventually, free_port

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


WHO = """
import os
def app(environ, start):
    start("200 OK", [("Content-Length", "8")])
    return [b"%8d" % os.getpid()]
"""


def test_connections_that_are_kept_are_spread_over_the_processes(tmp_path: Path) -> None:
    """They stay where they are: were they all taken by the quickest, the other process would stand idle."""
    (tmp_path / "who.py").write_text(WHO)
    port, clients = free_port(), 16
    server = [sys.executable, "-m", "gunicorn", "who:app", "--bind", f"127.0.0.1:{port}", "--no-control-socket"]
    workers = ["--workers", "2", "--threads", "2", "--worker-class", "config_server.web_worker.PatientWorker"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with Process([*server, *workers], tmp_path, env=environment), ExitStack() as opened:
        eventually(lambda: len({_answer(port) for _ in range(4)}) == 2, timeout=30)
        kept = [opened.enter_context(closing(HTTPConnection("127.0.0.1", port, timeout=10))) for _ in range(clients)]
        for connection in kept:
            connection.connect()
        counts = Counter(_answered(connection) for connection in kept)
    assert min(counts.values()) >= clients // 4, counts
    assert len(counts) == 2, "only one process took any"


def _answer(port: int) -> bytes:
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        return _answered(connection)


def _answered(connection: HTTPConnection) -> bytes:
    connection.request("GET", "/")
    return connection.getresponse().read()
