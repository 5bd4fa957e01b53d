"""PostgreSQL goes away under load and comes back: 503 meanwhile, and nothing that was confirmed is lost."""

from __future__ import annotations

import itertools
import os
import secrets
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.monitoring.conftest import WebServer
from tests.servers.postgresql import PostgreSQL
from tests.servers.processes import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
WRITERS = 6


@pytest.fixture
def database(server_folder: Path) -> Iterator[PostgreSQL]:
    """One that keeps what it has confirmed, also when it is stopped at once."""
    server = PostgreSQL(server_folder / "postgresql", synchronous_commit="on").start()
    yield server
    server.stop()


@pytest.fixture
def web(start_web: Callable[..., WebServer], database: PostgreSQL) -> WebServer:
    return start_web(workers=2, DATABASE_URL=database.url(), SECRET_KEY=secrets.token_urlsafe(50))


class Writers:
    """Several clients that make groups as fast as they can, each of a name of its own."""

    def __init__(self, web: WebServer) -> None:
        self.web = web
        self.statuses: Counter[str] = Counter()
        self.confirmed: set[str] = set()
        self.odd: list[str] = []
        self.unhurried: list[str] = []
        self._numbers = itertools.count()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._write) for _ in range(WRITERS)]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)

    def _write(self) -> None:
        while not self._stopping.is_set():
            name = f"g{next(self._numbers)}"
            try:
                answer = self.web.call("POST", "/api/v1/groups", {"name": name, "namespace": 3})
            except requests.ConnectionError:
                self.statuses["connection"] += 1
                continue
            self.statuses[str(answer.status_code)] += 1
            if answer.status_code == 201:
                self.confirmed.add(name)
            elif answer.status_code != 503:
                self.odd.append(f"{answer.status_code} {answer.text[:300]}")
            elif answer.headers.get("Retry-After") is None or not is_problem(answer):
                self.unhurried.append(answer.text[:300])

    def wait_for(self, status: str, more: int = 1) -> None:
        wanted = self.statuses[status] + more
        eventually(lambda: self.statuses[status] >= wanted, timeout=60, what=f"{more} × {status}: {self.statuses}")


def is_problem(answer: requests.Response) -> bool:
    return answer.headers["Content-Type"] == "application/problem+json" and answer.json()["status"] == 503


def stored(web: WebServer) -> set[str]:
    found: set[str] = set()
    path: str | None = "/api/v1/groups?page_size=1000"
    while path:
        page: dict[str, Any] = web.call("GET", path).json()
        found |= {group["name"] for group in page["results"]}
        path = page["next"] and page["next"].removeprefix(web.url)
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_nothing_confirmed_is_lost_when_postgresql_restarts_under_load(
    web: WebServer, database: PostgreSQL, number: int
) -> None:
    with Writers(web) as writers:
        writers.wait_for("201", 20)
        database.stop(number=number)
        writers.wait_for("503", 5)
        database.start()
        writers.wait_for("201", 20)
        database.stop(number=number)  # short: many never notice
        database.start()
        writers.wait_for("201", 20)
    assert writers.odd == []
    assert writers.unhurried == []
    assert writers.confirmed <= stored(web)
    assert web.process.running


def test_ready_and_pages_tell_and_recover_by_themselves(web: WebServer, database: PostgreSQL) -> None:
    processes = web.workers()
    database.stop()
    start = time.monotonic()
    answer = requests.get(f"{web.url}/-/ready", timeout=30)
    assert time.monotonic() - start < 5
    assert is_problem(answer)
    assert answer.json()["detail"].startswith("database ")
    assert int(answer.headers["Retry-After"]) > 0
    assert requests.get(f"{web.url}/-/healthy", timeout=10).ok

    page = requests.get(
        f"{web.url}/status", headers={"Accept": "text/html"}, cookies={"sessionid": "x" * 32}, timeout=30
    )
    assert (page.status_code, page.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert page.headers["Retry-After"]
    assert "try again in a few seconds" in page.text
    session = requests.get(f"{web.url}/api/v1/groups", cookies={"sessionid": "x" * 32}, timeout=30)
    assert is_problem(session)

    time.sleep(8)  # long enough for every pool to give up
    database.start()
    start = time.monotonic()
    eventually(lambda: all(web.call("GET", "/api/v1/groups").ok for _ in range(8)), timeout=30, what="all processes")
    assert time.monotonic() - start < 15
    assert requests.get(f"{web.url}/-/ready", timeout=10).ok
    assert web.workers() == processes


def backends(postmaster: int) -> list[int]:
    """Each is a process group of its own: one that is connected already would go on answering."""
    return [int(pid) for pid in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()]


def test_a_database_that_hangs_is_not_ready(web: WebServer, database: PostgreSQL) -> None:
    """Frozen, it accepts connections and never answers."""
    assert database.pid
    frozen = [database.pid, *backends(database.pid)]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        start = time.monotonic()
        assert is_problem(requests.get(f"{web.url}/-/ready", timeout=30))
        assert time.monotonic() - start < 5
        assert requests.get(f"{web.url}/-/healthy", timeout=10).ok
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    eventually(lambda: requests.get(f"{web.url}/-/ready", timeout=10).ok, timeout=30, what="being ready again")
