"""PostgreSQL goes away at once under web, workers, beat and agent: 503 meanwhile, nothing lost, all is delivered."""

from __future__ import annotations

import signal
import time

import pytest

from tests.faults.fleet import Fleet, Stream
from tests.servers.postgresql import PostgreSQL

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_edits_get_503_and_what_was_acknowledged_is_delivered_by_the_same_processes(
    fleet: Fleet, own_postgresql: PostgreSQL
) -> None:
    fleet.await_sync()
    pids = {name: process.pid for name, process in fleet.processes.items()}
    with Stream(fleet, pause=0.02) as stream:
        stream.wait_for("200", 10)
        own_postgresql.stop(number=signal.SIGQUIT)
        stream.wait_for("503", 2)
        own_postgresql.start()
        back = time.monotonic()
        stream.wait_for("200")
        accepted = time.monotonic() - back
        stream.wait_for("200", 10)
        own_postgresql.stop(number=signal.SIGQUIT)
        own_postgresql.start()
        stream.wait_for("200", 10)
    seconds = fleet.await_sync()
    print(f"\nPostgreSQL back: an edit is accepted after {accepted:.1f} s, all in sync {seconds:.1f} s after the last")
    assert stream.statuses["connection"] == 0, "a request in flight was cut off"
    stream.require_nothing_lost()
    fleet.require_exactly_the_last_revision()
    assert {name: process.pid for name, process in fleet.processes.items() if process.running} == pids
