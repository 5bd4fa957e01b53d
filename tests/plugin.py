"""The test run itself: its private folders, its database, its options, and what its summary says.

Loaded by name (pyproject: -p tests.plugin) so that the environment is ready before Django's settings are read.
"""

from __future__ import annotations

import importlib
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from pytest_django.plugin import blocking_manager_key

from tests.servers import binaries, took_part
from tests.servers.postgresql import PostgreSQL

# Everything under these folders also runs on PostgreSQL in `make test`.
DATABASE_FOLDERS = ("tests/models/", "tests/actions/", "tests/api/", "tests/admin/", "tests/web/")

OWN_SETTINGS = (
    *("PROMETHEUS_URL", "PROMETHEUS_RULE_LAYOUT", "PROMETHEUS_RULE_FILE_MODE", "PROMETHEUS_RELOAD_ENABLED"),
    *("PROMTOOL_PATH", "CELERY_BROKER_URL", "BASE_URL", "TARGET_LABEL", "SCOPE_LABEL", "SEVERITIES"),
    *("PROMETHEUS_ALLOWED_HOSTS", "PROMETHEUS_CREDENTIALS_DIR", "PROMETHEUS_RULE_ROOTS", "PROMETHEUS_MULTIPROC_DIR"),
    *("PROMETHEUS_TIMEOUT", "LEASE_SECONDS", "DETERMINING_LABELS", "LOG_LEVEL", "LOG_FORMAT"),
    *("SECRET_KEY", "ALLOWED_HOSTS", "DEBUG", "CONFIG_SERVER_FAILPOINT"),
)

# A worker of xdist inherits the controller's environment, and with it the folder and the database server.
IS_CONTROLLER = "PYTEST_XDIST_WORKER" not in os.environ
_run_folder: Path | None = None
_database: PostgreSQL | None = None

settings.register_profile(
    "default",
    max_examples=200,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile(
    "full", settings.get_profile("default"), max_examples=5000, derandomize=False, print_blob=True
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("config-server")
    group.addoption(
        "--full", action="store_true", help="also the tests that take minutes, and many more random examples"
    )
    group.addoption(
        "--db", choices=["sqlite", "postgresql"], default=None, help="database (default: DATABASE_URL, else SQLite)"
    )


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    """Runs before pytest-django reads the settings."""
    # Hundreds of processes are started from the same sources: nobody shall compile them each time.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if IS_CONTROLLER:
        _prepare_environment(early_config.known_args_namespace.db)
    worker = Path(os.environ["CONFIG_SERVER_TEST_RUN"]) / os.environ.get("PYTEST_XDIST_WORKER", "main")
    worker.mkdir(exist_ok=True)
    os.environ["VAR_DIR"] = str(worker / "var")
    os.environ["PROMETHEUS_RULE_DIR"] = str(worker / "rules")
    return (yield)


def _prepare_environment(database: str | None) -> None:
    global _run_folder, _database
    _run_folder = Path(tempfile.mkdtemp(prefix="config-server-tests-"))
    _run_folder.chmod(0o755)  # servers that refuse to run as root run as somebody else
    os.environ["CONFIG_SERVER_TEST_RUN"] = str(_run_folder)
    # A developer's own settings must not reach the tests, nor the tests a developer's servers.
    for name in OWN_SETTINGS:
        os.environ.pop(name, None)
    if database == "sqlite":
        os.environ.pop("DATABASE_URL", None)
    elif database == "postgresql":
        _database = PostgreSQL(_run_folder / "postgresql")
        _database.start()
        os.environ["DATABASE_URL"] = _database.url("postgres")
    if os.environ.get("DATABASE_URL"):
        os.environ["SECRET_KEY"] = secrets.token_urlsafe(50)  # production makes nobody one


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("full" if config.getoption("--full") else "default")
    if IS_CONTROLLER:  # asked to end, it takes its servers and folders with it, as by Ctrl-C
        signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Long tests go first: nobody waits for one in the end, and their waits are filled by what only computes."""
    for item in items:
        if item.nodeid.startswith(DATABASE_FOLDERS):
            item.add_marker("database")
    if not config.getoption("--full"):
        left_out = [item for item in items if "full" in item.keywords and item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]
    result = yield  # what -m and -k leave, in Django's order
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=_turn)
    return result


def _turn(item: pytest.Item) -> tuple[bool, int]:
    """First what was given more time than others, then what takes seconds, then the rest as it stands.

    Whatever empties the tables comes after all that is rolled back, as Django has it: migrations have filled some.
    """
    if item.get_closest_marker("timeout"):
        return _empties_tables(item), 0
    return _empties_tables(item), 1 if item.get_closest_marker("slow") else 2


def _empties_tables(item: pytest.Item) -> bool:
    fixtures = getattr(item, "fixturenames", ())
    marker = item.get_closest_marker("django_db")
    return (
        "transactional_db" in fixtures or "live_server" in fixtures or bool(marker and marker.kwargs.get("transaction"))
    )


def pytest_report_header() -> str:
    return f"database: {os.environ.get('DATABASE_URL', 'SQLite').partition(':')[0]}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("real servers")
    for server, starts in sorted(Counter(took_part.entries()).items()):
        terminalreporter.write_line(f"{server}: started {starts} times")
    for name, reason in binaries.missing().items():
        terminalreporter.write_line(f"could not be had: {name}: {reason}", yellow=True)


def pytest_unconfigure() -> None:
    if _database:
        _database.stop()
    if _run_folder:
        shutil.rmtree(_run_folder, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """A transactional test empties every table; whatever runs next finds the rows again that migrations made."""
    result = yield
    if nextitem is None:  # the database went with the last test
        return result
    marker = item.get_closest_marker("django_db")
    asked = {"transactional_db", "live_server"} & set(getattr(item, "fixturenames", ()))
    if asked or (marker is not None and marker.kwargs.get("transaction")):
        with item.config.stash[blocking_manager_key].unblock():
            _make_first_rows()
    return result


def _make_first_rows() -> None:
    from django.apps import apps

    from alerts.models import Namespace

    if not Namespace.objects.exists():
        importlib.import_module("migrations.0002_first_rows").seed(apps, None)
    importlib.import_module("migrations.0003_role_groups").make_groups(apps, None)
    importlib.import_module("migrations.0005_default_server").make_default_server(apps, None)
