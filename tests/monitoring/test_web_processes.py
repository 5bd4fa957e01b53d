"""Several web processes, and one truth: whichever answers ``/metrics`` says what all of them have done."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.monitoring.conftest import WebServer
from tests.servers.processes import eventually

pytestmark = pytest.mark.slow
COUNT = "config_server_http_request_duration_seconds_count"
LISTED = (COUNT, "GET", "/api/v1/namespaces", "2xx")


def ask(server: WebServer, times: int) -> None:
    for _ in range(times):
        assert server.call("GET", "/api/v1/namespaces").status_code == 200


def said(server: WebServer, times: int = 12) -> set[float]:
    """What the processes say, asked often enough for each of them to come up."""
    return {server.metrics()[LISTED] for _ in range(times)}


def counts(server: WebServer) -> list[Path]:
    return sorted(Path(server.environment["VAR_DIR"]).glob("web-metrics/server-*"))


def test_requests_are_counted_over_all_processes(start_web: Callable[..., WebServer]) -> None:
    server = start_web(workers=2)
    ask(server, 20)
    assert said(server) == {20}
    server.call("GET", "/api/v1/namespaces/99999")
    server.call("GET", "/no/such/page")
    found = server.metrics()
    assert found[COUNT, "GET", "/api/v1/namespaces/{id}", "4xx"] == 1
    assert found[COUNT, "GET", "unmatched", "4xx"] == 1
    buckets = [value for name, value in found.items() if name[0].endswith("_bucket") and LISTED[2] in name]
    assert max(buckets) == 20


def test_a_killed_process_stays_counted_and_breaks_nothing(start_web: Callable[..., WebServer]) -> None:
    server = start_web(workers=2)
    ask(server, 10)
    before = set(server.workers())
    for pid in before:
        os.kill(pid, signal.SIGKILL)
        eventually(lambda pid=pid: pid not in server.workers() and len(server.workers()) == 2, what="another process")  # type: ignore[misc]
    assert not before & set(server.workers())
    eventually(lambda: server.call("GET", "/-/healthy").ok, what="answers of the new processes")
    ask(server, 10)
    assert said(server) == {20}


def test_process_figures_are_sums_that_every_process_says_alike(start_web: Callable[..., WebServer]) -> None:
    server = start_web(workers=2)
    started = {server.metrics()[("process_start_time_seconds",)] for _ in range(12)}
    assert len(started) == 1
    cpu = [server.metrics()[("process_cpu_seconds_total",)] for _ in range(12)]
    assert cpu == sorted(cpu)
    resident = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
    assert server.metrics()[("process_resident_memory_bytes",)] > 2 * int(resident) * os.sysconf("SC_PAGESIZE")


def test_each_server_counts_into_a_new_folder_and_those_of_dead_ones_go(start_web: Callable[..., WebServer]) -> None:
    first = start_web(name="first")
    ask(first, 5)
    second = start_web(name="second", migrate=False)
    assert len(counts(second)) == 2, "a living server keeps its folder"
    ask(second, 1)
    assert (said(first), said(second)) == ({5}, {1})
    first.process.kill()
    third = start_web(name="third", migrate=False)
    assert len(counts(third)) == 2
    ask(third, 2)
    assert (said(second), said(third)) == ({1}, {2})


def test_a_folder_that_cannot_be_made_stops_nothing(start_web: Callable[..., WebServer], tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "web-metrics").write_text("in the way")
    server = start_web(workers=1)
    ask(server, 3)
    assert said(server, 2) == {3}
    assert "each web process counts for itself" in server.process.output
