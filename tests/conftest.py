"""Fixtures every test may ask for. Servers are real, private to the worker that asked, and start on first use."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

from tests.servers import binaries
from tests.servers.alertmanager import AlertmanagerServer
from tests.servers.binaries import PrometheusBinaries
from tests.servers.composed import ComposedPostgreSQL, ComposedRedis
from tests.servers.loopback import Exporter, Webhook
from tests.servers.postgresql import PostgreSQL
from tests.servers.processes import Process
from tests.servers.prometheus import PrometheusServer
from tests.servers.redis import RedisServer
from tests.servers.victoriametrics import VmalertServer

NONE_AT_ALL = "no Prometheus could be had: run scripts/fetch_tools.py prometheus"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `prometheus_version` runs once on every release there is."""
    if "prometheus_version" in metafunc.fixturenames:
        metafunc.parametrize("prometheus_version", list(binaries.prometheus_releases()) or ["missing"], scope="session")


# ------------------------------------------------------------------------------------------------ programs


@pytest.fixture(scope="session")
def prometheus_binaries() -> dict[str, PrometheusBinaries]:
    """All releases there are, by 'major.minor', oldest first."""
    return binaries.prometheus_releases() or pytest.fail(NONE_AT_ALL, pytrace=False)


@pytest.fixture(scope="session")
def promtools(prometheus_binaries: dict[str, PrometheusBinaries]) -> dict[str, Path]:
    return {version: release.promtool for version, release in prometheus_binaries.items()}


@pytest.fixture(scope="session")
def promtool(promtools: dict[str, Path]) -> Path:
    """The newest one."""
    return list(promtools.values())[-1]


# ------------------------------------------------------------------------------------------------ servers


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """A short path (sockets) that other users may enter (databases do not run as root)."""
    with tempfile.TemporaryDirectory(
        prefix="server-", dir=os.environ["CONFIG_SERVER_TEST_RUN"], ignore_cleanup_errors=True
    ) as name:
        Path(name).chmod(0o755)
        yield Path(name)


class Server(Protocol):
    def start(self) -> Any: ...

    def stop(self) -> None: ...


OneServer = TypeVar("OneServer", bound=Server)


@contextmanager
def starting(folder: Path, name: str, make: Callable[..., OneServer]) -> Iterator[Callable[..., OneServer]]:
    """A function that starts servers, each in a folder of its own; all are stopped at the end."""
    numbers = count(1)
    with ExitStack() as stack:

        def start(**options: object) -> OneServer:
            server = make(folder / f"{name}-{next(numbers)}", **options)
            stack.callback(server.stop)
            server.start()
            return server

        yield start


@contextmanager
def running(server: OneServer) -> Iterator[OneServer]:
    """From its start to its stop."""
    server.start()
    yield server
    server.stop()


def folder_of_worker(name: str) -> Path:
    """For a server that all tests of a worker share."""
    return Path(os.environ["CONFIG_SERVER_TEST_RUN"]) / f"{name}-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"


@pytest.fixture
def start_prometheus(
    server_folder: Path, prometheus_binaries: dict[str, PrometheusBinaries]
) -> Iterator[Callable[..., PrometheusServer]]:
    """start_prometheus(rule_dir=…, scrape={job: address}, alertmanagers=[…], version="2.42").

    Starts a server, without a version the newest. All are stopped when the test ends.
    """

    def make(folder: Path, *, version: str | None = None, **options: Any) -> PrometheusServer:
        release = prometheus_binaries[version or list(prometheus_binaries)[-1]]
        return PrometheusServer(release, folder, **options)

    with starting(server_folder, "prometheus", make) as start:
        yield start


@pytest.fixture
def start_vmalert(server_folder: Path) -> Iterator[Callable[..., VmalertServer]]:
    """Starts vmalerts, each with its VictoriaMetrics: start_vmalert(rule_dir=…)."""
    with starting(server_folder, "vmalert", VmalertServer) as start:
        yield start


@pytest.fixture
def start_alertmanager(server_folder: Path) -> Iterator[Callable[..., AlertmanagerServer]]:
    """Starts Alertmanagers: start_alertmanager(webhook=webhook.url)."""
    with starting(server_folder, "alertmanager", AlertmanagerServer) as start:
        yield start


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    server = Exporter()
    yield server
    server.stop()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    server = Webhook()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A server beside the run's own database; `postgresql.create_database("name")` gives a URL."""
    with running(PostgreSQL(folder_of_worker("postgresql"))) as server:
        yield server


@pytest.fixture
def redis_server(server_folder: Path) -> Iterator[RedisServer]:
    with running(RedisServer(server_folder / "redis")) as server:
        yield server


@pytest.fixture(scope="session")
def composed_postgresql() -> Iterator[ComposedPostgreSQL]:
    with running(ComposedPostgreSQL(folder_of_worker("composed"))) as server:
        yield server


@pytest.fixture
def composed_redis(server_folder: Path) -> Iterator[ComposedRedis]:
    with running(ComposedRedis(server_folder / "redis")) as server:
        yield server


# ------------------------------------------------------------------------------------------------ the product


@pytest.fixture(autouse=True)
def no_places_from_before() -> None:
    """A transactional test commits and empties the tables; the next one gives out the same revisions again."""
    from alerts.actions import places

    places.forget()


@pytest.fixture
def rule_dir(tmp_path: Path, settings: object) -> Path:
    """An empty rule directory that the product, in this test, delivers to."""
    folder = tmp_path / "rules"
    folder.mkdir()
    settings.PROMETHEUS_RULE_DIR = folder  # type: ignore[attr-defined]
    return folder


@pytest.fixture
def product_environment(tmp_path: Path, promtool: Path) -> dict[str, str]:
    """The environment of a control plane of its own, as processes: its database, state and rules below tmp_path."""
    private = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "PYTEST_"))}
    return private | {
        "VAR_DIR": str(tmp_path / "var"),
        "PROMETHEUS_RULE_DIR": str(tmp_path / "rules"),
        "PROMETHEUS_URL": "http://127.0.0.1:9",  # nobody listens there; tests put their server's URL
        "PROMTOOL_PATH": str(promtool),
    }


@pytest.fixture(scope="session")
def migrated_var_dir() -> Path:
    """A VAR_DIR with all tables and nobody at work: made once in a run, whichever worker needs it first."""
    run = Path(os.environ["CONFIG_SERVER_TEST_RUN"])
    made = run / "migrated"
    with (run / "migrated.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            begun = run / "migrating"
            own = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "PYTEST_"))}
            command = [sys.executable, "manage.py", "migrate", "-v0"]
            subprocess.run(command, cwd=binaries.ROOT, env=own | {"VAR_DIR": str(begun)}, check=True)
            begun.rename(made)
    return made


@pytest.fixture
def migrated_environment(product_environment: dict[str, str], migrated_var_dir: Path) -> dict[str, str]:
    """The same, with all tables in its SQLite file already."""
    shutil.copytree(migrated_var_dir, product_environment["VAR_DIR"])
    return product_environment


@pytest.fixture
def run_process(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts a process: run_process([sys.executable, "manage.py", "worker"], env=…); stopped when the test ends."""
    with ExitStack() as stack:

        def start(command: list[str | Path], *, env: dict[str, str] | None = None, name: str = "") -> Process:
            process = Process(command, binaries.ROOT, env=env)
            process.log = tmp_path / f"{name or process.name}.log"
            stack.callback(process.stop)
            return process.start()

        yield start
