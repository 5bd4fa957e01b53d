"""The rows that tell what was delivered: releases, their files, and what each server holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.db import transaction
from django.db.models import Max, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from alerts.actions import changes
from alerts.actions.delivery import rule_store
from alerts.actions.file_contents import contents, keep_contents
from alerts.actions.refused_keys import judge_of
from alerts.actions.wanted import WantedSet
from alerts.adapters.release_store import Drift, StoreError
from alerts.adapters.server_spec import ServerSpec
from alerts.domain import rule_files
from alerts.models import DEFAULT_SERVER, PolicyState, PrometheusServer, Release, ServerState

State = Release.State
IN_FORCE = (State.VERIFIED, State.ACTIVE)
UNFINISHED = (State.STAGED, State.CHECKED, State.ACTIVE)
KEPT_ON_DISK = 5
HISTORY = 500
STATE_FIELDS = (
    "loaded_revision",
    "loaded_release",
    "failures",
    "retry_at",
    "last_error",
    "checked_at",
    "flavour",
    "prometheus_version",
    "promtool_version",
)


def state_of(server: str = DEFAULT_SERVER) -> ServerState:
    """The server's row, made when it is asked for first."""
    return ServerState.objects.select_related("loaded_release", "pinned_release").get_or_create(pk=server)[0]


def save_state(state: ServerState, fields: Iterable[str] = STATE_FIELDS) -> None:
    """Never the lease nor the pin: others may change those meanwhile."""
    values = {field: getattr(state, field) for field in fields}
    revision = PolicyState.objects.filter(pk=1).values("revision")
    ServerState.objects.filter(pk=state.pk).update(**values, wanted_revision=Coalesce(Subquery(revision), 0))


def is_good(state: ServerState) -> bool:
    """Whether the release in force was read back, and nothing went wrong since."""
    release = state.loaded_release
    return release is not None and release.state == State.VERIFIED and state.last_error is None


def is_delivered(state: ServerState) -> bool:
    """The same, or in place and waiting for somebody else to reload Prometheus."""
    release = state.loaded_release
    return release is not None and release.state in IN_FORCE and state.last_error is None


def in_sync(spec: ServerSpec, state: ServerState) -> bool:
    """Whether the server was last seen to hold what is wanted, on disk too."""
    release = state.loaded_release
    if release is None or not is_delivered(state):
        return False
    if state.pinned_release is not None:
        return release.content_hash == state.pinned_release.content_hash
    return state.loaded_revision == PolicyState.current() and not disk_drift(spec, release)


def disk_drift(spec: ServerSpec, release: Release | None) -> list[Drift]:
    """How the disk differs from the release in force; an agent's disk is its own to look at."""
    if release is None or spec.delivery == "agent":
        return []
    return rule_store(spec).drift(release.manifest)


def holds(state: ServerState, wanted: WantedSet) -> bool:
    """Whether the release in force has this very content."""
    release = state.loaded_release
    return release is not None and is_delivered(state) and release.content_hash == wanted.content_hash


def note_unchanged(state: ServerState, wanted: WantedSet, pending: Release | None) -> Release | None:
    """The policy moved on without changing a byte: the release in force now also stands for this revision."""
    release = state.loaded_release
    answer_pending(pending, wanted)
    keep_contents(wanted)
    if release is not None and release.last_good != last_good_json(wanted):
        release.last_good = last_good_json(wanted)
        release.save(update_fields=["last_good"])
    if state.pinned_release is None and state.loaded_revision < wanted.revision:
        state.loaded_revision = wanted.revision
        save_state(state)
    return state.loaded_release


def answer_pending(pending: Release | None, wanted: WantedSet) -> None:
    """There was nothing to do: whoever asked still finds an answer at its address."""
    if pending is not None:
        pending.state, pending.changed, pending.finished_at = State.SUPERSEDED, False, timezone.now()
        pending.content_hash, pending.revision = wanted.content_hash, wanted.revision
        pending.save()


def begun(server: str) -> list[Release]:
    """What was asked for or begun and has not ended, the newest first."""
    return list(_unfinished(server).filter(state__in=(State.PENDING, *UNFINISHED)).order_by("-pk"))


def _unfinished(server: str) -> QuerySet[Release]:
    return Release.objects.filter(server=server, finished_at__isnull=True)


def take_up(begun: list[Release], state: ServerState) -> Release | None:
    """Of what was begun the release somebody waits for, if any; older requests are answered by the same one.

    Whoever was at others died in the middle; what they left is found out from disk and Prometheus. What an agent is at
    is not abandoned.
    """
    in_force = (state.loaded_release_id, state.offered_release_id)
    pending = [release for release in begun if release.state == State.PENDING]
    left = [release.pk for release in begun if release.state != State.PENDING and release.pk not in in_force]
    now = timezone.now()
    if left:
        interrupted = {"code": "interrupted", "message": "the process died in the middle; another one took over"}
        # Still unfinished, that is: an agent may have reported meanwhile.
        rows = _unfinished(state.name).filter(pk__in=left)
        rows.update(state=State.SUPERSEDED, finished_at=now, errors=[interrupted])
    for release in pending[1:]:
        release.state, release.finished_at = State.SUPERSEDED, now
        release.save()
    return pending[0] if pending else None


