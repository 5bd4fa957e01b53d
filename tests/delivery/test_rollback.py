"""Going back by hand pins the server until it is resumed; edits are accepted meanwhile."""

from __future__ import annotations

import pytest

from alerts.actions import plan, prometheus_servers, reconcile, rollback, rules, status
from alerts.actions.deploy import deploy
from alerts.actions.errors import NotFound, PolicyConflict
from alerts.actions.lease import held
from alerts.models import PrometheusServer as PrometheusServer_
from alerts.models import Release
from tests.delivery.conftest import delivered, loaded_names
from tests.servers.prometheus import PrometheusServer


def test_a_pinned_server_keeps_the_old_rules_until_it_is_resumed(deployed: Release, server: PrometheusServer) -> None:
    rules.create({"name": "Second", "query_template": "up == 1"})
    delivered(deploy("test"))
    assert loaded_names(server) == {"Down", "Second"}

    back = rollback.roll_back(deployed.pk)
    assert (back.state, back.content_hash) == ("verified", deployed.content_hash)
    assert loaded_names(server) == {"Down"}

    rules.create({"name": "Third", "query_template": "up == 2"})
    assert deploy("test").changed is False
    assert reconcile.reconcile().changed is False
    assert loaded_names(server) == {"Down"}
    found = status.status()
    assert (found["pinned"], found["in_sync"]) == (deployed.pk, False)
    assert plan.plan()["pinned"] == deployed.pk
    assert {rule["name"] for rule in plan.plan()["rules"]["added"]} == {"Second", "Third"}

    assert rollback.resume()["pinned"] is None
    assert loaded_names(server) == {"Down", "Second", "Third"}


def test_drift_of_a_pinned_server_is_healed_towards_the_pin(
    deployed: Release, server: PrometheusServer, rule_dir: object
) -> None:
    rules.create({"name": "Second", "query_template": "up == 1"})
    delivered(deploy("test"))
    rollback.roll_back(deployed.pk)
    (rule_dir / "current").unlink()  # type: ignore[operator]
    server.reload()
    delivered(reconcile.reconcile())
    assert loaded_names(server) == {"Down"}


def test_only_what_was_verified_can_be_gone_back_to(deployed: Release, server: PrometheusServer) -> None:
    server.stop()
    rules.create({"name": "Second", "query_template": "up == 1"})
    failed = deploy("test").release
    assert failed is not None
    with pytest.raises(PolicyConflict, match="never seen"):
        rollback.roll_back(failed.pk)


def test_what_a_deleted_namesake_held_is_not_gone_back_to(deployed: Release, server: PrometheusServer) -> None:
    """Its selector and its place were others."""
    default = PrometheusServer_.objects.get()
    prometheus_servers.delete([default.pk])
    prometheus_servers.create({"name": "default", "url": server.url})
    rules.create({"name": "Second", "query_template": "up == 1"})
    delivered(deploy("test"))
    with pytest.raises(PolicyConflict, match="another server called default"):
        rollback.roll_back(deployed.pk)
    assert status.status()["pinned"] is None
    assert loaded_names(server) == {"Down", "Second"}


def test_while_another_process_is_at_it_the_answer_is_what_will_be_delivered(
    deployed: Release, server: PrometheusServer
) -> None:
    rules.create({"name": "Second", "query_template": "up == 1"})
    delivered(deploy("test"))
    with held("default"):
        pending = rollback.roll_back(deployed.pk, timeout=0.2)
    assert (pending.state, pending.finished_at) == ("pending", None)
    assert loaded_names(server) == {"Down", "Second"}
    assert delivered(deploy("the next worker")) == pending
    assert loaded_names(server) == {"Down"}


def test_an_unknown_release_is_not_found(db: None) -> None:
    with pytest.raises(NotFound):
        rollback.roll_back(12345)
