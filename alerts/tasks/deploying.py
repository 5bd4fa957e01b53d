"""The deploy as a Celery task. The database stays the truth; a task only wakes somebody."""

from __future__ import annotations

from typing import Any

from celery import Task, shared_task

from alerts.actions import releases
from alerts.actions.deploy import deploy
from alerts.actions.outcomes import RETRY_CAP, retry_delay
from alerts.models import DEFAULT_SERVER


class NotYet(Exception):
    """The server does not hold the policy; the message says why."""


@shared_task(bind=True, acks_late=True, max_retries=None, name="alerts.deploy")
def deploy_policy(self: Task[Any, Any], server: str = DEFAULT_SERVER) -> str:
    """Deploys once; tries again after 1, 2, 4 … 60 s with jitter until the server holds what is wanted. Idempotent."""
    outcome = deploy("task", server=server)
    if outcome.release is not None and outcome.good:
        return f"release {outcome.release.pk} {outcome.release.state}"
    failures = releases.state_of(server).failures if outcome.release is not None else 1
    why = outcome.release.errors[0]["message"] if outcome.release and outcome.release.errors else "somebody is at it"
    raise self.retry(exc=NotYet(why), countdown=min(RETRY_CAP, retry_delay(max(failures, 1))))
