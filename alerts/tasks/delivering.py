"""Delivery as Celery tasks. The database stays the truth: a task only says where to look, and may come twice or never.

The race that must not lose an edit: a task that finds the lease taken ends, since the holder looks again *after* giving
it back. An edit committed before that look is seen by it; one committed after finds the lease free.
"""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from celery import Task, shared_task
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from alerts.actions.deploy import deploy
from alerts.actions.due import survey
from alerts.actions.errors import NotFound
from alerts.actions.housekeeping import keep_house
from alerts.actions.reconcile import reconcile
from alerts.models import DEFAULT_SERVER
from config_server.celery import LOOK_AROUND_EVERY

logger = logging.getLogger(__name__)

SETTLED = 0.3
MOST_LOOKS = 5
RECONCILE_EVERY = 30.0
LONGEST_COUNTDOWN = 60.0
DATABASE_AWAY = (OperationalError, InterfaceError)
PATIENT: dict[str, Any] = {
    "autoretry_for": DATABASE_AWAY,
    "retry_backoff": True,
    "retry_backoff_max": 30,
    "throws": (NotFound,),  # it was deleted meanwhile
}


class NotYet(Exception):
    """The server does not hold what it should; the release says why."""


@shared_task(bind=True, max_retries=None, name="alerts.deploy", **PATIENT)
def deploy_server(self: Task[Any, Any], server: str = DEFAULT_SERVER) -> str:
    """Deploys as long as something is due. After a failure it comes again at the time that the database says."""
    before = None
    for _ in range(MOST_LOOKS):
        found = survey(server)
        need = next(iter(found.due), None)
        if need is None:
            break
        if need == before:
            return f"{server}: {need.why} is still due; left to the next sweep"
        if before is not None:
            time.sleep(SETTLED)  # edits came meanwhile: perhaps there are more of them
        if deploy(need.why, server=server).release is None:
            return f"{server}: somebody is at it, and looks again"
        before = need
    else:
        deploy_server.apply_async(args=[server])
        return f"{server}: edits keep coming"
    if before is not None and server in found.waiting:
        left = (found.waiting[server] - timezone.now()).total_seconds()
        raise self.retry(exc=NotYet(server), countdown=min(max(left, 0.1), LONGEST_COUNTDOWN))
    return f"{server}: {'delivered' if before else 'nothing to do'}"


@shared_task(name="alerts.reconcile", **PATIENT)
def reconcile_server(server: str) -> str:
    """Looks for drift and heals it, unless somebody did a moment ago; then what became due meanwhile is deployed."""
    found = survey(server)
    if server not in found.servers or server in found.waiting or found.age(server) < RECONCILE_EVERY / 3:
        return f"{server}: not now"
    reconcile(server=server)
    if survey(server).due:  # whose task found the lease taken
        deploy_server.apply_async(args=[server])
    return f"{server}: looked at"


@shared_task(name="alerts.sweep", throws=DATABASE_AWAY)
def sweep() -> int:
    """Sends a deploy to every server that needs one: what was lost on the way is found here."""
    found = survey().due
    for need in found:
        deploy_server.apply_async(args=[need.server])
    return len(found)


@shared_task(name="alerts.reconcile_all", throws=DATABASE_AWAY)
def reconcile_all() -> int:
    """Sends on those that were looked at longest ago: a few at a time, so that all of them spread evenly.

    It waits in the same queue behind those it sent before, so that they never pile up.
    """
    found = survey()
    portion = math.ceil(1.2 * len(found.servers) * LOOK_AROUND_EVERY / RECONCILE_EVERY)
    stale = found.stale(RECONCILE_EVERY)[:portion]
    for server in stale:
        reconcile_server.apply_async(args=[server])
    return len(stale)


@shared_task(name="alerts.housekeeping", throws=DATABASE_AWAY)
def housekeeping() -> dict[str, int]:
    """Throws away what nobody asks for any more."""
    return keep_house()
