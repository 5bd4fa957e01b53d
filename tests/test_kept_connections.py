"""Whether a connection can be used again is what the answer says, also when a body was refused unread."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.servers.processes import Process, eventually, free_port

ROOT = Path(__file__).parent.parent
REFUSING = """
def app(environ, start):
    size = int(environ["PATH_INFO"][1:] or 0)
    read = len(environ["wsgi.input"].read(size))
    start("413 Too Large" if environ["QUERY_STRING"] else "401 Who", [("Content-Length", "2")])
    return [b"no"]
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("web")
    (folder / "refusing.py").write_text(REFUSING)
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "refusing:app", "--bind", f"127.0.0.1:{port}", "--no-control-socket"]
    more = ["--workers", "1", "--threads", "2", "--worker-class", "config_server.web_worker.PatientWorker"]
    with Process([*command, *more], folder, env={**os.environ, "PYTHONPATH": str(ROOT)}):
        eventually(lambda: _ask(port, 0, 0), timeout=30)
        yield port


def _ask(port: int, sent: int, read: int, query: str = "") -> bool:
    """Whether the answer says that the connection is kept; then it has to take another request."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("POST", f"/{read}{query}", body=b"x" * sent)
        answer = connection.getresponse()
        answer.read()
        if answer.getheader("Connection") == "close":
            return False
        connection.request("GET", "/0")
        assert connection.getresponse().read() == b"no"
        return True


@pytest.mark.parametrize(
    ("sent", "read", "query", "kept"),
    [
        (0, 0, "", True),
        (60_000, 0, "", True),
        (900_000, 900_000, "", True),
        (900_000, 0, "", False),
        (900_000, 100_000, "", False),
        (2_000_000, 0, "", False),
        (2_000_000, 2_000_000, "", True),
        (2_000_000, 1_000_000, "?413", False),
        (100, 0, "?413", False),
    ],
)
def test_an_answer_that_ends_the_connection_says_so(port: int, sent: int, read: int, query: str, kept: bool) -> None:
    assert _ask(port, sent, read, query) is kept