def reusable_failure(state: ServerState, wanted: WantedSet) -> Release | None:
    """Trying the same again is the same release: an hour of retries is one row, not sixty."""
    if not state.failures:
        return None
    last = Release.objects.filter(server=state.name).order_by("-pk").first()
    if last is None or last.state not in (State.FAILED, State.ROLLED_BACK, State.REJECTED):
        return None
    same = last.content_hash == wanted.content_hash and last.revision == wanted.revision
    return last if same else None


def describe(release: Release, wanted: WantedSet, state: ServerState, guard: Callable[[], object]) -> None:
    """What the release holds and changes; stores it with the bytes of its files.

    ``guard`` raises when somebody else writes to this server now: who slept while compiling changes nothing after that.
    """
    before = state.loaded_release.manifest if state.loaded_release else {}
    release.revision = wanted.revision
    release.committed_at = wanted.current.loaded.commit.at if wanted.current else None
    release.content_hash = wanted.content_hash
    pinned = state.pinned_release
    release.layout = wanted.current.compiled.options.layout if wanted.current else pinned.layout if pinned else ""
    release.manifest = dict(wanted.manifest)
    release.rule_count = _count(wanted)
    release.changes = changes.told_briefly(before, wanted)
    release.last_good = last_good_json(wanted)
    release.state = State.PENDING
    release.finished_at = None
    with transaction.atomic():
        guard()
        release.save()
    keep_contents(wanted, before.values())


def last_good_json(wanted: WantedSet) -> list[dict[str, Any]]:
    """The keys that stay as last compiled, since which release, and why; who refused them, though they compile."""
    found = []
    for key in wanted.kept:
        why = [str(finding) for finding in key.why]
        said: dict[str, Any] = {"kind": key.kind, "key": key.key, "since_release": key.release_id, "why": why}
        if judge := judge_of(key.why):
            said["refused_by"] = judge
        found.append(said)
    return found


def _count(wanted: WantedSet) -> int:
    if wanted.files:
        return sum(len(group.rules) for file in wanted.files.values() for group in file.groups)
    return sum(len(rule_files.rules(name, content)) for name, content in wanted.contents.items())


def good_release(state: ServerState) -> Release | None:
    """The release in force. Where that is not known, since the server moved: the last that it was seen to hold."""
    if state.loaded_release is not None:
        return state.loaded_release
    return held_by(state.name).order_by("-verified_at").first()


def held_by(server: str) -> QuerySet[Release]:
    """What this server was seen to hold; not what another one of its name was, before that was deleted."""
    seen = Release.objects.filter(server=server, verified_at__isnull=False)
    namesakes = PrometheusServer.objects.filter(name=server)
    gone = namesakes.aggregate(at=Max("deleted_at"))["at"]
    made = namesakes.filter(deleted_at__isnull=True).exclude(name=DEFAULT_SERVER).aggregate(at=Max("created_at"))["at"]
    for since in (gone, made):
        seen = seen.filter(verified_at__gt=since) if since is not None else seen
    return seen


def last_good(state: ServerState) -> dict[str, bytes]:
    """The files to go back to, from the database; none before the first good ones."""
    release = good_release(state)
    return contents(release.manifest, set(release.manifest)) if release is not None else {}


def supersede_others(release: Release) -> None:
    """Only one release of a server is in force."""
    Release.objects.filter(state__in=IN_FORCE, server=release.server).exclude(pk=release.pk).update(
        state=State.SUPERSEDED
    )


def prune(spec: ServerSpec, state: ServerState, fence: int | None = None) -> None:
    """Keeps the last few good sets on disk, and the pinned one."""
    good = Release.objects.filter(server=state.name, verified_at__isnull=False).order_by("-pk")
    keep = set(good.values_list("content_hash", flat=True)[:KEPT_ON_DISK])
    if state.pinned_release is not None:
        keep.add(state.pinned_release.content_hash)
    try:
        rule_store(spec).prune(keep, fence)
    except StoreError:
        return  # the next release tries again; nothing depends on it


def forget_old(server: str) -> None:
    """History is kept for the last releases only, and for what is in force, pinned or offered."""
    held = ServerState.objects.filter(pk=server).values_list("loaded_release", "pinned_release", "offered_release")
    spared = [pk for row in held for pk in row]
    rows = Release.objects.filter(server=server).order_by("-pk")
    oldest = rows.values_list("pk", flat=True)[HISTORY : HISTORY + 1].first()
    if oldest is None:
        return
    rows.filter(pk__lte=oldest).exclude(pk__in=[pk for pk in spared if pk]).delete()


def mark_verified(release: Release) -> None:
    """Somebody else reloaded Prometheus, and it was seen to hold this release; unless a newer one is in force now."""
    now = timezone.now()
    if Release.objects.filter(pk=release.pk, state=State.ACTIVE).update(state=State.VERIFIED, verified_at=now):
        release.state, release.verified_at = State.VERIFIED, now
