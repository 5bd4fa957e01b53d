"""A server that answers whatever a test wants, byte by byte if need be."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


class HostileServer:
    """``answer`` gets the socket after the request's head was read; it may send anything, or nothing."""

    def __init__(self, answer: Callable[[socket.socket], object]) -> None:
        self.requests: list[bytes] = []
        self._answer = answer
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                self.requests.append(connection.recv(65536))
                self._answer(connection)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._listener.close()


def response(body: bytes | str, *, status: str = "200 OK", **headers: str) -> Callable[[socket.socket], object]:
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return lambda connection: connection.sendall("\r\n".join([*lines, "", ""]).encode() + data)
