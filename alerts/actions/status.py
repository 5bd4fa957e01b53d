"""How a server is doing: wanted, loaded, pinned, drifting, and why not."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from alerts.actions import reconcile, releases, servers
from alerts.actions.compile_check import promtool, promtool_version
from alerts.actions.delivery import prometheus
from alerts.actions.fleet_status import standing_of
from alerts.adapters.deliverer import Seen
from alerts.adapters.prometheus import PROMETHEUS
from alerts.models import DEFAULT_SERVER, PolicyState, Release, ServerState

DIFFERS = "What is on disk or loaded is not what was delivered."


def status(server: str = DEFAULT_SERVER, drift: Seen | None = None, *, shared: bool = True) -> dict[str, Any]:
    """Asks the database, and unless ``drift`` is known the disk and Prometheus; changes nothing.

    Not ``shared`` for who has just changed something: a look that somebody began before tells of what is gone.
    """
    spec = servers.spec(server)
    state = releases.state_of(server)
    standing = standing_of(state, PolicyState.current(), spec.delivery, spec.enabled, timezone.now())
    release = state.loaded_release
    drift = reconcile.look_briefly(spec, release, shared=shared) if drift is None else drift
    by_agent = spec.delivery == "agent"  # it judges with a promtool of its own, in a directory not known here
    judge = (state.promtool_version or None) if by_agent else promtool_version()
    why = standing.why or (DIFFERS if drift.any else None)
    return {
        "server": server,
        "url": prometheus(spec).name,
        "delivery": spec.delivery,
        "rule_dir": None if by_agent else str(spec.rule_dir),
        "layout": spec.layout,
        "revision": standing.revision,
        "loaded_revision": state.loaded_revision,
        "in_sync": why is None,
        "why": why,
        "silent_since": standing.silent_since,
        "loaded_release": state.loaded_release_id,
        "content_hash": release.content_hash if release else None,
        "loaded_since": standing.loaded_since,
        "rule_count": release.rule_count if release else 0,
        "pinned": state.pinned_release_id,
        "last_good": release.last_good if release else [],
        "reachable": not drift.unreachable and standing.reason not in ("silent", "never_seen"),
        "drift": [*drift.on_disk, *drift.loaded],
        "warnings": [*_warnings(release), *([] if by_agent else _weaker()), *_other_major(state, judge)],
        "error": state.last_error
        or ({"code": "prometheus_unavailable", "message": drift.unreachable} if drift.unreachable else None),
        "failures": state.failures,
        "retry_at": standing.retry_at,
        "checked_at": state.checked_at,
        "prometheus_version": state.prometheus_version or None,
        "promtool_version": judge,
    }


def _warnings(release: Release | None) -> list[dict[str, Any]]:
    """But for what the last look found of the server being away: it has just been asked again."""
    found = release.warnings if release else []
    return [warning for warning in found if warning.get("code") != reconcile.UNREACHABLE]


def _weaker() -> list[dict[str, Any]]:
    if promtool().available:
        return []
    return [
        {
            "code": "promtool_absent",
            "message": "promtool was not found: rules pass the in-process checks only, which accept some things "
            "that Prometheus refuses; set PROMTOOL_PATH",
        }
    ]


def _other_major(state: ServerState, judge: str | None) -> list[dict[str, Any]]:
    """promtool knows what its own Prometheus can evaluate: another one may know less, or more."""
    server = state.prometheus_version
    if state.flavour != PROMETHEUS or not server or judge is None or server.split(".")[0] == judge.split(".")[0]:
        return []
    message = f"promtool {judge} judges for a Prometheus {server}: it accepts what that refuses, or the other way round"
    hint = "use the promtool that came with it; for several majors, give those of another one agents"
    return [{"code": "promtool_of_another_major", "message": message, "hint": hint}]
