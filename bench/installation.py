"""An installation of the product for one measurement: its own folder, database and Prometheus; gone afterwards."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.clocks import Spent, process_cpu
from tests.servers import binaries
from tests.servers.postgresql import PostgreSQL
from tests.servers.prometheus import PrometheusServer

ROOT = Path(__file__).resolve().parent.parent
NEVER = "1h"
# Settings of whoever runs this must not decide what is measured.
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PROMETHEUS", "PROMTOOL", "VIRTUAL_ENV", "PYTHONPATH")


class MeasuredPrometheus(PrometheusServer):
    """A real server whose CPU time is looked at. Evaluates and scrapes as seldom as it is told."""

    def __init__(self, *positional: Any, evaluation: str = NEVER, **named: Any) -> None:
        super().__init__(*positional, **named)
        self.evaluation = evaluation

    def configuration(self) -> dict[str, Any]:
        configuration = super().configuration()
        configuration["global"]["evaluation_interval"] = self.evaluation
        return configuration

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def cpu(self) -> float:
        return process_cpu(self.pid)

    def reload_cost(self) -> Spent:
        """Of one reload, from the request to the answer; what it collects as garbage later is not counted."""
        with Spent(self.pid) as spent:
            answer = self.reload()
        assert answer.ok, answer.text
        return spent


@dataclass(frozen=True)
class Installation:
    """``environment`` is what its processes are started with."""

    folder: Path
    rule_dir: Path
    environment: dict[str, str]


@contextmanager
def rule_server(**options: Any) -> Iterator[tuple[MeasuredPrometheus, Path]]:
    """A Prometheus, the newest there is, and the rule directory it loads ``current/*.yml`` from."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)))
        os.environ["CONFIG_SERVER_TEST_RUN"] = str(folder)
        rule_dir = folder / "rules"
        rule_dir.mkdir()
        server = MeasuredPrometheus(
            newest(), folder / "prometheus", rule_dir=rule_dir, **{"interval": NEVER, **options}
        )
        stack.callback(server.stop)
        server.start()
        yield server, rule_dir


def newest() -> binaries.PrometheusBinaries:
    releases = list(binaries.prometheus_releases().values())
    if not releases:
        raise SystemExit("bench: no Prometheus could be had: run scripts/fetch_tools.py prometheus-current")
    return releases[-1]


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of an empty database on a PostgreSQL of its own, without durability, as in the tests."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # it runs as somebody else where we are root
        os.environ["CONFIG_SERVER_TEST_RUN"] = name
        server = PostgreSQL(folder / "postgresql").start()
        try:
            yield server.create_database("bench")
        finally:
            server.stop()


@contextmanager
def installation(
    *, prometheus: str = "http://127.0.0.1:9", rule_dir: Path | None = None, database: str = "", **settings: str
) -> Iterator[Installation]:
    """Sets Django up in this process (once) with an empty, migrated database: SQLite, or what ``database`` names."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        rules = rule_dir or folder / "rules"
        rules.mkdir(exist_ok=True)
        environment = {variable: os.environ[variable] for variable in KEPT if variable in os.environ} | {
            "DJANGO_SETTINGS_MODULE": "config_server.settings",
            "VAR_DIR": str(folder / "var"),
            "PROMETHEUS_URL": prometheus,
            "PROMETHEUS_RULE_DIR": str(rules),
            "PROMTOOL_PATH": str(newest().promtool),
            "LOG_LEVEL": "ERROR",
            **settings,
            **({"DATABASE_URL": database, "SECRET_KEY": secrets.token_urlsafe(50)} if database else {}),
        }
        os.environ.clear()
        os.environ.update(environment)
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", interactive=False, verbosity=0)
        yield Installation(folder, rules, environment)
        from django.db import connections

        connections.close_all()
