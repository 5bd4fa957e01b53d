"""How every server is doing, from rows alone: which revision it has loaded, since when, and why not a newer one.

The same few queries for one server and for a hundred; nobody is asked over the network (``status`` does that, for one).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from django.utils import timezone

from alerts.actions import releases
from alerts.actions.reconcile import UNREACHABLE
from alerts.models import PolicyState, PrometheusServer, ServerState

AGENT_SILENT_AFTER = timedelta(minutes=3)
"""An agent asks at least once a minute: it waits no longer for an answer, nor between two tries."""

Reason = Literal["", "disabled", "failed", "never_seen", "silent", "pinned", "nothing", "behind", "ahead", "unverified"]
TONES: Mapping[Reason, str] = {"": "good", "failed": "bad", "never_seen": "bad", "silent": "bad"}


@dataclass(frozen=True)
class Standing:
    """One server at one moment: whether it holds ``revision``, and for what ``reason`` that cannot be said.

    This is the one rule of what "in sync" means; who can look closer (``status``) may only say no where it says yes.
    """

    revision: int
    state: ServerState
    reason: Reason
    silent_since: datetime | None

    @property
    def in_sync(self) -> bool:
        return not self.reason

    @property
    def tone(self) -> str:
        return TONES.get(self.reason, "warning")

    @property
    def why(self) -> str:
        """Why not, in a sentence; empty when it is in sync."""
        error = self.state.last_error or {}
        return {
            "": "",
            "disabled": "It is disabled: nothing is delivered to it.",
            "failed": f"The last delivery failed: {error.get('message', error.get('code', ''))}",
            "never_seen": "Its agent was never seen.",
            "silent": "Its agent has not been seen for a while: what it holds now is not known.",
            "pinned": f"It is pinned to release {self.state.pinned_release_id}.",
            "nothing": "Nothing was delivered to it yet.",
            "behind": "A change is on its way.",
            "ahead": "It holds a newer revision already.",
            "unverified": "What is in place has not been read back yet.",
        }[self.reason]

    @property
    def loaded_since(self) -> datetime | None:
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
        release = self.state.loaded_release
        found = [warning for warning in (release.warnings if release else []) if warning.get("code") == UNREACHABLE]
        return str(found[0].get("message", "")) if found else ""

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
            "retry_at": state.retry_at,
            "agent_seen_at": state.agent_seen_at,
            "agent_version": state.agent_version or None,
        }


def standings(servers: Iterable[tuple[str, str, bool]], revision: int | None = None) -> Mapping[str, Standing]:
    """By name, for servers given as (name, delivery, enabled): two queries, one when the revision is given."""
    asked = {name: (delivery, enabled) for name, delivery, enabled in servers}
    rows = ServerState.objects.filter(pk__in=asked).select_related("loaded_release").defer("loaded_release__manifest")
    states = {state.name: state for state in rows}
    wanted = PolicyState.current() if revision is None else revision
    now = timezone.now()
    return {
        name: standing_of(states.get(name) or ServerState(name=name), wanted, delivery, enabled, now)
        for name, (delivery, enabled) in asked.items()
    }


def standing_of(state: ServerState, revision: int, delivery: str, enabled: bool, now: datetime) -> Standing:
    is_agents = delivery == PrometheusServer.Delivery.AGENT
    seen = state.agent_seen_at if is_agents else None
    silent_since = seen if seen is not None and seen < now - AGENT_SILENT_AFTER else None
    reason = _reason(state, revision, enabled, is_agents and seen is None, silent_since is not None)
    return Standing(revision, state, reason, silent_since)


def _reason(state: ServerState, revision: int, enabled: bool, is_unseen: bool, is_silent: bool) -> Reason:
    """The weightiest one."""
    if not enabled:
        return "disabled"
    if state.last_error:
        return "failed"
    if is_unseen or is_silent:
        return "never_seen" if is_unseen else "silent"
    if state.pinned_release_id is not None:
        return "pinned"
    if state.loaded_release is None:
        return "nothing"
    if state.loaded_revision != revision:
        return "behind" if state.loaded_revision < revision else "ahead"
    return "" if releases.is_good(state) else "unverified"
