"""gunicorn's settings (``-c python:config_server.gunicorn``).

What it refuses itself is problem+json too, and its web processes count into one folder, so that ``/metrics`` says the
same whichever of them answers.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from http import HTTPStatus
from pathlib import Path
from socket import socket
from typing import Any

from gunicorn import util
from gunicorn.glogging import Logger

from config_server import settings
from config_server.logs import FORMATTERS
from config_server.web_worker import LARGE_PATIENCE, forget

logger = logging.getLogger(__name__)
COUNTS = settings.VAR_DIR / "web-metrics"

limit_request_line = 8190
worker_class = "config_server.web_worker.PatientWorker"
control_socket_disable = True
"""It would lie in the home directory, one for all servers of a user; signals will do."""
keepalive = 5
"""Seconds of silence between two requests, or between two pieces of one."""


class Lines(Logger):
    """gunicorn's own words in the same lines as everybody else's; a request's line is the middleware's."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(FORMATTERS[settings.LOG_FORMAT]())


logger_class = Lines


def refuse(client: socket, status: int, reason: str, message: str) -> None:
    """A request that is no HTTP, or too long a line of it, never gets as far as Django."""
    from alerts.api.problems import CONTENT_TYPE, Problem

    body = Problem(status, HTTPStatus(status).name.lower(), message or reason).response().content
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: {CONTENT_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\n" + ("Retry-After: 2\r\n" if status == 503 else "") + "\r\n"
    )
    util.write_nonblock(client, head.encode("latin-1") + body)


util.write_error = refuse


def on_starting(server: Any) -> None:
    """A folder of this server's own, new; before any process of it counts. Those of servers that are gone go."""
    given = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if given:  # somebody else's, or that of the server which this one was started to replace
        if Path(given).parent == COUNTS:
            _hold(Path(given))
        return
    try:
        COUNTS.mkdir(mode=0o700, parents=True, exist_ok=True)
        _clear_away()
        folder = Path(tempfile.mkdtemp(prefix="server-", dir=COUNTS))
        _hold(folder)
    except OSError as error:
        logger.warning("each web process counts for itself: %s cannot be written: %s", COUNTS, error)
        return
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)


def post_worker_init(worker: Any) -> None:
    """Half of the threads may wait for agents, and as many for servers' answers."""
    from alerts.actions import bundle_waiting, shared_looks

    bundle_waiting.make_room(worker.cfg.threads)
    shared_looks.make_room(worker.cfg.threads)


def pre_request(worker: Any, request: Any) -> None:
    """Who does not fetch the answer holds a thread, so not for ever."""
    request.unreader.sock.settimeout(LARGE_PATIENCE)


def child_exit(server: Any, worker: Any) -> None:
    """What a process counted stays; only its present state goes with it."""
    forget(worker)
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(worker.pid)


def _hold(folder: Path) -> None:
    """Locked for as long as this process or one it forked lives, whatever kills it."""
    descriptor = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def _clear_away() -> None:
    for folder in COUNTS.glob("server-*"):
        try:
            descriptor = os.open(folder / "lock", os.O_RDWR)
        except OSError:
            continue  # just being made
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            pass  # its server lives
        finally:
            os.close(descriptor)
