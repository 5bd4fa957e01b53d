"""Who waits for a delivery is answered when they said, whatever the server or its agent is doing."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from threading import Event, Timer
from typing import Any

import pytest
from django.utils import timezone

from alerts.actions import deploy_waiting, rules
from alerts.actions.deploy import Outcome, deploy
from alerts.actions.deploy_waiting import deploy_and_wait, deploy_within
from alerts.models import PrometheusServer, Release, ServerState
from tests.servers.processes import eventually


@pytest.fixture
def slow(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Event:
    """A deploy that has begun its release, and ends when the event is set."""
    go = Event()

    def deploy(trigger: str, *, server: str) -> Outcome:
        release = Release.objects.create(server=server, revision=1, trigger=trigger, state="staged")
        go.wait(30)
        release.state, release.finished_at = "verified", timezone.now()
        release.save()
        return Outcome(release, changed=True)

    monkeypatch.setattr(deploy_waiting, "deploy", deploy)
    return go


def test_a_slow_delivery_is_waited_for_no_longer_than_was_said_and_goes_on(slow: Event) -> None:
    start = time.monotonic()
    outcome = deploy_within("test", timeout=1.0)
    assert 0.9 < time.monotonic() - start < 5
    assert outcome.release is not None
    assert (outcome.release.state, outcome.release.finished_at) == ("staged", None)
    slow.set()
    eventually(lambda: Release.objects.get().state == "verified", what="its end")


def test_one_that_ends_in_time_is_answered_with_its_end(slow: Event) -> None:
    Timer(0.5, slow.set).start()
    outcome = deploy_within("test", timeout=20.0)
    assert outcome.good


def test_what_goes_wrong_in_it_is_told(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def deploy(trigger: str, *, server: str) -> Outcome:
        raise TimeoutError("of its own")

    monkeypatch.setattr(deploy_waiting, "deploy", deploy)
    with pytest.raises(TimeoutError, match="of its own"):
        deploy_within("test", timeout=20.0)


@pytest.fixture
def offered(transactional_db: None, settings: Any) -> PrometheusServer:
    settings.PROMTOOL_PATH = None
    rules.create({"name": "Down", "query_template": "up == 0"})
    return PrometheusServer.objects.create(name="far", url="http://127.0.0.1:9", delivery="agent")


def seen(moment: Any) -> None:
    ServerState.objects.filter(pk="far").update(agent_seen_at=moment)


@pytest.mark.parametrize("wait", [deploy_and_wait, deploy_within])
def test_the_word_of_an_agent_is_waited_for(offered: PrometheusServer, wait: Callable[..., Outcome]) -> None:
    deploy("test", server="far")
    seen(timezone.now())

    def report() -> None:
        Release.objects.filter(server="far").update(state="verified", finished_at=timezone.now())

    Timer(0.7, report).start()
    outcome = wait("test", server="far", timeout=20.0)
    assert outcome.good


def test_an_agent_that_says_nothing_is_waited_for_until_the_deadline(offered: PrometheusServer) -> None:
    deploy("test", server="far")
    seen(timezone.now())
    start = time.monotonic()
    outcome = deploy_and_wait("test", server="far", timeout=1.0)
    assert 0.9 < time.monotonic() - start < 5
    assert outcome.release is not None
    assert outcome.release.state == "staged"


@pytest.mark.parametrize("ago", [None, 600])
def test_an_agent_that_is_silent_is_not_waited_for(offered: PrometheusServer, ago: int | None) -> None:
    deploy("test", server="far")
    seen(timezone.now() - timedelta(seconds=ago) if ago else None)
    start = time.monotonic()
    deploy_and_wait("test", server="far", timeout=20.0)
    assert time.monotonic() - start < 5
