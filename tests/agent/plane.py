"""A control plane as the agent sees it, over real HTTP: offers a bundle, takes reports, can be made to misbehave."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from alerts.adapters.release_store import content_hash, manifest_of
from tests.servers.processes import eventually

Json = dict[str, Any]


def bundle_of(release: int, files: Mapping[str, str], **more: Any) -> Json:
    hashed = content_hash(manifest_of({name: text.encode() for name, text in files.items()}))
    plain = {"server": "eu-1", "release": release, "revision": release * 10, "content_hash": hashed}
    return plain | {"files": dict(files), "scope": None} | more


class ControlPlane:
    """``misbehave`` gets each request's path and answers it instead of us when it returns (status, headers, body)."""

    def __init__(self, token: str, certificate: tuple[str, str] | None = None) -> None:
        self.token = token
        self._certificate = certificate
        self.offered: Json | None = None
        self.misbehave: Callable[[str], tuple[int, Mapping[str, str], bytes] | None] = lambda path: None
        self.asked: list[tuple[float, str, Mapping[str, str]]] = []
        self.reports: list[Json] = []
        self._changed = threading.Condition()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"{'https' if self._certificate else 'http'}://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Again on the same port, after ``stop``."""
        plane = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                plane._answer(self, b"")

            def do_POST(self) -> None:
                plane._answer(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *_: Any) -> None: ...

        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        if self._certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self._certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Nobody listens there any more; whoever waits gets an end of file."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            with self._changed:
                self._changed.notify_all()

    def offer(self, bundle: Json) -> Json:
        with self._changed:
            self.offered = bundle
            self._changed.notify_all()
        return bundle

    def questions(self) -> list[tuple[float, str, Mapping[str, str]]]:
        return [asked for asked in self.asked if "/bundle" in asked[1]]

    def report_that(self, what: Callable[[Json], Any], *, timeout: float = 20) -> Json:
        """The newest report for which this holds, as soon as there is one."""
        try:
            return eventually(lambda: next((r for r in reversed(self.reports) if what(r)), None), timeout=timeout)
        except AssertionError as error:
            raise AssertionError(f"no such report: {json.dumps(self.reports[-3:], indent=1)}") from error

    def report_on(self, bundle: Json, state: str = "verified", *, timeout: float = 20) -> Json:
        return self.report_that(lambda r: (r["release"], r["state"]) == (bundle["release"], state), timeout=timeout)

    def _answer(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        self.asked.append((time.monotonic(), request.path, dict(request.headers.items())))
        status, headers, data = self.misbehave(request.path) or self._behave(request, body)
        if self._server is None:
            request.close_connection = True
            return
        request.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            request.send_header(name, value)
        with suppress(OSError):  # the agent was killed
            request.end_headers()
            request.wfile.write(data)

    def _behave(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        if request.headers["Authorization"] != f"Bearer {self.token}":
            return 401, {}, b'{"title": "Unauthorized", "detail": "the token is unknown"}'
        path, _, query = request.path.partition("?wait=")
        if (request.command, path) == ("POST", "/api/v1/agent/report"):
            self.reports.append(json.loads(body))
            return 204, {}, b""
        assert (request.command, path) == ("GET", "/api/v1/agent/bundle")
        known = request.headers["If-None-Match"]
        with self._changed:
            self._changed.wait_for(lambda: self._server is None or self._news(known), float(query))
            if not self._news(known):
                return 304, {"ETag": known or '""'}, b""
            assert self.offered
            return 200, {"ETag": self._etag()}, json.dumps(self.offered).encode()

    def _etag(self) -> str:
        return f'"{self.offered["content_hash"]}"' if self.offered else ""

    def _news(self, known: str | None) -> bool:
        return self.offered is not None and known != self._etag()
