"""Whether this process can serve, asked without waiting for what hangs.

Ready means: the database answers, it has all its tables, and the settings are sound. What only hinders deliveries, the
broker or a Prometheus, is told and does not count: edits are accepted meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as OutOfPatience
from dataclasses import dataclass

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor

from alerts.actions.asides import begun
from alerts.adapters.broker import waiting
from alerts.models import PrometheusServer, ServerState

PATIENCE = 2.0


@dataclass(frozen=True)
class Check:
    """``needed``: without it nothing can be served."""

    name: str
    ok: bool
    detail: str
    needed: bool = True


def checks() -> list[Check]:
    """Every check, in the order in which to mend them."""
    found = [_settings()]
    found += _of_database.ask()
    if settings.CELERY_BROKER_URL:
        found.append(_broker(settings.CELERY_BROKER_URL))
    return found


def _settings() -> Check:
    wrong = [problem.id for problem in settings.ENVIRONMENT_PROBLEMS]
    return Check("settings", not wrong, f"wrong: {', '.join(wrong)}" if wrong else "sound")


def _broker(url: str) -> Check:
    up = waiting(url, ()) is not None
    detail = "answers" if up else "does not answer; edits are accepted, and workers find them by themselves"
    return Check("broker", up, detail, needed=False)


class AskedAside:
    """Asks in another thread, for at most two seconds; who hangs is not asked again until it lets go."""

    def __init__(self, question: Callable[[], list[Check]], silent: list[Check]) -> None:
        self._question = question
        self._silent = silent
        self._lock = threading.Lock()
        self._asked: Future[list[Check]] | None = None

    def ask(self) -> list[Check]:
        with self._lock:
            if self._asked is None or self._asked.done():
                self._asked = begun(self._question)
            asked = self._asked
        try:
            return asked.result(PATIENCE)
        except OutOfPatience:
            return self._silent


def _database() -> list[Check]:
    """On a connection of this thread's own, given back at the end."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return [Check("database", True, "answers"), _migrations(), *_servers()]
    except (DatabaseError, InterfaceError):
        return AWAY
    finally:
        connection.close()


AWAY = [Check("database", False, "cannot be reached")]
_of_database = AskedAside(_database, [Check("database", False, f"does not answer within {PATIENCE:g} s")])
_migrated = False


def _migrations() -> Check:
    global _migrated
    # Tables do not go away again: looked up until they are there.
    _migrated = _migrated or not unapplied()
    return Check("migrations", _migrated, "applied" if _migrated else "not applied; run manage.py migrate")


def unapplied() -> int:
    """How many migrations the database lacks."""
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def _servers() -> list[Check]:
    if not _migrated:
        return []
    enabled = set(PrometheusServer.objects.living().filter(enabled=True).values_list("name", flat=True))
    failing = ServerState.objects.filter(name__in=enabled, failures__gt=0).count()
    detail = f"{failing} of {len(enabled)} servers could not be delivered to"
    return [Check("prometheus", not failing, detail if failing else "no delivery failed", needed=False)]
