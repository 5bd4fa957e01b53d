"""A loopback exporter: the tests say which series it shows, Prometheus scrapes them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Series = tuple[str, tuple[tuple[str, str], ...]]


_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def _line(series: Series, value: float) -> str:
    name, labels = series
    inside = ",".join(f'{label}="{text.translate(_ESCAPES)}"' for label, text in labels)
    return f"{name}{{{inside}}} {value!r}"


class HttpServer:
    """Serves on a free loopback port from a thread of its own until stopped."""

    def __init__(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, kind, body = outer.answer(self.path, b"")
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                status, kind, body = outer.answer(self.path, self.rfile.read(size))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.address}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def answer(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        raise NotImplementedError

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class Exporter(HttpServer):
    """`exporter.set("cpu", 95, target="web-1", environment="production")`; labels are shown as given."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[Series, float] = {}
        self.scrapes = 0
        super().__init__()

    @staticmethod
    def _series(name: str, labels: Mapping[str, str]) -> Series:
        return name, tuple(sorted(labels.items()))

    def set(self, name: str, value: float, /, **labels: str) -> None:
        with self._lock:
            self._values[self._series(name, labels)] = float(value)

    def remove(self, name: str, /, **labels: str) -> None:
        with self._lock:
            self._values.pop(self._series(name, labels), None)

    def replace(self, values: Mapping[Series, float]) -> None:
        """All series at once, in one step as Prometheus sees it."""
        with self._lock:
            self._values = dict(values)

    def clear(self) -> None:
        self.replace({})

    def answer(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        with self._lock:
            self.scrapes += 1
            lines = [_line(series, value) for series, value in sorted(self._values.items())]
        return 200, "text/plain; version=0.0.4; charset=utf-8", ("\n".join(lines) + "\n").encode()


class Webhook(HttpServer):
    """Keeps what Alertmanager posts to it, in order."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        super().__init__()

    def answer(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        self.received.append(json.loads(body))
        return 200, "text/plain", b""

    def changes(self, **labels: str) -> list[str]:
        """The statuses ('firing', 'resolved') told about alerts with these labels, in order."""
        return [
            alert["status"]
            for message in self.received
            for alert in message["alerts"]
            if labels.items() <= alert["labels"].items()
        ]


class Answering(HttpServer):
    """Answers as a function says: for servers that misbehave in ways the real ones cannot be made to."""

    def __init__(self, function: Callable[[str, bytes], tuple[int, str, bytes]]) -> None:
        self._function = function
        super().__init__()

    def answer(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        return self._function(path, body)
