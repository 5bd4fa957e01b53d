"""Which servers need something now, read from the database alone: what worker and tasks go by.

However many servers there are, it takes the same few queries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from django.db import connection
from django.db.models import Exists, OuterRef
from django.utils import timezone

from alerts.models import PolicyState, PrometheusServer, Release, ServerState

Why = Literal["policy", "pending", "retry", "pin", "never_seen"]

ABSURD = timedelta(minutes=10)
"""No retry is ever put off for so long: a clock was put back."""

NEVER: Mapping[str, Any] = {"loaded_revision": 0, "failures": 0}


@dataclass(frozen=True)
class Due:
    """One server's need. ``revision``: the policy's now; ``failures``: in a row so far."""

    server: str
    why: Why
    revision: int
    failures: int = 0


@dataclass(frozen=True)
class Survey:
    """All enabled servers at one look. ``waiting``: those that failed, with the time of their next try."""

    revision: int
    servers: tuple[str, ...]
    due: tuple[Due, ...]
    waiting: Mapping[str, datetime] = field(default_factory=dict)
    checked_at: Mapping[str, datetime] = field(default_factory=dict)

    def may_retry(self) -> bool:
        """Whether a server that was seen to wait may be tried again by now."""
        return any(at <= timezone.now() for at in self.waiting.values())

    def stale(self, every: float) -> list[str]:
        """Servers that nobody has looked at for so many seconds, the longest first; not those that wait or are due."""
        busy = {*self.waiting, *(need.server for need in self.due)}
        ages = {name: self.age(name) for name in self.servers if name not in busy}
        return sorted((name for name in ages if ages[name] >= every), key=lambda name: (-ages[name], name))

    def age(self, server: str) -> float:
        """Seconds since somebody last looked; for ever also when a clock was put back meanwhile."""
        checked = self.checked_at.get(server)
        seconds = (timezone.now() - checked).total_seconds() if checked is not None else -1.0
        return seconds if seconds >= 0 else float("inf")


def glance() -> tuple[Any, ...]:
    """A few values, one of which has moved when something may have become due: policy or servers were edited, a release
    was begun or asked for, a server was pinned or let go, somebody failed or shall be tried again.

    For who looks often: a tenth of what a survey costs. A hint and no more, only a survey tells for certain.
    """
    with connection.cursor() as cursor:
        cursor.execute(_GLANCE)
        return tuple(cursor.fetchone() or ())


_GLANCE = (
    "SELECT revision, last_release, last_retry, pins"  # noqa: S608  (our own tables)
    f" FROM {PolicyState._meta.db_table},"
    f" (SELECT MAX(id) AS last_release FROM {Release._meta.db_table}) AS releases,"
    f" (SELECT MAX(retry_at) AS last_retry, SUM(pinned_release_id) AS pins FROM {ServerState._meta.db_table}) AS states"
    " WHERE id = 1"
)


def due() -> tuple[Due, ...]:
    """What is to be done now, by server's name."""
    return survey().due


def survey(server: str | None = None) -> Survey:
    """Of all servers, or of one; a server that is deleted or not enabled is not there."""
    rows = PrometheusServer.objects.all() if server is None else PrometheusServer.objects.filter(name=server)
    # First the policy: a server that is seen to be ahead of it has only been quick.
    revision = PolicyState.current()
    pending = Release.objects.filter(server=OuterRef("name"), state=Release.State.PENDING)
    found = rows.filter(deleted_at__isnull=True, enabled=True).order_by("name").annotate(asked=Exists(pending))
    servers = list(found.values_list("name", "delivery", "asked"))
    states = _states([name for name, _, _ in servers])
    tried = _tried(states)
    needs: list[Due] = []
    waiting: dict[str, datetime] = {}
    for name, delivery, asked in servers:
        state = states.get(name, NEVER)
        if delivery == PrometheusServer.Delivery.AGENT:
            state = _as_offered(state)
        why = _why(state, bool(asked), revision, tried.get(name))
        if why is not None:
            needs.append(Due(name, why, revision, state["failures"]))
        elif state.get("retry_at") is not None:
            waiting[name] = state["retry_at"]
    checked = {name: state["checked_at"] for name, state in states.items() if state["checked_at"] is not None}
    return Survey(revision, tuple(name for name, _, _ in servers), tuple(needs), waiting, checked)


def _why(state: Mapping[str, Any], asked: bool, revision: int, tried: int | None) -> Why | None:
    if asked:
        return "pending"
    pinned = state.get("pinned_release")
    retry_at = state.get("retry_at")
    if retry_at is not None:
        left = retry_at - timezone.now()
        if left <= timedelta(0) or left > ABSURD:
            return "retry"
        # The same again waits for its time; something new is tried at once.
        return "policy" if pinned is None and tried is not None and tried < revision else None
    if pinned is not None:
        return "pin" if state["loaded_release__content_hash"] != state["pinned_release__content_hash"] else None
    if state.get("loaded_release") is None:
        return "never_seen"
    return "policy" if state["loaded_revision"] < revision else None


def _states(names: list[str]) -> dict[str, dict[str, Any]]:
    rows = ServerState.objects.filter(pk__in=names).values(
        *("name", "loaded_revision", "loaded_release", "loaded_release__content_hash", "failures", "last_error"),
        *("pinned_release", "pinned_release__content_hash", "retry_at", "checked_at"),
        *("offered_release", "offered_release__content_hash", "offered_release__revision"),
    )
    return {row["name"]: row for row in rows}


def _tried(states: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """The revision that failed last, of servers that wait for their next try."""
    failed = {
        name: (state["last_error"] or {}).get("release")
        for name, state in states.items()
        if state["retry_at"] is not None
    }
    ids = [release for release in failed.values() if release is not None]
    revisions = dict(Release.objects.filter(pk__in=ids).values_list("pk", "revision")) if ids else {}
    return {name: revisions[release] for name, release in failed.items() if release in revisions}


def _as_offered(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """To deliver by agent is to offer: what the agent makes of it is its business, and reported."""
    offered = state.get("offered_release")
    if offered is None:
        return state
    return {
        **state,
        "loaded_release": offered,
        "loaded_release__content_hash": state["offered_release__content_hash"],
        "loaded_revision": state["offered_release__revision"],
    }
