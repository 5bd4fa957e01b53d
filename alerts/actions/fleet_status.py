"""How every server is doing, from rows alone: which revision it has loaded, since when, and why not a newer one.

The same few queries for one server and for a hundred; nobody is asked over the network (``status`` does that, for one).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from django.utils import timezone

from alerts.actions import releases
from alerts.actions.bundles import AGENT_SILENT_AFTER
from alerts.actions.prepared import Prepared, columns_of, stored
from alerts.actions.reconcile import UNREACHABLE
from alerts.models import PolicyState, PrometheusServer, Release, ServerState

UNWATCHED_AFTER = timedelta(minutes=15)
"""A worker, or beat, sees to it that each server is looked at every half minute, or as often as it is told."""

Unknown = Literal["", "never_seen", "silent", "unwatched", "unreachable"]
Reason = Literal[Unknown, "deleted", "disabled", "failed", "pinned", "nothing", "behind", "ahead", "unverified"]
BAD: frozenset[Reason] = frozenset(("failed", "never_seen", "silent", "unwatched", "unreachable"))

DELETED = "It is deleted: nothing is delivered to it any more, and the rules that it has stay there."


@dataclass(frozen=True)
class Standing:
    """One server at one moment: whether it holds ``revision``, and for what ``reason`` that cannot be said.

    This is the one rule of what "in sync" means; who can look closer (``status``) may only say no where it says yes.
    """

    revision: int
    state: ServerState
    reason: Reason
    silent_since: datetime | None
    unknown: Unknown = ""
    """Why what it holds now cannot be known, be that the weightiest reason or not."""
    retry_at: datetime | None = None
    """When a delivery is tried again."""

    def after_deletion(self, at: datetime) -> Standing:
        """As the standing of a server that was deleted then: what another of its name did since says nothing of it."""
        since = self.state.wanted_since
        is_anothers = since is not None and since > at
        return Standing(
            self.revision, ServerState(name=self.state.name) if is_anothers else self.state, "deleted", None
        )

    @property
    def in_sync(self) -> bool:
        return not self.reason

    @property
    def tone(self) -> str:
        return "good" if self.in_sync else "bad" if self.reason in BAD else "warning"

    @property
    def why(self) -> str:
        """Why not, in a sentence; empty when it is in sync."""
        error = self.state.last_error or {}
        return {
            "": "",
            "deleted": DELETED,
            "disabled": "It is disabled: nothing is delivered to it.",
            "failed": f"The last delivery failed: {error.get('message', error.get('code', ''))}",
            "never_seen": "Its agent was never seen.",
            "silent": "Its agent has not been seen for a while: what it holds now is not known.",
            "unwatched": "Nobody has looked at it for a while (does a worker run?): what it holds now is not known.",
            "unreachable": f"It could not be asked what it holds now: {self.unreachable}",
            "pinned": f"It is pinned to release {self.state.pinned_release_id}.",
            "nothing": "Nothing was delivered to it yet.",
            "behind": "A change is on its way.",
            "ahead": "It holds a newer revision already.",
            "unverified": "What is in place has not been read back yet.",
        }[self.reason]

    @property
    def loaded_since(self) -> datetime | None:
        """Since when it is known to hold these very rules; a later revision that changed none of them stands for them,
        too, so this may be earlier than ``loaded_revision``."""
        release = self.state.loaded_release
        return release.verified_at if release else None

    @property
    def drift(self) -> list[dict[str, Any]]:
        """What had been changed by hand when the release in force was last put in place, or looked at."""
        release = self.state.loaded_release
        warnings = release.warnings if release else []
        return [warning for warning in warnings if str(warning.get("code", "")).startswith("drift_")]

    @property
    def unreachable(self) -> str:
        """Why it could not be asked when somebody looked last; what it holds is what is known from before."""
        return _unreachable(self.state)

    def shown(self) -> dict[str, Any]:
        """As the API shows it."""
        state = self.state
        return {
            "revision": self.revision,
            "loaded_revision": state.loaded_revision,
            "loaded_since": self.loaded_since,
            "loaded_release": state.loaded_release_id,
            "in_sync": self.in_sync,
            "why": self.why or None,
            "silent_since": self.silent_since,
            "unreachable": self.unreachable or None,
            "pinned": state.pinned_release_id,
            "failures": state.failures,
            "error": state.last_error,
            "checked_at": state.checked_at,
            "retry_at": self.retry_at,
            "agent_seen_at": state.agent_seen_at,
            "agent_version": state.agent_version or None,
        }


def standings(servers: Iterable[tuple[str, str, bool]], revision: int | None = None) -> Mapping[str, Standing]:
    """By name, for servers given as (name, delivery, enabled): two queries, one when the revision is given."""
    asked = {name: (delivery, enabled) for name, delivery, enabled in servers}
    states = {state.name: state for state in _states(list(asked))}
    wanted = PolicyState.current() if revision is None else revision
    now = timezone.now()
    return {
        name: standing_of(states.get(name) or ServerState(name=name), wanted, delivery, enabled, now)
        for name, (delivery, enabled) in asked.items()
    }


_STATE = columns_of(ServerState)
_RELEASE = columns_of(Release, without=("manifest",))
_STATES = Prepared(
    lambda *names: ServerState.objects.filter(pk__in=names).values_list(
        *_STATE, *(f"loaded_release__{name}" for name in _RELEASE)
    )
)


def _states(names: Sequence[str]) -> Iterator[ServerState]:
    """With the releases that are loaded, but for their manifests, which are long."""
    for found in _STATES.rows(*names) if names else ():
        state = stored(ServerState, _STATE, found[: len(_STATE)])
        if state.loaded_release_id is not None:
            state.loaded_release = stored(Release, _RELEASE, found[len(_STATE) :])
        yield state


def standing_of(state: ServerState, revision: int, delivery: str, enabled: bool, now: datetime) -> Standing:
    silent_since = None
    if delivery == PrometheusServer.Delivery.AGENT:
        seen = state.agent_seen_at
        silent_since = seen if seen is not None and seen < now - AGENT_SILENT_AFTER else None
        unknown: Unknown = "never_seen" if seen is None else "silent" if silent_since is not None else ""
    else:
        unknown = _unknown(state, now)
    reason = _reason(state, revision, enabled, unknown)
    return Standing(revision, state, reason, silent_since, unknown, _retry_at(state, delivery, enabled, now))


def _retry_at(state: ServerState, delivery: str, enabled: bool, now: datetime) -> datetime | None:
    """An agent tries again by itself, at times of its own: there a time that is past has only called a worker."""
    is_idle = delivery == PrometheusServer.Delivery.AGENT and state.retry_at is not None and state.retry_at <= now
    return state.retry_at if enabled and not is_idle else None


def _unknown(state: ServerState, now: datetime) -> Unknown:
    """Why what a server holds that workers look after is not known, if it is not."""
    if state.checked_at is not None and state.checked_at < now - UNWATCHED_AFTER:
        return "unwatched"
    return "unreachable" if _unreachable(state) else ""


def _unreachable(state: ServerState) -> str:
    """What who looked, or delivered, last was told instead of an answer."""
    release = state.loaded_release
    told = [state.last_error or {}, *(release.warnings if release else [])]
    return next((str(one.get("message", "")) for one in told if one.get("code") == UNREACHABLE), "")


def _reason(state: ServerState, revision: int, enabled: bool, unknown: Unknown) -> Reason:
    """The weightiest one."""
    if not enabled:
        return "disabled"
    if state.last_error:
        return "failed"
    if unknown:
        return unknown
    if state.pinned_release_id is not None:
        return "pinned"
    if state.loaded_release is None:
        return "nothing"
    if state.loaded_revision != revision:
        return "behind" if state.loaded_revision < revision else "ahead"
    return "" if releases.is_good(state) else "unverified"
