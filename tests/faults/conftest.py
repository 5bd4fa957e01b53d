"""The fleet that the faults happen to."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.fleet import Fleet
from tests.monitoring.conftest import start_web  # noqa: F401
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgresql import PostgreSQL
from tests.servers.processes import Process
from tests.servers.prometheus import PrometheusServer
from tests.servers.redis import RedisServer
from tests.servers.stand_in import StandIn
from tests.tasks.conftest import Installation, make_installation  # noqa: F401


@pytest.fixture
def own_postgresql(server_folder: Path) -> Iterator[PostgreSQL]:
    """One that keeps what it has confirmed, also when it is stopped at once."""
    server = PostgreSQL(server_folder / "postgresql", synchronous_commit="on").start()
    yield server
    server.stop()


@pytest.fixture
def pgbouncer(own_postgresql: PostgreSQL, server_folder: Path) -> Iterator[PgBouncer]:
    """With fewer connections than have work at once: they go from hand to hand."""
    server = PgBouncer(server_folder / "pgbouncer", own_postgresql, connections=3).start()
    yield server
    server.stop()


@pytest.fixture
def start_fleet(
    redis_server: RedisServer,
    product_environment: dict[str, str],
    start_prometheus: Callable[..., PrometheusServer],
    prometheus_binaries: dict[str, object],
    run_process: Callable[..., Process],
    tmp_path: Path,
) -> Callable[[str], Fleet]:
    """start_fleet(database_url)"""

    def start(database_url: str) -> Fleet:
        servers = {}
        versions = list(prometheus_binaries)
        for number, name in enumerate(("near-1", "near-2", "far")):
            rule_dir = tmp_path / "servers" / name
            rule_dir.mkdir(parents=True)
            servers[name] = start_prometheus(rule_dir=rule_dir, version=versions[number % len(versions)])
        environment = product_environment | {
            "DATABASE_URL": database_url,
            "SECRET_KEY": secrets.token_urlsafe(50),
            "CELERY_BROKER_URL": redis_server.url(),
            "PROMETHEUS_RULE_ROOTS": str(tmp_path / "servers"),
        }
        return Fleet(environment, tmp_path, servers, run_process).start()

    return start


@pytest.fixture
def fleet(own_postgresql: PostgreSQL, start_fleet: Callable[[str], Fleet]) -> Fleet:
    return start_fleet(own_postgresql.create_database("fleet"))


@pytest.fixture
def start_stand_in() -> Iterator[Callable[..., StandIn]]:
    """Starts servers that load what they are told to, where many are needed: start_stand_in(rule_dir)."""
    with ExitStack() as stack:

        def start(rule_dir: Path, **options: object) -> StandIn:
            server = StandIn(rule_dir, **options)  # type: ignore[arg-type]
            stack.callback(server.stop)
            return server

        yield start


@pytest.fixture
def own_database(own_postgresql: PostgreSQL) -> str:
    return own_postgresql.create_database("own")
