"""What a server should hold now: the compiled policy, broken keys as last compiled, or the release it is pinned to."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from alerts.actions import policy
from alerts.actions.policy import CurrentPolicy
from alerts.adapters.release_store import content_hash
from alerts.domain import compiled_json
from alerts.domain.compiled import CompiledRule
from alerts.domain.errors import Finding
from alerts.domain.layers import KeyId
from alerts.domain.promql.expression import parse
from alerts.domain.promql.metrics import metrics_read
from alerts.domain.renderer import RuleFile, render
from alerts.models import CompiledKey, FileContent, Release


@dataclass(frozen=True)
class KeptKey:
    """A key that stays as last compiled. ``release_id`` None: it never was, so nothing of it is in force."""

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


_render_lock = threading.Lock()
_rendered: dict[str, RuleFile] = {}


def wanted(refused: Mapping[KeyId, tuple[Finding, ...]] | None = None, *, server: str) -> WantedSet:
    """What the policy says now. Keys that do not compile, or that promtool ``refused``, stay as last compiled."""
    global _rendered
    current = policy.current()
    broken = {**current.compiled.problems, **(refused or {})}
    kept = kept_keys(broken, current, server) if broken else ()
    frozen = {(key.kind, key.key) for key in kept}
    rules: list[CompiledRule] = []
    if frozen:
        rules = [
            rule
            for key_id, plan in current.compiled.plans.items()
            if key_id not in frozen and key_id not in broken
            for rule in plan.rules
        ]
        rules += [rule for key in kept for rule in key.rules]
    else:
        rules = list(current.compiled.rules)
    with _render_lock:
        former = _rendered
        files = _rendered = render(rules, former)
    return WantedSet(
        revision=current.revision,
        contents={name: file.content for name, file in files.items()},
        manifest={name: file.sha256 for name, file in files.items()},
        current=current,
        files=files,
        kept=kept,
        former=former,
    )


def kept_keys(broken: Mapping[KeyId, tuple[Finding, ...]], current: CurrentPolicy, server: str) -> tuple[KeptKey, ...]:
    """The last good compile of the broken keys, and of the recordings which those rules read."""
    kept = {key_id: _kept(key_id, findings, _stored(key_id, server)) for key_id, findings in sorted(broken.items())}
    read = _read_by(rule for key in kept.values() for rule in key.rules)
    for stored in CompiledKey.objects.filter(server=server, kind="recording") if read else ():
        key_id: KeyId = (stored.kind, stored.key)
        if key_id in kept:
            continue
        rules = tuple(compiled_json.from_json(data) for data in stored.payload)
        plan = current.compiled.plans.get(key_id)
        if read & {rule.name for rule in rules} and (plan is None or plan.rules != rules):
            why = Finding("read_by_last_good", "a rule that stays as last compiled reads it", key=stored.key)
            kept[key_id] = KeptKey(stored.kind, stored.key, stored.release_id, (why,), rules)
    return tuple(kept.values())


def _read_by(rules: Iterable[CompiledRule]) -> set[str]:
    return {name for rule in rules for branch in rule.branches for name in metrics_read(parse(branch.query))}


def _stored(key_id: KeyId, server: str) -> CompiledKey | None:
    return CompiledKey.objects.filter(server=server, kind=key_id[0], key=key_id[1]).first()


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
