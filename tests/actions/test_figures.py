"""What ``/metrics`` says of each server, read from the rows."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from alerts.actions import prometheus_servers, rules
from alerts.actions.figures import figures
from alerts.models import AlertRule, PolicyState, PrometheusServer, Release, ServerState

pytestmark = pytest.mark.django_db
NOW = timezone.now


def of(name: str, server: str = "default") -> float | None:
    """The value of a server's gauge; None when it has none."""
    found = {figure.name: figure.samples for figure in figures()}
    return found[f"config_server_{name}"].get((server,))


def single(name: str) -> float:
    return {figure.name: figure.samples for figure in figures()}[f"config_server_{name}"][()]


@pytest.fixture
def state() -> ServerState:
    """In sync with a policy of one rule."""
    rules.create({"name": "Down", "query_template": "up == 0"})
    revision = PolicyState.current()
    release = Release.objects.create(revision=revision, state="verified")
    values = {"loaded_revision": revision, "loaded_release": release}
    return ServerState.objects.update_or_create(pk="default", defaults=values)[0]


def committed(ago: float) -> AlertRule:
    """A rule that was written so many seconds ago."""
    rule = rules.create({"name": f"Rule{AlertRule.objects.count()}", "query_template": "up == 0"})
    AlertRule.objects.filter(pk=rule.pk).update(updated_at=NOW() - timedelta(seconds=ago))
    return rule


def test_a_server_in_sync_is_not_behind(state: ServerState) -> None:
    assert (of("behind_seconds"), single("servers_due"), single("due_oldest_seconds")) == (0, 0, 0)
    assert of("wanted_revision") == of("loaded_revision") == PolicyState.current()


@pytest.mark.parametrize(
    ("values", "reachable"),
    [
        ({}, 1),
        ({"last_error": {"code": "prometheus_unavailable", "message": "connection refused"}}, 0),
        ({"last_error": {"code": "full", "message": "no space left"}}, 1),
        ({"last_error": {"code": "full", "message": "no space left"}, "checked_at": NOW() - timedelta(hours=1)}, 0),
    ],
    ids=["in sync", "no delivery, as it does not answer", "no delivery for another reason", "nobody looks any more"],
)
def test_a_server_is_reachable_as_far_as_is_known_of_late(
    state: ServerState, values: dict[str, Any], reachable: int
) -> None:
    ServerState.objects.update(**values)
    assert of("reachable") == reachable


def test_behind_is_counted_from_the_oldest_change_that_is_not_loaded(state: ServerState) -> None:
    committed(90)
    committed(30)
    assert of("behind_seconds") == pytest.approx(90, abs=5)
    assert (single("servers_due"), single("due_oldest_seconds")) == (1, pytest.approx(90, abs=5))
    assert of("wanted_revision") == PolicyState.current() > (of("loaded_revision") or 0)


def test_a_new_server_is_behind_since_it_was_made(state: ServerState, tmp_path: Path, settings: Any) -> None:
    settings.PROMETHEUS_RULE_ROOTS = (str(tmp_path),)
    committed(10_000)
    eu = prometheus_servers.create({"name": "eu", "url": "http://127.0.0.1:9"})
    assert 0 < (of("behind_seconds", "eu") or 0) < 60
    PrometheusServer.objects.filter(pk=eu.pk).update(created_at=NOW() - timedelta(seconds=500))
    assert of("behind_seconds", "eu") == pytest.approx(500, abs=5)
    committed(100)
    assert of("behind_seconds", "eu") == pytest.approx(500, abs=5)
    revision = PolicyState.current()
    ServerState.objects.update_or_create(pk="eu", defaults={"loaded_revision": revision})
    committed(100)
    assert of("behind_seconds", "eu") == pytest.approx(100, abs=5), "it had loaded the others"


