"""What lies between agents and the control plane: passes requests on, writes down who asked what and when."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import requests

PASSED_ON = ("Authorization", "If-None-Match", "Content-Type")
PASSED_BACK = ("ETag", "Retry-After", "Content-Type")


class Request(NamedTuple):
    """``status`` is 0 where the control plane was away."""

    at: float
    who: str
    what: str
    status: int


class Network:
    def __init__(self, beyond: str) -> None:
        self.beyond = beyond
        self.away = False
        self.requests: list[Request] = []
        network = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                network._pass_on(self, None)

            def do_POST(self) -> None:
                network._pass_on(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def since(self, moment: float, what: str, status: Iterable[int] = range(1, 600)) -> list[Request]:
        return [one for one in list(self.requests) if one.at >= moment and one.what == what and one.status in status]

    def _pass_on(self, request: BaseHTTPRequestHandler, body: bytes | None) -> None:
        asked = time.monotonic()
        who, what = request.headers["Authorization"], request.path.partition("?")[0].rpartition("/")[2]
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        try:
            if self.away:
                raise requests.ConnectionError("away")
            answer = requests.request(
                request.command, self.beyond + request.path, headers=headers, data=body, timeout=60
            )
        except requests.RequestException:
            self.requests.append(Request(asked, who, what, 0))
            request.close_connection = True  # as if nobody listened
            return
        self.requests.append(Request(asked, who, what, answer.status_code))
        try:
            request.send_response(answer.status_code)
            for name in PASSED_BACK:
                if name in answer.headers:
                    request.send_header(name, answer.headers[name])
            request.send_header("Content-Length", str(len(answer.content)))
            request.end_headers()
            request.wfile.write(answer.content)
        except OSError:
            pass  # the agent was stopped meanwhile


def by_agent(found: Iterable[Request]) -> Counter[str]:
    return Counter(one.who for one in found)
