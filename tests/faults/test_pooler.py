"""PgBouncer in between, in transaction mode: what one process prepared or opened on a connection is the next one's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.fleet import Fleet, Stream
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgresql import PostgreSQL

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_connections_may_change_hands_after_every_transaction(
    own_postgresql: PostgreSQL, pgbouncer: PgBouncer, start_fleet: Callable[[str], Fleet]
) -> None:
    own_postgresql.create_database("fleet")
    fleet = start_fleet(pgbouncer.url("fleet"))
    fleet.await_sync()
    effective = f"targets/{fleet.target}/alert-rules/effective"
    with Stream(fleet, pause=0.02) as stream, ThreadPoolExecutor(6) as readers:
        stream.wait_for("200", 5)
        answers = list(readers.map(lambda _: fleet.call("GET", effective), range(120)))
        stream.wait_for("200", 5)
    assert [answer.text for answer in answers if not answer.ok] == []
    assert set(stream.statuses) == {"200", "201"}
    fleet.await_sync()
    stream.require_nothing_lost()
    fleet.require_exactly_the_last_revision()
