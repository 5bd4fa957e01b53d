"""Deploying while somebody waits for it: for another process that is at it, and for the word of an agent."""

from __future__ import annotations

import time
from contextvars import copy_context

from django.db import connection, connections
from django.utils import timezone

from alerts.actions import asides, releases
from alerts.actions.bundles import AGENT_SILENT_AFTER
from alerts.actions.deploy import Outcome, deploy
from alerts.models import DEFAULT_SERVER, Release, ServerState

PAUSE = 0.1


def deploy_and_wait(trigger: str, *, server: str = DEFAULT_SERVER, timeout: float = 30.0) -> Outcome:
    """Deploys in this process. ``release`` None: another one was at it for all of ``timeout``, in seconds."""
    return _deploy(trigger, server, time.monotonic() + timeout)


def deploy_within(trigger: str, *, server: str = DEFAULT_SERVER, timeout: float = 30.0) -> Outcome:
    """The same for who cannot wait longer: after ``timeout`` the release as it is then, which goes on to its end."""
    deadline = time.monotonic() + timeout
    if connection.in_atomic_block:  # no other thread could see what is to be delivered
        return _deploy(trigger, server, deadline)
    context = copy_context()

    def work() -> Outcome:
        try:
            return context.run(_deploy, trigger, server, deadline)
        finally:
            connections.close_all()  # this thread's own

    answer = asides.begun(work, name=f"deploy to {server}", daemon=False)
    try:
        return answer.result(max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        if answer.done():
            raise
        begun = releases.begun(server)
        return Outcome(begun[0] if begun else None, changed=True)


def _deploy(trigger: str, server: str, deadline: float) -> Outcome:
    while True:
        outcome = deploy(trigger, server=server)
        if outcome.release is not None:
            _hear(outcome.release, deadline)
            return outcome
        if time.monotonic() >= deadline:
            return outcome
        time.sleep(PAUSE)


def _hear(release: Release, deadline: float) -> None:
    """What its agent makes of a release that is offered; one that is silent is not waited for."""
    if release.finished_at is not None:
        return
    lately = timezone.now() - AGENT_SILENT_AFTER
    offered = ServerState.objects.filter(pk=release.server, offered_release=release)
    if not offered.filter(agent_seen_at__gte=lately).exists():
        return
    while release.finished_at is None and time.monotonic() < deadline:
        time.sleep(PAUSE)
        release.refresh_from_db()
