"""The policy as the domain sees it, kept in memory and brought up to date by what changed since.

A row carries the policy revision that last touched it, so a process that knows revision R reads only the rows above R,
and the compiler goes through only their keys. Every process keeps one copy, compiled once for each layout that a
server asks for; the database stays the truth.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from django.conf import settings
from django.db.models import Q

from alerts.actions.layers import load_group_labels, load_layers, load_topology
from alerts.actions.telemetry import timed
from alerts.domain.compiler import CompiledPolicy, Options, compile_policy, without_garbage_collection
from alerts.domain.layers import Policy
from alerts.domain.layout import Layout
from alerts.models import AlertRule, PolicyState, Target
from alerts.models.policy_state import Commit

LARGE = 1_000
"""Rules from which on a policy is worth keeping from the garbage collector; that takes a look at all of memory."""


@dataclass(frozen=True, eq=False)
class LoadedPolicy:
    """The policy as it was at one commit. ``group_labels``: each group's label and value, by its id."""

    commit: Commit
    policy: Policy
    labels: tuple[str, str]
    group_labels: Mapping[int, tuple[str, str]]

    @property
    def revision(self) -> int:
        return self.commit.revision

    def can_follow(self, commit: Commit) -> bool:
        """Whether the rules changed since are all there is to read: no place changed, and no row is simply gone.

        A lower revision means that the database was put back.
        """
        seen = self.commit.revision
        same_places = commit.topology_revision <= seen and self.labels == _labels()
        return commit.revision >= seen and same_places and commit.purged_revision <= seen


@dataclass(frozen=True, eq=False)
class CurrentPolicy:
    """The policy at one revision, compiled for one layout."""

    loaded: LoadedPolicy
    compiled: CompiledPolicy

    @property
    def revision(self) -> int:
        return self.loaded.revision

    @property
    def policy(self) -> Policy:
        return self.loaded.policy


def options(layout: str | None = None) -> Options:
    """How this installation compiles; ``layout`` None: as the settings say."""
    return Options(
        layout=cast(Layout, layout or settings.PROMETHEUS_RULE_LAYOUT),
        determined_by=tuple(settings.DETERMINING_LABELS),
        base_url=settings.BASE_URL.rstrip("/"),
    )


def load() -> Policy:
    """Everything as it stands in the database now, uncommitted changes of this transaction included."""
    return Policy(load_topology(), tuple(load_layers()))


class PolicyCache:
    """The latest policy a process has seen. Thread-safe; loads and compiles at most once per revision."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: LoadedPolicy | None = None
        self._compiled: dict[Options, CurrentPolicy] = {}

    def current(self, wanted: Options, revision: int | None = None) -> CurrentPolicy:
        """The policy at the latest committed revision (or a later one, when somebody writes meanwhile).

        ``revision``: the latest one, where the caller has just read it.
        """
        known = self._compiled.get(wanted)
        if known is not None and known.loaded.labels == _labels():
            latest = PolicyState.current() if revision is None else revision
            if known.revision == latest:
                return known
        # What is set aside is not looked through before: that would be for nothing.
        with self._lock, without_garbage_collection():
            return self._compile(self._refresh(), wanted)

    def at(self, loaded: LoadedPolicy, wanted: Options) -> CurrentPolicy:
        known = self._compiled.get(wanted)
        return known if known is not None and known.loaded is loaded else self.current(wanted)

    def forget(self) -> None:
        """Reads everything again at the next call."""
        with self._lock:
            self._loaded = None
            self._compiled = {}

    def _compile(self, loaded: LoadedPolicy, wanted: Options) -> CurrentPolicy:
        known = self._compiled.get(wanted)
        if known is not None and known.loaded is loaded:
            return known
        with timed("compile"):
            compiled = compile_policy(loaded.policy, wanted, known.compiled if known else None)
        found = self._compiled[wanted] = CurrentPolicy(loaded, compiled)
        if known is None and len(loaded.policy.layers) >= LARGE:
            _set_aside()
        return found

    def _refresh(self) -> LoadedPolicy:
        # Read between two looks at the revision: what changed in between is read again.
        while True:
            commit = PolicyState.last_commit()
            known = self._loaded
            if known is not None and known.commit == commit and known.labels == _labels():
                return known
            if known is not None and not known.can_follow(commit):
                known = None
            with timed("load"):
                policy = _brought_up_to_date(known) if known else load()
                group_labels = known.group_labels if known else load_group_labels()
            if PolicyState.last_commit() != commit:
                continue
            if known is None:
                self._compiled = {}
            self._loaded = LoadedPolicy(commit, policy, _labels(), group_labels)
            return self._loaded


def _set_aside() -> None:
    """What is in memory now stays there: the garbage collector would go through a large policy for nothing, many times
    in every deploy. What an earlier call set aside is looked at once more.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _brought_up_to_date(known: LoadedPolicy) -> Policy:
    """The policy as it stands now; only rows that changed since are read. The topology must be the same."""
    layers = {layer.rule_id: layer for layer in known.policy.layers}
    # A rule at a target says its hostname, which may change without the rule.
    targets = Target.objects.filter(revision__gt=known.revision)
    changed = AlertRule.objects.filter(Q(revision__gt=known.revision) | Q(target__in=targets))
    written = load_layers(changed.living())
    touched = [*changed.deleted().values_list("pk", flat=True), *(layer.rule_id for layer in written)]
    former = [layers.pop(rule_id) for rule_id in touched if rule_id in layers]
    layers |= {layer.rule_id: layer for layer in written}
    return known.policy.edited(tuple(layers.values()), {layer.key_id for layer in (*former, *written)})


def _labels() -> tuple[str, str]:
    """Settings that a topology is made with."""
    return (settings.TARGET_LABEL, settings.SCOPE_LABEL)


_cache = PolicyCache()


def current(layout: str | None = None, *, revision: int | None = None) -> CurrentPolicy:
    """This process' copy of the policy, up to date, compiled for ``layout`` (None: the settings').

    ``revision``: the latest one, where the caller has just read it.
    """
    return _cache.current(options(layout), revision)


def at(loaded: LoadedPolicy, layout: str) -> CurrentPolicy:
    """The same policy for another layout, without asking the database again; a newer one when it has moved on."""
    return _cache.at(loaded, options(layout))


def forget() -> None:
    """For tests and for a process that has reason to distrust its copy."""
    _cache.forget()
