"""Which servers need something now, from the rows alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts.actions import prometheus_servers, rules
from alerts.actions.deploy import request
from alerts.actions.due import due, glance, survey
from alerts.models import PolicyState, PrometheusServer, Release, ServerState

pytestmark = [pytest.mark.database, pytest.mark.django_db]
REVISION = 10
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def policy() -> None:
    PolicyState.objects.update_or_create(pk=1, defaults={"revision": REVISION})
    PrometheusServer.objects.all().delete()


def release(name: str, revision: int = REVISION, state: str = "verified", content: str = "a") -> Release:
    return Release.objects.create(server=name, revision=revision, state=state, content_hash=content * 64)


def server(name: str = "one", *, enabled: bool = True, delivery: str = "directory", **state: Any) -> None:
    """A server that holds the policy, unless said otherwise."""
    PrometheusServer.objects.create(name=name, enabled=enabled, delivery=delivery)
    values: dict[str, Any] = {"loaded_revision": REVISION, "checked_at": timezone.now()} | state
    if "loaded_release" not in values:
        values["loaded_release"] = release(name, values["loaded_revision"])
    ServerState.objects.create(name=name, **values)


def whys() -> dict[str, str]:
    return {need.server: need.why for need in due()}


def test_who_holds_the_policy_needs_nothing() -> None:
    server()
    assert whys() == {}


def test_who_is_behind_needs_the_policy() -> None:
    server(loaded_revision=REVISION - 1)
    assert whys() == {"one": "policy"}


@pytest.mark.parametrize("known", [False, True])
def test_who_never_held_anything_is_delivered_to_at_once(known: bool) -> None:
    PrometheusServer.objects.create(name="one")
    if known:
        ServerState.objects.create(name="one")
    assert whys() == {"one": "never_seen"}


def test_who_is_not_enabled_or_deleted_needs_nothing() -> None:
    server("off", enabled=False, loaded_revision=1)
    server("gone", loaded_revision=1)
    PrometheusServer.objects.filter(name="gone").update(deleted_at=timezone.now())
    assert survey().servers == ()
    assert whys() == {}


def test_what_somebody_asked_for_is_due() -> None:
    server()
    release("one", state="pending")
    assert whys() == {"one": "pending"}


@pytest.mark.parametrize(
    ("left", "tried", "why"),
    [
        (MINUTE, REVISION, None),
        (-MINUTE, REVISION, "retry"),
        (timedelta(hours=5), REVISION, "retry"),  # a clock was put back
        (MINUTE, REVISION - 1, "policy"),  # something new is tried at once
    ],
)
def test_after_a_failure_the_same_waits_for_its_time(left: timedelta, tried: int, why: str | None) -> None:
    failed = release("one", tried, "failed", "b")
    server(
        loaded_revision=REVISION - 2,
        retry_at=timezone.now() + left,
        failures=3,
        last_error={"release": failed.pk, "message": "down"},
    )
    assert whys() == ({"one": why} if why else {})
    assert ("one" in survey().waiting) is (why is None)


def test_a_pinned_server_needs_its_pin_and_not_the_policy() -> None:
    old = release("one", 3, content="b")
    server(pinned_release=old, loaded_revision=5)
    assert whys() == {"one": "pin"}
    ServerState.objects.update(loaded_release=release("one", 5, content="b"))
    assert whys() == {}


def test_what_is_offered_to_an_agent_is_out_of_our_hands() -> None:
    server(delivery="agent", loaded_revision=REVISION - 3, offered_release=release("one", state="staged"))
    assert whys() == {}
    ServerState.objects.update(offered_release=release("one", REVISION - 1, "staged"))
    assert whys() == {"one": "policy"}


def test_who_was_not_looked_at_for_long_comes_first() -> None:
    now = timezone.now()
    server("fresh")
    server("old", checked_at=now - MINUTE)
    server("older", checked_at=now - 2 * MINUTE)
    server("never", checked_at=None)
    server("ahead", checked_at=now + timedelta(hours=1))  # written before a clock was put back
    server("due", checked_at=None, loaded_revision=1)
    assert survey().stale(30.0) == ["ahead", "never", "older", "old"]


def test_a_hundred_servers_take_as_many_queries_as_one() -> None:
    counts = []
    for number in range(100):
        name = f"prom-{number:03}"
        failed = release(name, REVISION, "failed", "b")
        server(name, loaded_revision=5, retry_at=timezone.now() + MINUTE, last_error={"release": failed.pk})
        if number in (0, 99):
            with CaptureQueriesContext(
                connection,
            ) as queries:
                survey()
            counts.append(len(queries))
    assert counts == [4, 4]


def test_a_glance_sees_edits_of_policy_and_servers_what_is_asked_for_pins_and_retries() -> None:
    seen = [glance(), glance()]
    assert seen[0] == seen[1]
    rules.create({"name": "R", "query_template": "up == 1"})
    seen.append(glance())
    row = prometheus_servers.create({"name": "one", "url": "http://127.0.0.1:9"})
    seen.append(glance())
    prometheus_servers.update(row.pk, {"enabled": False})
    seen.append(glance())
    prometheus_servers.update(row.pk, {"enabled": True})
    seen.append(glance())
    pending = request("test", server="one").release
    seen.append(glance())
    ServerState.objects.update_or_create(pk="one", defaults={"pinned_release": pending})
    seen.append(glance())
    ServerState.objects.update(retry_at=timezone.now() + MINUTE)
    seen.append(glance())
    assert len(set(seen)) == len(seen) - 1


def test_a_glance_before_the_first_edit_finds_nothing() -> None:
    PolicyState.objects.all().delete()
    assert glance() == glance()


@pytest.mark.parametrize("left", [-0.1, 60.0])
def test_a_survey_knows_when_somebody_who_waits_may_be_tried_again(left: float) -> None:
    server(retry_at=timezone.now() + MINUTE, loaded_revision=5)
    found = survey()
    found.waiting["one"] = timezone.now() + timedelta(seconds=left)  # type: ignore[index]
    assert found.may_retry() is (left < 0)
