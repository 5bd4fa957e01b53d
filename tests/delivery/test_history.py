"""What is kept of the past, and Prometheus servers that somebody else reloads."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.actions import file_contents, fleet_status, reconcile, releases, rules, status
from alerts.actions.deploy import deploy
from alerts.models import DEFAULT_SERVER, AlertRule, FileContent, Release
from tests.delivery.conftest import delivered, loaded_names
from tests.servers.prometheus import PrometheusServer


def test_old_releases_go_with_the_bytes_only_they_held(
    deployed: Release, server: PrometheusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "HISTORY", 2)
    rule = AlertRule.objects.get()
    kept = [
        delivered(deploy("test"))
        for value in range(1, 5)
        if rules.update(rule.pk, {"query_template": f"up == {value}"})
    ]
    assert FileContent.objects.count() == 5
    releases.forget_old(DEFAULT_SERVER)
    file_contents.forget_contents()
    assert set(Release.objects.values_list("pk", flat=True)) == {release.pk for release in kept[-2:]}
    assert FileContent.objects.count() == 2
    assert reconcile.reconcile().changed is False


def test_a_release_that_somebody_else_loads_is_verified_when_it_is_seen(server: PrometheusServer, product: Any) -> None:
    product.PROMETHEUS_RELOAD_ENABLED = False
    rules.create({"name": "Down", "query_template": "up == 0"})
    release = deploy("test").release
    assert release is not None
    assert (release.state, loaded_names(server)) == ("active", set())
    assert reconcile.reconcile().changed is False
    assert status.status()["in_sync"] is False
    server.reload()
    reconcile.reconcile()
    release.refresh_from_db()
    assert release.state == "verified"
    assert status.status()["in_sync"] is True


def test_a_server_that_is_away_is_told_of_though_nothing_is_to_be_delivered(
    deployed: Release, server: PrometheusServer
) -> None:
    def standing() -> fleet_status.Standing:
        return fleet_status.standings([(DEFAULT_SERVER, "directory", True)])[DEFAULT_SERVER]

    reconcile.reconcile()
    assert standing().unreachable == ""
    server.stop()
    reconcile.reconcile()
    assert (standing().in_sync, "cannot be reached" in standing().unreachable) == (False, True)
    assert status.status()["warnings"] == [], "it has just been asked: that is told as the error"
    server.start()
    reconcile.reconcile()
    assert standing().unreachable == ""
