"""How a delivery ended, written down: one transaction for the release and the state of its server.

Law: only who still holds the server's lease writes an outcome; ``guard`` asks, inside the transaction, and raises.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from alerts.actions import releases, telemetry
from alerts.actions.delivery import Problem, problem
from alerts.adapters.failpoints import reach
from alerts.models import PolicyState, Release, ServerState
from config_server.logs import about

logger = logging.getLogger(__name__)

RETRY_CAP = 60.0
FAULT = "internal_error"
PROGRESS = ("state", "timings", "warnings", "errors", "activated_at", "verified_at", "finished_at")
"""What changes of a release while it is delivered; what it holds is stored before."""
FAILED = ("failures", "retry_at", "last_error", "checked_at")
"""What a failure changes of its server's state."""
LONGEST_FAULT = 1_000
State = Release.State
Guard = Callable[[], object]


def record_success(release: Release, state: ServerState, guard: Guard, *, verified: bool, **seen: Any) -> None:
    """The server holds this release. ``verified``: it was read back. ``seen``: versions and such, for the state."""
    now = timezone.now()
    reach("record.before")
    with transaction.atomic():
        guard()
        releases.supersede_others(release)
        release.state = State.VERIFIED if verified else State.ACTIVE
        release.activated_at = release.activated_at or now
        release.verified_at = now if verified else None
        release.finished_at = now
        release.save(update_fields=PROGRESS)
        for name, value in seen.items():
            setattr(state, name, value)
        state.loaded_revision = release.revision
        state.loaded_release = release
        state.failures, state.retry_at, state.last_error = 0, None, None
        state.checked_at = now
        releases.save_state(state)
    reach("record.after")
    telemetry.note_release(release)
    with about(server=release.server, release=release.pk):
        logger.info(
            "release %s %s: %s rules, revision %s", release.pk, release.state, release.rule_count, release.revision
        )


def record_failure(
    release: Release, state: ServerState, guard: Guard, *, outcome: str, problems: list[Problem], **seen: Any
) -> None:
    """The release did not make it, for these reasons; the server is tried again after a while."""
    now = timezone.now()
    with transaction.atomic():
        guard()
        release.state = outcome
        release.errors = problems
        release.finished_at = now
        release.save()
        for name, value in seen.items():
            setattr(state, name, value)
        state.failures += 1
        state.retry_at = now + timedelta(seconds=retry_delay(state.failures))
        state.last_error = {**problems[0], "release": release.pk, "at": now.isoformat()}
        state.checked_at = now
        # Not what is loaded: an agent may have told meanwhile, and needs no lease for that.
        releases.save_state(state, (*FAILED, *seen))
    telemetry.note_release(release)
    with about(server=release.server, release=release.pk):
        logger.error("release %s %s: %s", release.pk, outcome, "; ".join(item["message"] for item in problems[:3]))


def record_fault(state: ServerState, guard: Guard, error: Exception, trigger: str) -> None:
    """A fault of our own, written down like any failure: to be seen, and tried again less and less often."""
    found = problem(FAULT, f"the control plane failed: {error!r}"[:LONGEST_FAULT], hint="its log says more")
    in_force = [state.loaded_release_id or 0, state.offered_release_id or 0]
    begun = Release.objects.filter(server=state.name, state__in=(State.PENDING, *releases.UNFINISHED))
    release = begun.filter(finished_at__isnull=True).exclude(pk__in=in_force).order_by("-pk").first()
    revision = PolicyState.current()
    if release is None:
        last = Release.objects.filter(server=state.name).order_by("-pk").first()
        again = last if last is not None and _is_same_fault(last, revision) else None
        release = again or Release(server=state.name, trigger=trigger)
    release.revision = revision
    record_failure(release, state, guard, outcome=State.FAILED, problems=[found])


def _is_same_fault(release: Release, revision: int) -> bool:
    same = release.state == State.FAILED and release.revision == revision
    return same and bool(release.errors) and release.errors[0].get("code") == FAULT


def retry_delay(failures: int) -> float:
    """Seconds until the next try: 1, 2, 4 … 60, with a quarter of jitter either way."""
    base = min(RETRY_CAP, 2.0 ** min(failures - 1, 10))
    return base * random.uniform(0.75, 1.25)
