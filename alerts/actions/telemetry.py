"""Counts rare events where every process of the fleet can see them: rows of ``Tally``, one per series.

Laws kept here: one event is one statement; counting happens after the transaction that it tells of, and never fails it;
and what is counted has few label values (a release's outcome, a phase; a server's name only for drift).
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from django.db import DatabaseError, InterfaceError, connection, transaction
from django.utils import timezone

from alerts.models import Release, Tally

logger = logging.getLogger(__name__)

COMMIT_TO_LOADED = "config_server_commit_to_loaded_seconds"
RELEASES = "config_server_releases_total"
DRIFT_FOUND = "config_server_drift_found_total"
DRIFT_HEALED = "config_server_drift_healed_total"
PHASE_SECONDS = "config_server_delivery_phase_seconds"
COMPILE_SECONDS = "config_server_compile_seconds"

BUCKETS = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
OUTCOMES = ("verified", "active", "rejected", "rolled_back", "failed")
PHASES = ("compile", "render", "stage", "promtool", "health", "swap", "reload", "read_back", "rollback")
COMPILE_PHASES = ("load", "compile", "restrict", "render")

Series = tuple[str, str]
"""A metric's name, and its labels as canonical JSON."""

_lock = threading.Lock()
_compiling: Counter[Series] = Counter()


def note_release(release: Release, state: str | None = None) -> None:
    """An attempt ended in ``state`` (default: the release's own): counts outcome, phases, and commit to loaded."""
    state = state or release.state
    events: Counter[Series] = Counter()
    if state in OUTCOMES:
        events[series(RELEASES, outcome=state)] += 1
    for phase, seconds in release.timings.items():
        if phase in PHASES:
            events += _observed(PHASE_SECONDS, seconds, phase=phase)
    if state == Release.State.VERIFIED and release.committed_at is not None:
        waited = ((release.verified_at or timezone.now()) - release.committed_at).total_seconds()
        events += _histogram(COMMIT_TO_LOADED, max(0.0, waited))
    _count(events + _compiled())


@contextmanager
def timed(phase: str) -> Iterator[None]:
    """A phase of compiling (``COMPILE_PHASES``): kept by this process, and counted with the next release it delivers.

    So those that only answer questions write nothing.
    """
    start = time.perf_counter()
    try:
        yield
    finally:
        took = _observed(COMPILE_SECONDS, time.perf_counter() - start, phase=phase)
        with _lock:
            _compiling.update(took)


def _compiled() -> Counter[Series]:
    with _lock:
        taken = _compiling.copy()
        _compiling.clear()
    return taken


def note_drift(server: str, on_disk: int = 0, loaded: int = 0) -> None:
    """So many differences were found, on disk and in what the server has loaded."""
    found = {"disk": on_disk, "loaded": loaded}
    _count(Counter({series(DRIFT_FOUND, server=server, where=where): count for where, count in found.items() if count}))


def note_healed(server: str) -> None:
    """What had drifted on this server is as it should be again."""
    _count(Counter({series(DRIFT_HEALED, server=server): 1}))


def series(name: str, **labels: str) -> Series:
    return name, json.dumps(labels, sort_keys=True, separators=(",", ":"))


def _observed(name: str, seconds: float, **labels: str) -> Counter[Series]:
    return Counter({series(f"{name}_sum", **labels): seconds, series(f"{name}_count", **labels): 1})


def _histogram(name: str, seconds: float) -> Counter[Series]:
    """Each bucket holds what is not above its bound, as Prometheus has it."""
    reached = Counter({series(f"{name}_bucket", le=f"{bound:g}"): 1 for bound in BUCKETS if seconds <= bound})
    return reached + _observed(name, seconds)


def _count(events: Mapping[Series, float]) -> None:
    """Once the transaction around is committed; at once where there is none."""
    if events:
        transaction.on_commit(lambda: _add(events), robust=True)


def _add(events: Mapping[Series, float]) -> None:
    try:
        # In one order everywhere: two that count the same series at once never wait for each other in a circle.
        add(sorted((name, labels, value) for (name, labels), value in events.items()))
    except (DatabaseError, InterfaceError) as error:
        logger.warning("an event was not counted: %s", error)


def add(rows: Iterable[tuple[str, str, float]]) -> None:
    """Adds to each series, in one statement; SQLite and PostgreSQL understand the same."""
    parameters = [value for row in rows for value in row]
    table = connection.ops.quote_name(Tally._meta.db_table)
    places = ", ".join(["(%s, %s, %s)"] * (len(parameters) // 3))
    sql = (
        f"INSERT INTO {table} (name, labels, value) VALUES {places} "  # noqa: S608  (only our own table's name)
        f"ON CONFLICT (name, labels) DO UPDATE SET value = {table}.value + excluded.value"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def counted() -> dict[Series, float]:
    """Every series, as far as anything was counted."""
    return {(name, labels): value for name, labels, value in Tally.objects.values_list("name", "labels", "value")}


def age(moment: datetime | None, now: datetime) -> float:
    """Seconds since, never below 0: clocks of several machines differ."""
    return max(0.0, (now - moment).total_seconds()) if moment is not None else 0.0
