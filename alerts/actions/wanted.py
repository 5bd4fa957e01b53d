"""What a server should hold now: the compiled policy, broken keys as last compiled, or the release it is pinned to."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from alerts.actions import fleet, policy, servers
from alerts.actions.policy import CurrentPolicy
from alerts.actions.telemetry import timed
from alerts.adapters.release_store import content_hash
from alerts.adapters.server_spec import ServerSpec
from alerts.domain import compiled_json
from alerts.domain.compiled import CompiledRule
from alerts.domain.errors import Finding, PolicyError
from alerts.domain.fleet import ServerView
from alerts.domain.layers import KeyId
from alerts.domain.promql.expression import parse
from alerts.domain.promql.metrics import metrics_read
from alerts.domain.renderer import RuleFile, render
from alerts.models import CompiledKey, FileContent, Release


@dataclass(frozen=True)
class KeptKey:
    """A key that stays as last compiled. ``release_id`` None: it never was, so nothing of it is in force.

    ``rules`` are those of this server.
    """

    kind: str
    key: str
    release_id: int | None
    why: tuple[Finding, ...]
    rules: tuple[CompiledRule, ...]


@dataclass(frozen=True, eq=False)
class WantedSet:
    """A set of files. Compiled sets carry what they mean; a pinned one only its bytes.

    ``former``: files this process rendered last before, so that what they meant need not be read from their bytes.
    """

    revision: int
    contents: Mapping[str, bytes]
    manifest: Mapping[str, str]
    current: CurrentPolicy | None = None
    files: Mapping[str, RuleFile] = field(default_factory=dict)
    kept: tuple[KeptKey, ...] = ()
    former: Mapping[str, RuleFile] = field(default_factory=dict)

    @cached_property
    def content_hash(self) -> str:
        return content_hash(self.manifest)


@dataclass(frozen=True, eq=False)
class Rendered:
    """What this process rendered last for a layout and a selector, and the files before that."""

    rules: Sequence[CompiledRule]
    files: Mapping[str, RuleFile]
    former: Mapping[str, RuleFile]


NAMED_AT_MOST = 500
"""Keys that are asked for by name; when more are wanted, all are read."""

_render_lock = threading.Lock()
_rendered: dict[fleet.Place, Rendered] = {}


def wanted(
    refused: Mapping[KeyId, tuple[Finding, ...]] | None = None,
    *,
    server: str,
    known: tuple[ServerSpec, int] | None = None,
) -> WantedSet:
    """What the policy says now. Keys that do not compile, or that promtool ``refused``, stay as last compiled.

    ``known``: the server as it just was, and the policy's revision at that moment.
    """
    spec, current = _at_one_moment(server, known)
    kept, view = kept_keys(current, spec, refused or {})
    rules: Sequence[CompiledRule] = view.rules
    if kept:
        frozen = {(key.kind, key.key) for key in kept}
        others = [key_id for key_id in current.compiled.plans if key_id not in frozen]
        rules = [rule for key_id in others for rule in view.rules_of(key_id)]
        rules += [rule for key in kept for rule in key.rules]
    return _rendered_set(fleet.place_of(spec, current), current, rules, kept)


def _at_one_moment(server: str, known: tuple[ServerSpec, int] | None) -> tuple[ServerSpec, CurrentPolicy]:
    """A server, and the policy when it was like that: an edit of its selector is a revision, too."""
    spec, revision = known or servers.spec_at_revision(server)
    while True:
        current = policy.current(spec.layout, revision=revision)
        if current.revision == revision:
            return spec, current
        before = spec  # edits came meanwhile: perhaps none of this server
        spec, revision = servers.spec_at_revision(server)
        if spec == before:
            return spec, current


def _rendered_set(
    place: fleet.Place,
    current: CurrentPolicy,
    rules: Sequence[CompiledRule],
    kept: tuple[KeptKey, ...],
) -> WantedSet:
    with _render_lock:
        last = _rendered.get(place)
        if last is None or last.rules is not rules:  # servers with one view have the very same rules
            former = last.files if last else {}
            for gone in _rendered.keys() - fleet.remembered():
                del _rendered[gone]
            with timed("render"):
                last = _rendered[place] = Rendered(rules, render(rules, former), former)
    files = last.files
    return WantedSet(
        revision=current.revision,
        contents={name: file.content for name, file in files.items()},
        manifest={name: file.sha256 for name, file in files.items()},
        current=current,
        files=files,
        kept=kept,
        former=last.former,
    )


def kept_keys(
    current: CurrentPolicy, spec: ServerSpec, refused: Mapping[KeyId, tuple[Finding, ...]] | None = None
) -> tuple[tuple[KeptKey, ...], ServerView]:
    """The last good compile of the keys that are broken on this server, and of the recordings which those rules read;
    with what the server evaluates beside them.
    """
    with timed("restrict"):
        view = fleet.view_of(spec, current)
    broken = {**current.compiled.problems, **view.problems}
    broken |= {key_id: why for key_id, why in (refused or {}).items() if key_id in current.compiled.plans}
    if not broken:
        return (), view
    stored = stored_keys(spec.name, broken)
    kept = {key_id: _kept(key_id, findings, stored.get(key_id)) for key_id, findings in sorted(broken.items())}
    read = _read_by(rule for key in kept.values() for rule in key.rules)
    for row in CompiledKey.objects.filter(server=spec.name, kind="recording") if read else ():
        key_id: KeyId = (row.kind, row.key)
        if key_id in kept:
            continue
        rules = tuple(compiled_json.from_json(data) for data in row.payload)
        plan = current.compiled.plans.get(key_id)
        if read & {rule.name for rule in rules} and (plan is None or plan.rules != rules):
            why = Finding("read_by_last_good", "a rule that stays as last compiled reads it", key=row.key)
            kept[key_id] = KeptKey(row.kind, row.key, row.release_id, (why,), rules)
    if view.region.conditions:
        view = fleet.view_of(spec, current, tuple(rule for key in kept.values() for rule in key.rules))
        kept = {key_id: _held_to(key, view) for key_id, key in kept.items()}
    return tuple(kept.values()), view


def _held_to(key: KeptKey, view: ServerView) -> KeptKey:
    """What this server evaluates of a key as last compiled, by its selector as it is now."""
    try:
        return replace(key, rules=view.restricted(key.rules))
    except PolicyError as refused:
        return replace(key, rules=(), why=(*key.why, *refused.findings))


def _read_by(rules: Iterable[CompiledRule]) -> set[str]:
    return {name for rule in rules for branch in rule.branches for name in metrics_read(parse(branch.query))}


def stored_keys(server: str, key_ids: Collection[KeyId]) -> dict[KeyId, CompiledKey]:
    """How these keys were last compiled for a server, as far as they were: one query."""
    rows = CompiledKey.objects.filter(server=server)
    if len(key_ids) <= NAMED_AT_MOST:
        rows = rows.filter(key__in={key for _, key in key_ids})
    return {(row.kind, row.key): row for row in rows if (row.kind, row.key) in key_ids}


def _kept(key_id: KeyId, findings: tuple[Finding, ...], stored: CompiledKey | None) -> KeptKey:
    rules = tuple(compiled_json.from_json(data) for data in stored.payload) if stored else ()
    return KeptKey(key_id[0], key_id[1], stored.release_id if stored else None, findings, rules)


def stored_contents(hashes: Collection[str]) -> dict[str, bytes]:
    """The bytes of files by hash, as far as they are still kept."""
    if not hashes:
        return {}
    return {row.sha256: bytes(row.content) for row in FileContent.objects.filter(sha256__in=hashes)}


def of_release(release: Release) -> WantedSet:
    """Exactly what a release held, from the database alone."""
    by_hash = stored_contents(set(release.manifest.values()))
    contents = {name: by_hash[sha256] for name, sha256 in release.manifest.items()}
    return WantedSet(release.revision, contents, dict(release.manifest))
