"""The line above every page: is what people wrote what Prometheus runs?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from alerts.actions import fleet_status
from alerts.actions.fleet_status import Reason, Standing
from alerts.models import DEFAULT_SERVER, PolicyState, PrometheusServer

WORDS: Mapping[Reason, str] = {
    "": "Prometheus holds this policy",
    "failed": "the last delivery failed",
    "never_seen": "its agent was never seen",
    "silent": "its agent is not heard of",
    "unwatched": "nobody looks at it: is there a worker?",
    "unreachable": "it cannot be asked",
    "nothing": "nothing delivered yet",
    "behind": "a change is on its way",
    "unverified": "not read back yet",
}


def summary() -> dict[str, Any]:
    """From the database alone, so that it costs every page the same little."""
    servers = PrometheusServer.objects.living().filter(enabled=True).order_by("name")
    found = fleet_status.standings(servers.values_list("name", "delivery", "enabled"))
    return _of_the_only_one(found[DEFAULT_SERVER]) if [*found] == [DEFAULT_SERVER] else _of_many(found.values())


def _of_the_only_one(standing: Standing) -> dict[str, Any]:
    state = standing.state
    pinned = f"pinned to release {state.pinned_release_id}"
    return {
        "revision": standing.revision,
        "loaded_revision": state.loaded_revision,
        "release": state.loaded_release,
        "pinned": state.pinned_release_id,
        "last_error": state.last_error,
        "word": WORDS.get(standing.reason, pinned),
        "tone": standing.tone,
        "broken": state.loaded_release.last_good if state.loaded_release else [],
    }


def _of_many(standings: Collection[Standing]) -> dict[str, Any]:
    """The worst of them counts; which one it is, the page of servers tells."""
    good = sum(standing.in_sync for standing in standings)
    tones = {standing.tone for standing in standings} or {"warning"}
    known = [standing.state.loaded_release for standing in standings if standing.state.loaded_release is not None]
    broken = {(key["kind"], key["key"]): key for release in known for key in release.last_good}
    return {
        "revision": PolicyState.current(),
        "loaded_revision": None,
        "release": None,
        "pinned": None,
        "last_error": None,
        "word": f"{good} of {len(standings)} servers hold this policy" if standings else "no server is enabled",
        "tone": next(tone for tone in ("bad", "warning", "good") if tone in tones),
        "broken": list(broken.values()),
    }
