"""Delivery by agent: a release is offered; the agent beside the server fetches it and reports what came of it.

Laws:

- To deliver is to offer. What the agent makes of it (stage, check, activate, read back, go back) is its own business.
- Only a report on the content that is offered *now* changes anything; a late one is noted as a sign of life.
- The agent tries again by itself. The control plane takes a hand only where something else has to be offered: promtool
  there refuses rules, so their keys stay as last compiled.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from alerts.actions import compiled_keys, file_contents, telemetry, waking
from alerts.actions.delivery import Problem, problem
from alerts.actions.lease import Lease
from alerts.actions.outcomes import Guard, record_failure, record_success
from alerts.actions.wanted import WantedSet
from alerts.adapters.promtool import Refusal
from alerts.models import Release, ServerState

logger = logging.getLogger(__name__)

State = Release.State
LIFE_IS_NOTED_EVERY = timedelta(seconds=15)


AGENT_SILENT_AFTER = timedelta(minutes=3)
"""An agent asks at least once a minute: it waits no longer for an answer, nor between two tries."""

# --- offering ---------------------------------------------------------------------------------------------------------


def standing(state: ServerState, wanted: WantedSet, lease: Lease) -> Release | None:
    """The offered release, when it has this very content: there is nothing new to offer.

    It then stands for the newer revision too; once verified, how its keys were compiled is remembered. LeaseLost when
    somebody else writes here now.
    """
    offered = _offered(state)
    if offered is None or offered.content_hash != wanted.content_hash or refusals(state, wanted):
        return None
    moved = offered.revision < wanted.revision and state.pinned_release_id is None
    file_contents.keep_contents(wanted)
    with transaction.atomic():
        lease.guard()
        row = _locked(state.name)
        if row.offered_release_id != offered.pk:
            return None
        if moved:
            Release.objects.filter(pk=offered.pk).update(revision=wanted.revision)
        is_loaded = row.loaded_release_id == offered.pk
        row.loaded_revision = wanted.revision if moved and is_loaded else row.loaded_revision
        row.retry_at, row.wanted_revision, row.checked_at = None, wanted.revision, timezone.now()
        if not _speaks_of(row.last_error, offered):  # what could not be offered is not wanted any more
            row.failures, row.last_error = 0, None
        changed = ["loaded_revision", "retry_at", "wanted_revision", "checked_at", "failures", "last_error"]
        row.save(update_fields=changed)
    offered.refresh_from_db(fields=["revision", "state"])
    if is_loaded and offered.state == State.VERIFIED:
        compiled_keys.remember_compiled(offered, wanted, lease)
    return offered


def offer(release: Release, state: ServerState, guard: Guard) -> None:
    """From now on the agent is told to fetch this release, which the central promtool has passed.

    One that was offered before and never loaded is superseded; one of the very same content stays. ``guard`` raises
    when somebody else writes here now.
    """
    with transaction.atomic():
        guard()
        row = _locked(state.name)
        if _stands_already(release, row):
            return
        former = Release.objects.filter(pk=row.offered_release_id or 0, finished_at__isnull=True).exclude(pk=release.pk)
        former.update(state=State.SUPERSEDED, finished_at=timezone.now())
        release.state, release.finished_at = State.STAGED, None
        release.save()
        row.offered_release, row.retry_at = release, None
        row.save(update_fields=["offered_release", "retry_at"])
    state.offered_release, state.retry_at = release, None
    logger.info("release %s is offered to the agent of %s", release.pk, state.name)


def _stands_already(release: Release, row: ServerState) -> bool:
    """Whether the agent has been offered this content before; then it would not fetch it, nor say a word, again."""
    offered = _offered(row)
    if offered is None or offered.pk == release.pk or offered.content_hash != release.content_hash:
        return False
    release.state, release.changed, release.finished_at = State.SUPERSEDED, False, timezone.now()
    release.save()
    if offered.revision < release.revision:
        Release.objects.filter(pk=offered.pk).update(revision=release.revision, last_good=release.last_good)
        if row.loaded_release_id == offered.pk:
            row.loaded_revision = release.revision
    row.retry_at = None
    row.save(update_fields=["loaded_revision", "retry_at"])
    return True


def refusals(state: ServerState, wanted: WantedSet) -> list[Refusal]:
    """What the agent's promtool objected to when it was offered this very content; it would do so again.

    Empty when that does not say which rules to leave out.
    """
    rejected = Release.objects.filter(server=state.name, content_hash=wanted.content_hash, state=State.REJECTED)
    last = rejected.order_by("-pk").values_list("errors", flat=True).first() or []
    found = [
        Refusal(
            file=error.get("file", ""),
            message=error["message"],
            line=error.get("line"),
            group=error.get("group"),
            rule_index=error.get("rule_index"),
            rule_name=error.get("rule"),
        )
        for error in last
        # Another promtool may think otherwise.
        if error["code"] == "promtool_refused" and error.get("promtool_version", "") == state.promtool_version
    ]
    return found if all(refusal.group and refusal.rule_index for refusal in found) else []


# --- fetching ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Offer:
    release_id: int
    revision: int
    content_hash: str


def offers(servers: list[str]) -> dict[str, Offer]:
    """What is offered to these servers now, by name: one indexed read for all of them."""
    rows = ServerState.objects.filter(pk__in=servers, offered_release__isnull=False)
    columns = ("offered_release_id", "offered_release__revision", "offered_release__content_hash")
    return {name: Offer(*found) for name, *found in rows.values_list("name", *columns)}


def bundle(server: str) -> dict[str, Any] | None:
    """The offered release with the text of its files; None when there is none."""
    found = Release.objects.filter(
        pk__in=ServerState.objects.filter(pk=server).values_list("offered_release_id", flat=True)
    )
    release = found.first()
    if release is None:
        return None
    contents = file_contents.contents(release.manifest, set(release.manifest))
    if len(contents) != len(release.manifest):
        logger.error("release %s lacks files: they are no longer kept", release.pk)
        return None
    return {
        "server": server,
        "release": release.pk,
        "revision": release.revision,
        "content_hash": release.content_hash,
        "files": {name: content.decode() for name, content in sorted(contents.items())},
        "scope": None,  # kept for bundles of a part of the rules
    }


def note_life(server: str) -> None:
    """The agent was here just now; written down a few times a minute at most."""
    now = timezone.now()
    fresh = ServerState.objects.filter(pk=server, agent_seen_at__gt=now - LIFE_IS_NOTED_EVERY)
    if not fresh.exists():
        ServerState.objects.get_or_create(pk=server)
        ServerState.objects.filter(pk=server).update(agent_seen_at=now)


# --- reporting --------------------------------------------------------------------------------------------------------


def report(server: str, told: Mapping[str, Any]) -> bool:
    """Takes down what an agent says became of a release. False: it is not what is offered now.

    ``told`` is an agent's report as the API takes it: of the right shape, and bounded.
    """
    ServerState.objects.get_or_create(pk=server)
    with transaction.atomic():
        state = _locked(server)
        for name in ("agent_version", "flavour", "prometheus_version", "promtool_version"):
            setattr(state, name, told.get(name) or getattr(state, name))
        state.agent_seen_at = timezone.now()
        state.save(
            update_fields=["agent_seen_at", "agent_version", "flavour", "prometheus_version", "promtool_version"]
        )
        release = _offered(state)
        if release is None or not _is_about(release, told):
            logger.info("the agent of %s speaks of release %s, which is not offered", server, told["release"])
            return False
        codes = [found["code"] for found in told.get("drift", [])]
        on_disk = codes.count("drift_on_disk")
        telemetry.note_drift(server, on_disk=on_disk, loaded=len(codes) - on_disk)
        if told["state"] in (State.VERIFIED, State.ACTIVE):
            _holds(release, state, told)
        else:
            _does_not(release, state, told)
    return True


def _is_about(release: Release, told: Mapping[str, Any]) -> bool:
    """By content: an agent that has it already keeps calling it by an older release. Cut off, it has no hash."""
    if told["content_hash"]:
        return bool(told["content_hash"] == release.content_hash)
    return told["state"] == State.FAILED and told["release"] == release.pk


def _holds(release: Release, state: ServerState, told: Mapping[str, Any]) -> None:
    verified = told["state"] == State.VERIFIED
    release.warnings = [*_said_here(release), *_said_there(told)]
    if verified and told.get("drift"):
        telemetry.note_healed(state.name)
    if release.state == told["state"] and state.loaded_release_id == release.pk:
        # The same again: still so, or so again. That a newer one could not be offered is another matter.
        release.save(update_fields=["warnings"])
        _note(state, **({"failures": 0, "last_error": None} if _speaks_of(state.last_error, release) else {}))
        return
    release.timings = _timings(release, told)
    release.errors = []
    record_success(release, state, _nobody_else, verified=verified)
    if verified:
        # A worker remembers how its keys were compiled: that is not for a web process to work out.
        _look_again(state)


def _does_not(release: Release, state: ServerState, told: Mapping[str, Any]) -> None:
    refused = [_refused(refusal, state.promtool_version) for refusal in told.get("refusals", [])]
    problems = [*refused, *told.get("errors", []), *told.get("drift", [])]
    problems = problems or [problem(told["state"], "the agent does not say why")]
    if state.loaded_release_id == release.pk:
        # It was in force already: what fails now is keeping it so.
        error = {**problems[0], "release": release.pk, "at": timezone.now().isoformat()}
        _note(state, failures=state.failures + 1, last_error=error)
        return
    release.timings = _timings(release, told)
    record_failure(release, state, _nobody_else, outcome=told["state"], problems=problems)
    if told["state"] == State.REJECTED and refused:
        _look_again(state)
    else:  # the agent tries again by itself
        _note(state, retry_at=None)


def _speaks_of(error: Mapping[str, Any] | None, release: Release) -> bool:
    return error is not None and error.get("release") == release.pk


def _timings(release: Release, told: Mapping[str, Any]) -> dict[str, float]:
    """With those of the agent: its steps are ours, so a row that is reported on again and again does not grow."""
    known = {step: seconds for step, seconds in told.get("timings", {}).items() if step in telemetry.PHASES}
    return {**release.timings, **known}


def _note(state: ServerState, **values: Any) -> None:
    ServerState.objects.filter(pk=state.pk).update(**values, checked_at=timezone.now())


def _look_again(state: ServerState) -> None:
    """A worker shall come by at once."""
    ServerState.objects.filter(pk=state.pk).update(retry_at=timezone.now())
    waking.server_changed(state.name)


def _refused(refusal: Mapping[str, Any], promtool_version: str) -> Problem:
    return problem(
        "promtool_refused",
        refusal["message"],
        file=refusal.get("file") or None,
        group=refusal.get("group"),
        rule=refusal.get("rule_name"),
        rule_index=refusal.get("rule_index"),
        line=refusal.get("line"),
        promtool_version=promtool_version or None,
    )


def _said_here(release: Release) -> list[Problem]:
    """The warnings from before it was offered: an agent's own are replaced by its newer ones."""
    return [warning for warning in release.warnings if not warning.get("by_agent")]


def _said_there(told: Mapping[str, Any]) -> list[Problem]:
    return [{**said, "by_agent": True} for said in (*told.get("warnings", []), *told.get("drift", []))]


def _locked(server: str) -> ServerState:
    # Without its releases: whoever waits for the lock would get those from before.
    return ServerState.objects.select_for_update().get(pk=server)


def _offered(state: ServerState) -> Release | None:
    return Release.objects.filter(pk=state.offered_release_id or 0).first()


def _nobody_else() -> None:
    """The row of the server's state is locked already."""
