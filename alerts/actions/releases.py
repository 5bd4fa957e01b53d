"""The rows that tell what was delivered: releases, their files, and what each server holds."""

from __future__ import annotations

from typing import Any

from django.db.models import Max
from django.utils import timezone

from alerts.actions.delivery import rule_store
from alerts.actions.wanted import WantedSet, stored_contents
from alerts.adapters.release_store import Drift, StoreError
from alerts.adapters.server_spec import ServerSpec
from alerts.domain import planner, rule_files
from alerts.domain.planner import DeployedRule, Plan
from alerts.domain.renderer import RuleFile
from alerts.models import DEFAULT_SERVER, FileContent, PolicyState, PrometheusServer, Release, ServerState

State = Release.State
IN_FORCE = (State.VERIFIED, State.ACTIVE)
UNFINISHED = (State.STAGED, State.CHECKED, State.ACTIVE)
KEPT_ON_DISK = 5
HISTORY = 500
LISTED = 200
STATE_FIELDS = (
    "wanted_revision",
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


def save_state(state: ServerState) -> None:
    """Never the lease nor the pin: others may change those meanwhile."""
    state.wanted_revision = PolicyState.current()
    state.save(update_fields=STATE_FIELDS)


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


def abandon_unfinished(state: ServerState) -> None:
    """Whoever was at these died in the middle; what they left is found out from disk and Prometheus.

    What an agent is at is not abandoned.
    """
    unfinished = Release.objects.filter(server=state.name, state__in=UNFINISHED, finished_at__isnull=True)
    unfinished.exclude(pk__in=[state.loaded_release_id or 0, state.offered_release_id or 0]).update(
        state=State.SUPERSEDED,
        finished_at=timezone.now(),
        errors=[{"code": "interrupted", "message": "the process died in the middle; another one took over"}],
    )


def take_pending(server: str) -> Release | None:
    """The release somebody waits for; older requests are answered by the same one."""
    pending = list(Release.objects.filter(server=server, state=State.PENDING).order_by("-pk"))
    for release in pending[1:]:
        release.state, release.finished_at = State.SUPERSEDED, timezone.now()
        release.save()
    return pending[0] if pending else None


def reusable_failure(state: ServerState, wanted: WantedSet) -> Release | None:
    """Trying the same again is the same release: an hour of retries is one row, not sixty."""
    last = Release.objects.filter(server=state.name).order_by("-pk").first()
    if last is None or last.state not in (State.FAILED, State.ROLLED_BACK, State.REJECTED):
        return None
    same = last.content_hash == wanted.content_hash and last.revision == wanted.revision
    return last if same else None


def describe(release: Release, wanted: WantedSet, state: ServerState) -> None:
    """What the release holds and changes; stores it with the bytes of its files."""
    before = state.loaded_release.manifest if state.loaded_release else {}
    release.revision = wanted.revision
    release.committed_at = wanted.current.loaded.commit.at if wanted.current else None
    release.content_hash = wanted.content_hash
    pinned = state.pinned_release
    release.layout = wanted.current.compiled.options.layout if wanted.current else pinned.layout if pinned else ""
    release.manifest = dict(wanted.manifest)
    release.rule_count = _count(wanted)
    release.changes = plan_json(plan_from(before, wanted), brief=True)
    release.last_good = last_good_json(wanted)
    release.state = State.PENDING
    release.finished_at = None
    release.save()
    keep_contents(wanted)


def last_good_json(wanted: WantedSet) -> list[dict[str, Any]]:
    """The keys that stay as last compiled, since which release, and why."""
    return [
        {
            "kind": key.kind,
            "key": key.key,
            "since_release": key.release_id,
            "why": [str(finding) for finding in key.why],
        }
        for key in wanted.kept
    ]


def _count(wanted: WantedSet) -> int:
    if wanted.files:
        return sum(len(group.rules) for file in wanted.files.values() for group in file.groups)
    return sum(len(rule_files.rules(name, content)) for name, content in wanted.contents.items())


def keep_contents(wanted: WantedSet) -> None:
    """Stores the bytes of a set, as far as they are not there."""
    hashes = set(wanted.manifest.values())
    known: set[str] = set()
    wanted_list = sorted(hashes)
    for start in range(0, len(wanted_list), 500):
        known |= set(
            FileContent.objects.filter(sha256__in=wanted_list[start : start + 500]).values_list("sha256", flat=True)
        )
    FileContent.objects.bulk_create(
        [
            FileContent(sha256=sha256, content=wanted.contents[name], size=len(wanted.contents[name]))
            for sha256, name in {wanted.manifest[name]: name for name in wanted.manifest}.items()
            if sha256 not in known
        ],
        ignore_conflicts=True,
        batch_size=200,
    )


def contents(manifest: dict[str, str], names: set[str]) -> dict[str, bytes]:
    """The bytes of some files of a manifest, from the database."""
    stored = stored_contents({manifest[name] for name in names})
    return {name: stored[manifest[name]] for name in names if manifest[name] in stored}


def good_release(state: ServerState) -> Release | None:
    """The release in force. Where that is not known, since the server moved: the last that it was seen to hold."""
    if state.loaded_release is not None:
        return state.loaded_release
    seen = Release.objects.filter(server=state.name, verified_at__isnull=False)
    namesakes = PrometheusServer.objects.filter(name=state.name)
    gone = namesakes.aggregate(at=Max("deleted_at"))["at"]
    made = namesakes.filter(deleted_at__isnull=True).exclude(name=DEFAULT_SERVER).aggregate(at=Max("created_at"))["at"]
    for since in (gone, made):  # what another server of this name held is not this one's
        seen = seen.filter(verified_at__gt=since) if since is not None else seen
    return seen.order_by("-verified_at").first()


def last_good(state: ServerState) -> dict[str, bytes]:
    """The files to go back to, from the database; none before the first good ones."""
    release = good_release(state)
    return contents(release.manifest, set(release.manifest)) if release is not None else {}


def plan_from(before: dict[str, str], wanted: WantedSet) -> Plan:
    """What going from a manifest to a wanted set changes; only files that differ are looked into."""
    after = dict(wanted.manifest)
    gone = {name for name in before if after.get(name) != before[name]}
    fresh = {name for name in after if before.get(name) != after[name]}
    known = {name: file for name, file in wanted.former.items() if name in gone and file.sha256 == before[name]}
    old = [rule for file in known.values() for rule in _deployed(file)]
    for name, content in contents(before, gone - known.keys()).items():
        old += rule_files.rules(name, content)
    return planner.plan(old, [rule for name in fresh for rule in _rules(wanted, name)], before, after)


def _rules(wanted: WantedSet, name: str) -> list[DeployedRule]:
    file = wanted.files.get(name)
    return rule_files.rules(name, wanted.contents[name]) if file is None else _deployed(file)


def _deployed(file: RuleFile) -> list[DeployedRule]:
    return [planner.deployed(rule) for group in file.groups for rule in group.rules]


def plan_json(plan: Plan, *, brief: bool = False) -> dict[str, Any]:
    """A plan for people and programs; ``brief`` cuts long lists, as kept with a release."""

    def cut(items: list[Any]) -> list[Any]:
        return items[:LISTED] if brief else items

    return {
        "files": {
            "added": list(plan.files_added),
            "changed": list(plan.files_changed),
            "removed": list(plan.files_removed),
        },
        "rules": {
            "added": cut([rule_json(rule) for rule in plan.added]),
            "changed": cut(
                [
                    {
                        **rule_json(change.after),
                        "fields": {
                            name: {"before": _plain(before), "after": _plain(after)}
                            for name, (before, after) in change.fields.items()
                        },
                    }
                    for change in plan.changed
                ]
            ),
            "removed": cut([rule_json(rule) for rule in plan.removed]),
        },
        "identities": cut(
            [
                {"name": old.name, "kind": old.kind, "before": dict(old.labels), "after": dict(new.labels)}
                for old, new in plan.identities
            ]
        ),
        "timers": cut([rule_json(rule) for rule in plan.timers]),
        "counts": {
            "added": len(plan.added),
            "changed": len(plan.changed),
            "removed": len(plan.removed),
            "identities": len(plan.identities),
            "timers": len(plan.timers),
        },
    }


def rule_json(rule: DeployedRule) -> dict[str, Any]:
    return {
        "file": rule.file,
        "group": rule.group,
        "kind": rule.kind,
        "name": rule.name,
        "expr": rule.expr,
        "for_duration": rule.for_duration,
        "labels": dict(rule.labels),
    }


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, tuple) else value


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


def forget_contents() -> None:
    """Bytes that no release holds go.

    First which bytes there are, then who holds them: a release is stored before its bytes, so what somebody stores
    meanwhile is spared. Who finds bytes there that go just now stores them again (``keep_contents``).
    """
    there = _stored_hashes()
    gone = sorted(there - _held_hashes())
    for start in range(0, len(gone), 500):
        FileContent.objects.filter(sha256__in=gone[start : start + 500]).delete()


def _stored_hashes() -> set[str]:
    return set(FileContent.objects.values_list("sha256", flat=True).iterator())


def _held_hashes() -> set[str]:
    held: set[str] = set()
    for manifest in Release.objects.values_list("manifest", flat=True).iterator():
        held.update(manifest.values())
    return held


def mark_verified(release: Release) -> None:
    """Somebody else reloaded Prometheus, and it was seen to hold this release; unless a newer one is in force now."""
    now = timezone.now()
    if Release.objects.filter(pk=release.pk, state=State.ACTIVE).update(state=State.VERIFIED, verified_at=now):
        release.state, release.verified_at = State.VERIFIED, now
