"""What deliveries leave in the counters: each attempt once, drift by where it was found, and when it was put right."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from alerts.actions import rules, telemetry
from alerts.actions.deploy import deploy
from alerts.actions.reconcile import reconcile
from alerts.models import Release
from tests.delivery.conftest import delivered
from tests.servers.prometheus import PrometheusServer

Committing = Callable[..., AbstractContextManager[Any]]


def counted(name: str, **labels: str) -> float:
    return telemetry.counted().get(telemetry.series(name, **labels), 0.0)


def test_a_delivery_is_counted_once_with_all_its_phases(
    server: PrometheusServer, django_capture_on_commit_callbacks: Committing
) -> None:
    rules.create({"name": "Down", "query_template": "up == 0"})
    with django_capture_on_commit_callbacks(execute=True):
        delivered(deploy("test"))
        assert not deploy("test").changed
    assert counted(telemetry.RELEASES, outcome="verified") == 1
    assert counted(f"{telemetry.COMMIT_TO_LOADED}_count") == 1
    for phase in ("compile", "stage", "promtool", "swap", "reload", "read_back"):
        assert counted(f"{telemetry.PHASE_SECONDS}_count", phase=phase) == 1, phase
    assert {
        phase for phase in telemetry.COMPILE_PHASES if counted(f"{telemetry.COMPILE_SECONDS}_sum", phase=phase)
    } == set(telemetry.COMPILE_PHASES)


def test_a_delivery_that_fails_is_counted_once(
    deployed: Release, server: PrometheusServer, django_capture_on_commit_callbacks: Committing
) -> None:
    rules.create({"name": "Up", "query_template": "up == 1"})
    server.stop()
    with django_capture_on_commit_callbacks(execute=True):
        deploy("test")
    assert counted(telemetry.RELEASES, outcome="failed") == 1
    assert counted(telemetry.RELEASES, outcome="verified") == 0


def test_drift_on_disk_is_counted_and_its_healing(
    deployed: Release, rule_dir: Path, django_capture_on_commit_callbacks: Committing
) -> None:
    next((rule_dir / "current").glob("*.yml")).chmod(0o644)
    with django_capture_on_commit_callbacks(execute=True):
        reconcile()
        reconcile()
    assert counted(telemetry.DRIFT_FOUND, server="default", where="disk") == 1
    assert counted(telemetry.DRIFT_HEALED, server="default") == 1


def test_drift_in_what_is_loaded_is_counted_and_its_healing(
    deployed: Release, server: PrometheusServer, rule_dir: Path, django_capture_on_commit_callbacks: Committing
) -> None:
    server.rule_files = []
    server.write_config()
    server.reload()
    server.rule_files = [f"{rule_dir}/current/*.yml"]
    server.write_config()
    with django_capture_on_commit_callbacks(execute=True):
        reconcile()
        reconcile()
    assert counted(telemetry.DRIFT_FOUND, server="default", where="loaded") >= 1
    assert counted(telemetry.DRIFT_FOUND, server="default", where="disk") == 0
    assert counted(telemetry.DRIFT_HEALED, server="default") == 1
