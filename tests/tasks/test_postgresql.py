"""Workers on PostgreSQL: forked ones share no connection, and all of them outlive a restart of the database."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers.postgresql import PostgreSQL
from tests.servers.processes import eventually
from tests.tasks.conftest import Installation

pytestmark = pytest.mark.slow
WRITE = "from alerts.actions import rules; rules.create({{'name': 'R{0}', 'query_template': 'up == {0}'}})"


@pytest.fixture
def own_postgresql(server_folder: Path) -> Iterator[PostgreSQL]:
    server = PostgreSQL(server_folder / "postgresql")
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("kind", ["poll", "threads", "prefork"])
def test_workers_go_on_after_postgresql_was_restarted(
    make_installation: Callable[..., Installation], own_postgresql: PostgreSQL, kind: str
) -> None:
    installation = make_installation(
        3, DATABASE_URL=own_postgresql.create_database("fleet"), SECRET_KEY=secrets.token_urlsafe(50)
    )
    if kind == "poll":
        worker = installation.run([sys.executable, "manage.py", "worker"], env=installation.environment, name="poll")
    else:
        worker = installation.start_worker("--pool", kind, "--concurrency", "3")
        installation.start_beat()
    installation.shell(WRITE.format(1))
    eventually(lambda: installation.all_hold("up == 1"), timeout=30, what="the first rule everywhere")
    own_postgresql.stop()
    own_postgresql.start()
    installation.shell(WRITE.format(2))
    eventually(lambda: installation.all_hold("up == 2"), timeout=90, what="the second rule everywhere")
    assert worker.running
    assert "lost synchronization" not in worker.output
    assert "Traceback" not in worker.output


def test_a_worker_that_has_nothing_to_do_keeps_its_connection(
    make_installation: Callable[..., Installation], own_postgresql: PostgreSQL
) -> None:
    installation = make_installation(
        1, DATABASE_URL=own_postgresql.create_database("idle"), SECRET_KEY=secrets.token_urlsafe(50)
    )
    installation.run([sys.executable, "manage.py", "worker"], env=installation.environment, name="idle")
    installation.shell(WRITE.format(1))
    eventually(lambda: installation.all_hold("up == 1"), timeout=30, what="the rule")

    def sessions() -> int:
        """That were ever begun."""
        script = (
            "from django.db import connection; c = connection.cursor()\n"
            "c.execute(\"SELECT sessions FROM pg_stat_database WHERE datname = 'idle'\"); print(c.fetchone()[0])"
        )
        return int(installation.shell(script))

    time.sleep(3)
    before = sessions()
    time.sleep(4)
    assert sessions() - before <= 6, "it looks five times a second"
