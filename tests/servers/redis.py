"""A Redis server that keeps nothing on disk."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.servers import took_part
from tests.servers.binaries import find, library_path, version_of
from tests.servers.processes import Process, free_port, started


class RedisServer:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.binary = find("redis-server")
        self.port = 0
        self._process: Process | None = None

    def url(self, database: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"

    def start(self) -> RedisServer:
        def make(attempt: int) -> Process:
            self.port = free_port() if attempt or not self.port else self.port
            return Process(self._command(), self.folder, env=self._environment())

        self._process = started(make, "Ready to accept connections", taken="Address already in use")
        took_part.note(f"redis {version_of(self.binary)}")
        return self

    def _command(self) -> list[str | Path]:
        return [self.binary, "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"]

    def _environment(self) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", **library_path(self.binary)}

    def stop(self) -> None:
        if self._process:
            self._process.stop()
            self._process = None

    def freeze(self) -> None:
        assert self._process
        self._process.freeze()

    def thaw(self) -> None:
        assert self._process
        self._process.thaw()

    def flush(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(b"FLUSHALL\r\n")
            assert connection.recv(64) == b"+OK\r\n"
