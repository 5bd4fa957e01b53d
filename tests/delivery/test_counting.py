"""What deliveries leave in the counters: each attempt once, drift by where it was found, and when it was put right."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError

from alerts.actions import delivery, rules, telemetry
from alerts.actions.deploy import deploy
from alerts.actions.reconcile import reconcile
from alerts.adapters.release_store import ReleaseStore, StoreError
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


@pytest.fixture
def damaged(deployed: Release, rule_dir: Path) -> None:
    """A delivered file that somebody has emptied."""
    file = next((rule_dir / "current").glob("*.yml"))
    file.chmod(0o644)
    file.write_text("groups: []\n")


def test_drift_is_counted_and_told_when_the_disk_then_says_no(
    damaged: None, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Committing
) -> None:
    rules.create({"name": "Up", "query_template": "up == 1"})

    def full(*_: Any) -> None:
        raise StoreError("full", "no room")

    monkeypatch.setattr(ReleaseStore, "_write", full)
    with django_capture_on_commit_callbacks(execute=True):
        release = deploy("test").release
    assert release is not None
    assert release.state == "failed"
    assert [warning["code"] for warning in release.warnings] == ["drift_on_disk"]
    assert counted(telemetry.DRIFT_FOUND, server="default", where="disk") == 1


def test_drift_that_is_mended_by_who_is_interrupted_then_is_counted(
    damaged: None, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Committing
) -> None:
    def away(*_: Any) -> None:
        raise OperationalError("the database went away")

    with monkeypatch.context() as patch, django_capture_on_commit_callbacks(execute=True):
        patch.setattr(delivery.ReleaseJournal, "entered", away)
        with pytest.raises(OperationalError):
            deploy("test")
    assert counted(telemetry.DRIFT_FOUND, server="default", where="disk") == 1


def test_a_mode_that_cannot_be_mended_is_told_each_time(
    deployed: Release, rule_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is somebody else's directory."""
    (rule_dir / "releases").chmod(0o775)
    chmod = os.chmod

    def refuse(path: Any, *given: Any, **named: Any) -> None:
        if Path(path) == rule_dir / "releases":
            raise PermissionError(1, "Operation not permitted", str(path))
        chmod(path, *given, **named)

    monkeypatch.setattr(os, "chmod", refuse)
    release = deploy("test").release
    assert release is not None
    assert [(warning["code"], warning["kind"]) for warning in release.warnings] == [("drift_on_disk", "mode")]
