"""How every server is doing, from rows alone: which revision it has loaded, since when, and why not a newer one.

The same few queries for one server and for a hundred; nobody is asked over the network (``status`` does that, for one).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from alerts.actions import releases
from alerts.actions.reconcile import UNREACHABLE
from alerts.models import PolicyState, PrometheusServer, ServerState

AGENT_SILENT_AFTER = timedelta(minutes=3)
"""An agent asks at least once a minute."""


@dataclass(frozen=True)
class Standing:
    """One server at one moment. ``why`` says in a sentence why it does not hold ``revision``; empty when it does."""

    revision: int
    state: ServerState
    why: str
    tone: str

    @property
    def in_sync(self) -> bool:
        return not self.why

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
            "unreachable": self.unreachable or None,
            "pinned": state.pinned_release_id,
            "failures": state.failures,
            "error": state.last_error,
            "checked_at": state.checked_at,
            "retry_at": state.retry_at,
            "agent_seen_at": state.agent_seen_at,
            "agent_version": state.agent_version or None,
        }


def standings(servers: Iterable[tuple[str, str, bool]]) -> Mapping[str, Standing]:
    """By name, for servers given as (name, delivery, enabled): two queries."""
    asked = {name: (delivery, enabled) for name, delivery, enabled in servers}
    rows = ServerState.objects.filter(pk__in=asked).select_related("loaded_release").defer("loaded_release__manifest")
    states = {state.name: state for state in rows}
    revision = PolicyState.current()
    now = timezone.now()
    found = {}
    for name, (delivery, enabled) in asked.items():
        state = states.get(name) or ServerState(name=name)
        why, tone = _why_not(state, revision, delivery, enabled, now)
        found[name] = Standing(revision, state, why, tone)
    return found


def _why_not(state: ServerState, revision: int, delivery: str, enabled: bool, now: datetime) -> tuple[str, str]:
    """The weightiest reason, and how bad it is."""
    error = state.last_error or {}
    is_agents = delivery == PrometheusServer.Delivery.AGENT
    if not enabled:
        return "It is disabled: nothing is delivered to it.", "warning"
    if error:
        return f"The last delivery failed: {error.get('message', error.get('code', ''))}", "bad"
    if is_agents and state.agent_seen_at is None:
        return "Its agent was never seen.", "bad"
    if is_agents and state.agent_seen_at is not None and state.agent_seen_at < now - AGENT_SILENT_AFTER:
        return "Its agent has not been seen for a while.", "bad"
    if state.pinned_release_id is not None:
        return f"It is pinned to release {state.pinned_release_id}.", "warning"
    if state.loaded_release is None:
        return "Nothing was delivered to it yet.", "warning"
    if state.loaded_revision < revision:
        return "A change is on its way.", "warning"
    if not releases.is_good(state):
        return "What is in place has not been read back yet.", "warning"
    return "", "good"
