"""Clients that ask and wait, over and over, in a process of their own: ``python bench/clients.py < question``.

All of them are one thread that watches their connections, sends requests that lie ready and only counts the bytes of
the answers. A client that read JSON, or several Python threads that wait for one another, would be measured as well:
they share the cores with the servers.
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


class Client:
    """One connection; asks for its paths in turn."""

    def __init__(self, port: int, token: str, paths: list[str]) -> None:
        head = f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\r\n"
        self.requests = [f"GET {path} HTTP/1.1\r\n{head}".encode() for path in paths]
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.seconds: list[float] = []

    def ask(self) -> None:
        self.missing: int | None = None
        self.start = time.perf_counter()
        self.socket.sendall(self.requests[len(self.seconds) % len(self.requests)])

    def hear(self) -> bool:
        """Reads on; whether the answer is here."""
        piece = self.socket.recv(1 << 20)
        if self.missing is None:
            head, _, rest = piece.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), piece[:1000]
            length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
            self.missing = int(length) - len(rest)
        else:
            self.missing -= len(piece)
        if self.missing:
            assert piece, "the connection was closed"
            return False
        self.seconds.append(time.perf_counter() - self.start)
        return True


def run(clients: list[Client], each: int, seconds: float) -> None:
    """Until every client has asked so often, or so long."""
    watched = selectors.DefaultSelector()
    for client in clients:
        watched.register(client.socket, selectors.EVENT_READ, client)
        client.ask()
    end, left = time.perf_counter() + seconds, len(clients)
    while left:
        for key, _ in watched.select(60):
            client = key.data
            if client.hear():
                if len(client.seconds) < each and time.perf_counter() < end:
                    client.ask()
                else:
                    left -= 1


def ask(port: int, token: str, paths: list[list[str]], *, each: int = sys.maxsize, seconds: float = 600.0) -> Any:
    """Starts as many clients as there are lists of paths. For each of them, how many seconds each answer took."""
    question = {"port": port, "token": token, "paths": paths, "each": each, "seconds": seconds}
    command = [sys.executable, str(Path(__file__))]
    done = subprocess.run(command, input=json.dumps(question), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    all_clients = [Client(asked["port"], asked["token"], some) for some in asked["paths"]]
    run(all_clients, asked["each"], asked["seconds"])
    print(json.dumps([client.seconds for client in all_clients]))
