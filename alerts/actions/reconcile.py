"""Looks whether a server still holds what it should, on disk and loaded, and heals what does not (DESIGN 5)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from django.utils import timezone

from alerts.actions import delivery, releases, servers, shared_looks, telemetry, wanted
from alerts.actions.delivery import problem, prometheus
from alerts.actions.deploy import Outcome, deploy
from alerts.adapters.deliverer import Seen
from alerts.adapters.prometheus import PrometheusError
from alerts.adapters.server_spec import ServerSpec
from alerts.models import DEFAULT_SERVER, Release, ServerState

logger = logging.getLogger(__name__)

UNREACHABLE = "prometheus_unavailable"


def look(server: str = DEFAULT_SERVER) -> Seen:
    """Compares disk and Prometheus with the release in force. Changes nothing."""
    return _look_at(servers.spec(server), releases.state_of(server).loaded_release)()


def look_briefly(spec: ServerSpec, release: Release | None, *, shared: bool) -> Seen:
    """The same with less patience. ``shared``: with whoever asks of it meanwhile, so perhaps begun a moment ago."""
    spec = delivery.briefly(spec)
    look_at = _look_at(spec, release)
    if not shared or spec.delivery == "agent":
        return look_at()
    return shared_looks.looks.ask(f"{release.pk if release else None} {spec}", look_at)


def _look_at(spec: ServerSpec, release: Release | None) -> Callable[[], Seen]:
    """The look itself, which needs no database any more."""
    if spec.delivery == "agent":  # it looks, heals and reports
        return Seen
    if release is None:
        return partial(_ask_only, spec)
    return partial(delivery.look, spec, wanted.of_release(release))


def _ask_only(spec: ServerSpec) -> Seen:
    try:
        prometheus(spec).runtime()
    except PrometheusError as error:
        return Seen(unreachable=str(error))
    return Seen()


def reconcile(*, server: str = DEFAULT_SERVER) -> Outcome:
    """One pass: deploys what is wanted, and when that says nothing changed, looks for drift and heals it."""
    outcome = deploy("reconcile", server=server)
    if outcome.release is None or outcome.changed:
        return outcome
    spec = servers.spec(server)
    if spec.delivery == "agent":
        return outcome
    drift = look(server)
    _note_failing(outcome.release, drift)
    if outcome.release.state == Release.State.ACTIVE and not drift.any and not drift.unreachable:
        releases.mark_verified(outcome.release)
    # Where somebody else reloads Prometheus, what it has loaded is for them to mend.
    if not drift.on_disk and not (drift.loaded and spec.reload_enabled):
        return outcome
    for found in drift.loaded:
        logger.warning("drift on %s: %s", server, found["message"])
    telemetry.note_drift(server, loaded=len(drift.loaded))
    healed = deploy("drift", server=server, force=True)
    if healed.release is not None and healed.changed:
        if healed.good and not drift.on_disk:  # that is counted where it is delivered
            telemetry.note_healed(server)
        healed.release.warnings = [*healed.release.warnings, *drift.loaded]
        healed.release.save(update_fields=["warnings"])
    return healed


def _note_failing(release: Release, drift: Seen) -> None:
    """Rules that Prometheus cannot evaluate are reported on the release (DESIGN 5), and that nobody could ask it."""
    others = [warning for warning in release.warnings if warning.get("code") != UNREACHABLE]
    if drift.unreachable:
        warnings = [*others, problem(UNREACHABLE, drift.unreachable)]
        if len(others) == len(release.warnings):
            logger.warning("%s holds what it should as far as known; %s", release.server, drift.unreachable)
    else:
        warnings = [*(other for other in others if other.get("code") != "evaluation_failed"), *drift.failing]
    if warnings != release.warnings:
        release.warnings = warnings
        release.save(update_fields=["warnings"])
    # Only this: somebody else may be delivering to it meanwhile.
    ServerState.objects.filter(pk=release.server).update(checked_at=timezone.now())
