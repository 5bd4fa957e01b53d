"""Numbers about the control plane for its own ``/metrics``: read from the rows, so every process says the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache

from django.conf import settings
from django.db.models import Count, F, Min, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from alerts.actions import telemetry
from alerts.actions.fleet_status import Standing, standing_of
from alerts.actions.telemetry import Series, age
from alerts.adapters.broker import waiting
from alerts.models import (
    DEFAULT_SERVER,
    AlertRule,
    AlertTemplate,
    Group,
    Namespace,
    PolicyRow,
    PolicyState,
    PrometheusServer,
    Release,
    ServerState,
    Target,
)

Values = tuple[str, ...]
KINDS: dict[str, type[PolicyRow]] = {
    "namespace": Namespace,
    "group": Group,
    "target": Target,
    "alert_template": AlertTemplate,
    "alert_rule": AlertRule,
}
UNDELIVERED = (Release.State.FAILED, Release.State.ROLLED_BACK, Release.State.REJECTED)


@dataclass(frozen=True)
class Figure:
    """One metric: its values by the values of ``labels``. ``samples`` of a gauge or counter, ``histograms`` as buckets
    and sum, ``summaries`` as count and sum.
    """

    name: str
    help: str
    samples: dict[Values, float] = field(default_factory=dict)
    labels: Values = ()
    kind: str = "gauge"
    histograms: dict[Values, tuple[list[tuple[str, float]], float]] = field(default_factory=dict)
    summaries: dict[Values, tuple[float, float]] = field(default_factory=dict)


def _single(name: str, text: str, value: float) -> Figure:
    return Figure(name, text, {(): float(value)})


def figures() -> list[Figure]:
    return [*_policy(), *_servers(), *_events(), *_queues()]


# --- the policy -----------------------------------------------------------------------------------------------------


def _policy() -> Iterator[Figure]:
    yield _single("config_server_policy_revision", "The revision of the policy.", PolicyState.current())
    living: dict[Values, float] = {(name,): float(model.objects.living().count()) for name, model in KINDS.items()}
    yield Figure("config_server_objects", "Policy objects that are not deleted.", living, ("type",))
    states: dict[Values, float] = {(state,): float(count) for state, count in _by_state(Release.objects.all())}
    yield Figure("config_server_releases", "Releases by the state they are in.", states, ("state",))
    available = settings.PROMTOOL_PATH is not None
    yield _single("config_server_promtool_available", "Whether rule files are judged by promtool.", available)


def _by_state(rows: QuerySet) -> list[tuple[str, int]]:
    return list(rows.order_by().values_list(F("state")).annotate(count=Count("id")).order_by("state"))


# --- servers --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Watched:
    """A server that is not deleted, and how it goes with it."""

    row: PrometheusServer
    state: ServerState
    standing: Standing
    behind: float

    @property
    def wanted(self) -> int:
        pinned = self.state.pinned_release
        return pinned.revision if pinned is not None else self.state.wanted_revision


def _servers() -> Iterator[Figure]:
    now = timezone.now()
    watched = _watched(now)

    def gauge(name: str, text: str, samples: dict[str, float]) -> Figure:
        return Figure(
            f"config_server_{name}", text, {(server,): value for server, value in samples.items()}, ("server",)
        )

    def each(name: str, text: str, value: object) -> Figure:
        return gauge(name, text, {one.row.name: float(value(one)) for one in watched})  # type: ignore[operator]

    yield each("server_enabled", "Whether policy is delivered to the server.", lambda one: one.row.enabled)
    yield each(
        "wanted_revision", "The policy revision the server should hold (its pin's, if any).", lambda one: one.wanted
    )
    yield each(
        "loaded_revision",
        "The policy revision Prometheus was last seen to hold.",
        lambda one: one.state.loaded_revision,
    )
    yield each(
        "in_sync",
        "Whether the server is known to hold the policy's revision: read back, not pinned, seen of late.",
        lambda one: one.standing.in_sync,
    )
    yield each(
        "behind_seconds",
        "Since when a committed change has not been loaded, or the server was made; 0 in sync, pinned or not enabled.",
        lambda one: one.behind,
    )
    yield each(
        "pinned", "Whether the server is pinned to an old release.", lambda one: one.state.pinned_release_id is not None
    )
    ours = [one for one in watched if one.row.delivery == "directory"]  # others are their agents' to look at
    yield gauge(
        "reachable",
        "Whether the server answered when it was looked at last, of late.",
        {one.row.name: float(not one.standing.unknown) for one in ours},
    )
    yield gauge(
        "checked_seconds",
        "Since a worker looked at the server last, on disk and loaded.",
        {one.row.name: age(one.state.checked_at, now) for one in ours if one.state.checked_at is not None},
    )
    yield each("delivery_failures", "Failed deliveries in a row; 0 after a success.", lambda one: one.state.failures)
    yield each("lease_held", "Whether a process is delivering to the server.", lambda one: _is_held(one.state, now))
    yield gauge(
        "agent_seen_seconds",
        "Since the server's agent was heard of last (or the server was made).",
        {
            one.row.name: age(one.state.agent_seen_at or one.row.created_at, now)
            for one in watched
            if one.row.delivery == "agent"
        },
    )
    yield gauge(
        "last_commit_to_loaded_seconds",
        "How long the change that is loaded took from its commit.",
        {one.row.name: took for one in watched if (took := _took(one.state.loaded_release)) is not None},
    )
    due = [one for one in watched if one.behind > 0]
    yield _single("config_server_servers_due", "Enabled servers that lack a committed change.", len(due))
    oldest = max((one.behind for one in due), default=0.0)
    yield _single("config_server_due_oldest_seconds", "The longest that any of them has lacked it.", oldest)


def _watched(now: datetime) -> list[Watched]:
    revision, _, _, committed_at = PolicyState.last_commit()
    states = ServerState.objects.select_related("loaded_release", "pinned_release").in_bulk()
    attempts = _first_attempts()
    written = cache(_first_written)
    found = []
    for row in PrometheusServer.objects.living().order_by("name"):
        state = states.get(row.name) or ServerState(name=row.name)
        state.wanted_revision = revision
        behind = 0.0
        if row.enabled and state.pinned_release is None and state.loaded_revision < revision:
            known = [
                moment for moment in (written(state.loaded_revision), attempts.get(row.name)) if moment is not None
            ]
            lacking = [min(known, default=committed_at), _wanted_since(row, state)]
            # What was just committed is lacking too: never 0.
            behind = max(age(max(filter(None, lacking), default=None), now), 0.001)
        standing = standing_of(state, revision, row.delivery, row.enabled, now)
        found.append(Watched(row, state, standing, behind))
    return found


def _wanted_since(row: PrometheusServer, state: ServerState) -> datetime | None:
    """What was committed before was not its to hold. `default` is older than its row: settings made it."""
    return state.wanted_since or (row.created_at if row.name != DEFAULT_SERVER else None)


def _first_written(loaded: int) -> datetime | None:
    """When the oldest change above this revision was written; one that was written again only knows its last time."""
    newer = [model.objects.filter(revision__gt=loaded) for model in KINDS.values()]
    moments = [rows.aggregate(first=Min("updated_at"))["first"] for rows in newer]
    return min((moment for moment in moments if moment is not None), default=None)


def _first_attempts() -> dict[str, datetime]:
    """By server: the commit of the first change that could not be delivered. Attempts remember what rows forget."""
    loaded = ServerState.objects.filter(pk=OuterRef("server")).values("loaded_revision")
    failed = Release.objects.filter(state__in=UNDELIVERED, revision__gt=Subquery(loaded)).order_by()
    rows = failed.values("server").annotate(first=Min(Coalesce("committed_at", "created_at")))
    return dict(rows.values_list("server", "first"))


def _is_held(state: ServerState, now: datetime) -> bool:
    return bool(state.lease_holder) and state.lease_until is not None and state.lease_until > now


def _took(release: Release | None) -> float | None:
    if release is None or release.committed_at is None or release.verified_at is None:
        return None
    return age(release.committed_at, release.verified_at)


# --- events, counted over the whole fleet -----------------------------------------------------------------------------


def _events() -> Iterator[Figure]:
    counts = telemetry.counted()
    yield _histogram(
        counts, telemetry.COMMIT_TO_LOADED, "From the commit of a change until a server was seen to have loaded it."
    )
    outcomes: dict[Values, float] = {
        (outcome,): counts.get(telemetry.series(telemetry.RELEASES, outcome=outcome), 0.0)
        for outcome in telemetry.OUTCOMES
    }
    yield Figure(telemetry.RELEASES, "Attempts to deliver, by how they ended.", outcomes, ("outcome",), "counter")
    servers = list(PrometheusServer.objects.living().order_by("name").values_list("name", flat=True))
    found: dict[Values, float] = {
        (server, where): counts.get(telemetry.series(telemetry.DRIFT_FOUND, server=server, where=where), 0.0)
        for server in servers
        for where in ("disk", "loaded")
    }
    yield Figure(
        telemetry.DRIFT_FOUND, "Differences found, on disk or in what is loaded.", found, ("server", "where"), "counter"
    )
    healed: dict[Values, float] = {
        (server,): counts.get(telemetry.series(telemetry.DRIFT_HEALED, server=server), 0.0) for server in servers
    }
    yield Figure(telemetry.DRIFT_HEALED, "Times that drift was put right.", healed, ("server",), "counter")
    yield _phases(counts, telemetry.PHASE_SECONDS, "Time spent delivering, by step.", telemetry.PHASES)
    yield _phases(counts, telemetry.COMPILE_SECONDS, "Time spent compiling, by phase.", telemetry.COMPILE_PHASES)


def _phases(counts: dict[Series, float], name: str, text: str, phases: Values) -> Figure:
    def of(part: str, phase: str) -> float:
        return counts.get(telemetry.series(f"{name}_{part}", phase=phase), 0.0)

    summaries: dict[Values, tuple[float, float]] = {
        (phase,): (of("count", phase), of("sum", phase)) for phase in phases
    }
    return Figure(name, text, labels=("phase",), kind="summary", summaries=summaries)


def _histogram(counts: dict[Series, float], name: str, text: str) -> Figure:
    buckets = [
        (f"{bound:g}", counts.get(telemetry.series(f"{name}_bucket", le=f"{bound:g}"), 0.0))
        for bound in telemetry.BUCKETS
    ]
    buckets.append(("+Inf", counts.get(telemetry.series(f"{name}_count"), 0.0)))
    total = counts.get(telemetry.series(f"{name}_sum"), 0.0)
    return Figure(name, text, kind="histogram", histograms={(): (buckets, total)})


# --- queues ---------------------------------------------------------------------------------------------------------


def _queues() -> Iterator[Figure]:
    if not settings.CELERY_BROKER_URL:
        return
    from config_server.celery import QUEUES

    queues = waiting(settings.CELERY_BROKER_URL, QUEUES)
    yield _single("config_server_broker_up", "Whether the broker answers.", queues is not None)
    lengths: dict[Values, float] = {(name,): float(found.length) for name, found in (queues or {}).items()}
    yield Figure("config_server_queue_length", "Messages that wait in the queue.", lengths, ("queue",))
    ages: dict[Values, float] = {(name,): found.age for name, found in (queues or {}).items()}
    yield Figure(
        "config_server_queue_age_seconds", "Since the oldest message that waits was sent; 0: none.", ages, ("queue",)
    )