@pytest.mark.parametrize(
    "change", [{"url": "http://127.0.0.1:10"}, {"delivery": "agent"}, {"enabled": True}, "restored"]
)
def test_a_server_that_was_enabled_or_moved_is_behind_since_then(
    state: ServerState, tmp_path: Path, settings: Any, change: Any
) -> None:
    settings.PROMETHEUS_RULE_ROOTS = (str(tmp_path),)
    committed(10_000)
    failed = {"server": "eu", "revision": PolicyState.current(), "state": "failed"}
    eu = prometheus_servers.create({"name": "eu", "url": "http://127.0.0.1:9"})
    prometheus_servers.update(eu.pk, {"enabled": change != {"enabled": True}})
    PrometheusServer.objects.filter(pk=eu.pk).update(created_at=NOW() - timedelta(seconds=9_000))
    Release.objects.create(**failed, committed_at=NOW() - timedelta(seconds=9_500))
    if change == "restored":
        prometheus_servers.delete([eu.pk])
        prometheus_servers.restore([eu.pk])
    else:
        assert of("behind_seconds", "eu") == pytest.approx(9_000 if change != {"enabled": True} else 0, abs=5)
        prometheus_servers.update(eu.pk, change)
    assert 0 < (of("behind_seconds", "eu") or 0) < 60
    prometheus_servers.update(eu.pk, {"description": "said again"})
    ServerState.objects.filter(pk="eu").update(wanted_since=NOW() - timedelta(seconds=70))
    assert of("behind_seconds", "eu") == pytest.approx(70, abs=5)


def test_what_was_just_committed_is_behind_too(state: ServerState) -> None:
    committed(0)
    assert (of("behind_seconds") or 0) > 0


def test_a_rule_that_is_written_again_and_again_does_not_hide_that_nothing_arrives(state: ServerState) -> None:
    rule = committed(5)
    failed = Release.objects.create(revision=rule.revision, state="failed", committed_at=NOW() - timedelta(hours=1))
    assert of("behind_seconds") == pytest.approx(3600, abs=5)
    Release.objects.filter(pk=failed.pk).update(server="another")
    assert of("behind_seconds") == pytest.approx(5, abs=5)


def test_purged_rows_leave_a_server_behind_too(state: ServerState) -> None:
    PolicyState.objects.update(revision=PolicyState.current() + 1, changed_at=NOW() - timedelta(seconds=40))
    assert of("behind_seconds") == pytest.approx(40, abs=5)


@pytest.mark.parametrize("fields", [{"enabled": False}, {"deleted_at": "2026-01-01T00:00:00Z"}])
def test_a_server_that_is_not_delivered_to_is_not_behind(state: ServerState, fields: dict[str, Any]) -> None:
    committed(90)
    PrometheusServer.objects.update(**fields)
    assert not of("behind_seconds")
    assert of("server_enabled") == (None if "deleted_at" in fields else 0)


def test_a_pinned_server_is_where_it_should_be(state: ServerState) -> None:
    old = Release.objects.create(revision=1, state="superseded")
    ServerState.objects.update(pinned_release=old)
    committed(90)
    assert (of("pinned"), of("behind_seconds"), of("wanted_revision")) == (1, 0, 1)


def test_a_lease_is_held_until_it_runs_out(state: ServerState) -> None:
    assert of("lease_held") == 0
    ServerState.objects.update(lease_holder="x", lease_until=NOW() + timedelta(seconds=10))
    assert of("lease_held") == 1
    ServerState.objects.update(lease_until=NOW() - timedelta(seconds=1))
    assert of("lease_held") == 0


def test_an_agent_that_was_never_heard_of_is_missing_since_its_server_was_made(state: ServerState) -> None:
    assert of("agent_seen_seconds") is None
    made = PrometheusServer.objects.create(name="eu", delivery="agent")
    PrometheusServer.objects.filter(pk=made.pk).update(created_at=NOW() - timedelta(hours=1))
    assert of("agent_seen_seconds", "eu") == pytest.approx(3600, abs=5)
    ServerState.objects.create(name="eu", agent_seen_at=NOW() - timedelta(seconds=10))
    assert of("agent_seen_seconds", "eu") == pytest.approx(10, abs=5)


def test_how_long_the_last_change_took(state: ServerState) -> None:
    assert of("last_commit_to_loaded_seconds") is None
    now = NOW()
    Release.objects.update(committed_at=now - timedelta(seconds=2), verified_at=now)
    assert of("last_commit_to_loaded_seconds") == 2


def test_many_servers_cost_no_more_queries(state: ServerState, django_assert_max_num_queries: Any) -> None:
    PrometheusServer.objects.bulk_create(PrometheusServer(name=f"s{number}") for number in range(20))
    with django_assert_max_num_queries(24):
        assert of("behind_seconds", "s19") is not None
