"""Rare events, counted in the database: by every process into the same rows, and never at a delivery's cost."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from alerts.actions import telemetry
from alerts.actions.figures import figures
from alerts.actions.telemetry import series
from alerts.models import Release, Tally

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def nothing_was_compiled() -> None:
    telemetry._compiled()


def counted(name: str, **labels: str) -> float:
    return telemetry.counted().get(series(name, **labels), 0.0)


def a_release(**fields: Any) -> Release:
    now = timezone.now()
    made = {"revision": 7, "state": "verified", "verified_at": now, "committed_at": now - timedelta(seconds=3)}
    return Release(**made | {"timings": {"compile": 0.5, "reload": 0.25, "unknown": 9.0}} | fields)


def test_a_release_is_counted_by_outcome_phase_and_time() -> None:
    telemetry.note_release(a_release())
    telemetry.note_release(a_release(verified_at=timezone.now() + timedelta(seconds=40)))
    telemetry.note_release(a_release(state="failed", verified_at=None))
    assert counted(telemetry.RELEASES, outcome="verified") == 2
    assert counted(telemetry.RELEASES, outcome="failed") == 1
    assert counted(f"{telemetry.PHASE_SECONDS}_sum", phase="compile") == 1.5
    assert counted(f"{telemetry.PHASE_SECONDS}_count", phase="reload") == 3
    assert counted(f"{telemetry.PHASE_SECONDS}_count", phase="unknown") == 0
    assert counted(f"{telemetry.COMMIT_TO_LOADED}_count") == 2
    assert counted(f"{telemetry.COMMIT_TO_LOADED}_sum") == pytest.approx(46, abs=1)
    buckets = {bound: counted(f"{telemetry.COMMIT_TO_LOADED}_bucket", le=bound) for bound in ("2.5", "5", "30", "60")}
    assert buckets == {"2.5": 0, "5": 1, "30": 1, "60": 2}


def test_time_spent_compiling_is_counted_with_the_next_release(django_assert_num_queries: Any) -> None:
    with telemetry.timed("compile"), telemetry.timed("load"):
        pass
    assert not Tally.objects.exists()
    with django_assert_num_queries(1):
        telemetry.note_release(a_release())
    telemetry.note_release(a_release())
    assert counted(f"{telemetry.COMPILE_SECONDS}_count", phase="compile") == 1
    assert counted(f"{telemetry.COMPILE_SECONDS}_count", phase="load") == 1


def test_a_state_that_is_no_end_is_not_counted() -> None:
    telemetry.note_release(a_release(state="superseded", committed_at=None, timings={}))
    assert not Tally.objects.exists()


def test_one_event_is_one_statement(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        telemetry.note_release(a_release())


def test_drift_is_counted_by_server_and_place() -> None:
    telemetry.note_drift("eu", on_disk=2)
    telemetry.note_drift("eu", on_disk=1, loaded=4)
    telemetry.note_drift("us")
    telemetry.note_healed("eu")
    assert counted(telemetry.DRIFT_FOUND, server="eu", where="disk") == 3
    assert counted(telemetry.DRIFT_FOUND, server="eu", where="loaded") == 4
    assert counted(telemetry.DRIFT_HEALED, server="eu") == 1
    assert not any("us" in labels for _, labels in telemetry.counted())


def test_nothing_is_lost_between_processes_that_count_at_once() -> None:
    def count() -> None:
        try:
            for _ in range(25):
                telemetry.note_release(a_release())
        finally:
            connection.close()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted(telemetry.RELEASES, outcome="verified") == 100
    assert counted(f"{telemetry.PHASE_SECONDS}_sum", phase="compile") == 50


def test_what_is_rolled_back_did_not_happen() -> None:
    class Never(Exception):
        pass

    with pytest.raises(Never), transaction.atomic():
        telemetry.note_healed("eu")
        raise Never
    assert not Tally.objects.exists()
    with transaction.atomic():
        telemetry.note_healed("eu")
        assert not Tally.objects.exists()
    assert counted(telemetry.DRIFT_HEALED, server="eu") == 1


def test_a_delivery_does_not_fail_because_it_cannot_be_counted(caplog: pytest.LogCaptureFixture) -> None:
    def down(execute: Any, sql: str, *more: Any) -> Any:
        if "alerts_tally" in sql:
            raise OperationalError("gone")
        return execute(sql, *more)

    with connection.execute_wrapper(down):
        telemetry.note_release(a_release())
        with transaction.atomic():
            telemetry.note_healed("eu")
    assert caplog.text.count("was not counted: gone") == 2
    telemetry.note_healed("eu")
    assert counted(telemetry.DRIFT_HEALED, server="eu") == 1


def test_every_series_is_there_before_its_first_event() -> None:
    """Or the increase of a first event could not be seen."""
    found = {figure.name: figure for figure in figures()}
    assert found[telemetry.RELEASES].samples == {(outcome,): 0.0 for outcome in telemetry.OUTCOMES}
    assert found[telemetry.DRIFT_FOUND].samples == {("default", "disk"): 0.0, ("default", "loaded"): 0.0}
    assert found[telemetry.PHASE_SECONDS].summaries[("swap",)] == (0.0, 0.0)
    buckets, total = found[telemetry.COMMIT_TO_LOADED].histograms[()]
    assert (buckets[-1], total) == (("+Inf", 0.0), 0.0)
