"""The line above every page: is what people wrote what Prometheus runs?"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from alerts.actions import fleet_status, releases
from alerts.actions.fleet_status import Standing
from alerts.models import DEFAULT_SERVER, PolicyState, PrometheusServer


def summary() -> dict[str, Any]:
    """From the database alone, so that it costs every page the same little."""
    servers = PrometheusServer.objects.living().filter(enabled=True).order_by("name")
    rows = list(servers.values_list("name", "delivery", "enabled"))
    if [name for name, _, _ in rows] == [DEFAULT_SERVER]:
        return _of_the_only_one()
    return _of_many(fleet_status.standings(rows).values())


def _of_the_only_one() -> dict[str, Any]:
    state = releases.state_of()
    revision = PolicyState.current()
    release = state.loaded_release
    if state.pinned_release_id is not None:
        word, tone = f"pinned to release {state.pinned_release_id}", "warning"
    elif release is None:
        word, tone = "nothing delivered yet", "warning"
    elif not releases.is_good(state):
        word, tone = "the last delivery failed", "bad"
    elif state.loaded_revision < revision:
        word, tone = "a change is on its way", "warning"
    else:
        word, tone = "Prometheus holds this policy", "good"
    return {
        "revision": revision,
        "loaded_revision": state.loaded_revision,
        "release": release,
        "pinned": state.pinned_release_id,
        "last_error": state.last_error,
        "word": word,
        "tone": tone,
        "broken": release.last_good if release else [],
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
