"""Says what going from one set of rules to another does: to files, to Alertmanager and to running ``for`` timers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from alerts.domain.compiled import CompiledRule, Pairs
from alerts.domain.durations import parse_duration
from alerts.domain.layers import Kind


@dataclass(frozen=True, slots=True)
class DeployedRule:
    """One rule as it stands in a rule file."""

    file: str
    group: str
    kind: Kind
    name: str
    expr: str
    for_duration: str | None
    keep_firing_for: str | None
    labels: Pairs
    annotations: Pairs
    interval: str | None = None

    @property
    def identity(self) -> tuple[str, str, Pairs]:
        return (self.kind, self.name, self.labels)


FIELDS = ("file", "group", "expr", "for_duration", "keep_firing_for", "interval", "annotations")


def deployed(rule: CompiledRule) -> DeployedRule:
    """A compiled rule as it will stand in its file."""
    return DeployedRule(
        rule.file,
        rule.group,
        rule.kind,
        rule.name,
        rule.expr,
        rule.for_duration,
        rule.keep_firing_for,
        rule.labels,
        rule.annotations,
        rule.interval,
    )


@dataclass(frozen=True, slots=True)
class RuleChange:
    """A rule that keeps its identity, with the fields that differ: name → (before, after)."""

    before: DeployedRule
    after: DeployedRule
    fields: Mapping[str, tuple[object, object]]

    @property
    def restarts_timer(self) -> bool:
        """Prometheus keeps a rule's state only within its group (engine: config reload)."""
        moved = (self.before.file, self.before.group) != (self.after.file, self.after.group)
        return moved and waits(self.before) and waits(self.after)


@dataclass(frozen=True, slots=True)
class Plan:
    """The difference. ``identities`` pairs a rule that goes with one that comes: the same name, other labels."""

    files_added: tuple[str, ...] = ()
    files_changed: tuple[str, ...] = ()
    files_removed: tuple[str, ...] = ()
    added: tuple[DeployedRule, ...] = ()
    removed: tuple[DeployedRule, ...] = ()
    changed: tuple[RuleChange, ...] = ()
    identities: tuple[tuple[DeployedRule, DeployedRule], ...] = ()
    timers: tuple[DeployedRule, ...] = ()

    @property
    def empty(self) -> bool:
        return not (self.files_added or self.files_changed or self.files_removed)


def waits(rule: DeployedRule) -> bool:
    """Whether an alert of this rule is pending for a while before it fires."""
    return rule.for_duration is not None and parse_duration(rule.for_duration) > 0


def plan(
    before: Iterable[DeployedRule],
    after: Iterable[DeployedRule],
    files_before: Mapping[str, str],
    files_after: Mapping[str, str],
) -> Plan:
    """Compares two sets. The mappings give each file's hash; rules of unchanged files may be left out of both."""
    old, new = _by_identity(before), _by_identity(after)
    added: list[DeployedRule] = []
    removed: list[DeployedRule] = []
    changed: list[RuleChange] = []
    for identity in sorted(old.keys() | new.keys()):
        gone, come = _without_equals(old.get(identity, []), new.get(identity, []))
        changed += [RuleChange(rule, other, _differences(rule, other)) for rule, other in zip(gone, come, strict=False)]
        removed += gone[len(come) :]
        added += come[len(gone) :]
    waiting: dict[tuple[str, str], list[DeployedRule]] = {}
    for rule in added:
        waiting.setdefault((rule.kind, rule.name), []).append(rule)
    identities = [(rule, partners.pop(0)) for rule in removed if (partners := waiting.get((rule.kind, rule.name)))]
    timers = [change.after for change in changed if change.restarts_timer]
    timers += [successor for rule, successor in identities if waits(rule) and waits(successor)]
    return Plan(
        files_added=tuple(sorted(files_after.keys() - files_before.keys())),
        files_changed=tuple(
            sorted(name for name in files_after.keys() & files_before.keys() if files_after[name] != files_before[name])
        ),
        files_removed=tuple(sorted(files_before.keys() - files_after.keys())),
        added=tuple(added),
        removed=tuple(removed),
        changed=tuple(changed),
        identities=tuple(identities),
        timers=tuple(timers),
    )


def _by_identity(rules: Iterable[DeployedRule]) -> dict[tuple[str, str, Pairs], list[DeployedRule]]:
    """Several keys may make rules of one name and the same labels, so an identity may have several rules."""
    found: dict[tuple[str, str, Pairs], list[DeployedRule]] = {}
    for rule in rules:
        found.setdefault(rule.identity, []).append(rule)
    return found


def _without_equals(old: list[DeployedRule], new: list[DeployedRule]) -> tuple[list[DeployedRule], list[DeployedRule]]:
    """What only one of two lists has, in an order that brings rules of the same place together."""
    gone, come = list(old), list(new)
    for rule in old:
        if rule in come:
            gone.remove(rule)
            come.remove(rule)
    return sorted(gone, key=_place), sorted(come, key=_place)


def _place(rule: DeployedRule) -> tuple[str, str, str]:
    return (rule.file, rule.group, rule.expr)


def _differences(before: DeployedRule, after: DeployedRule) -> dict[str, tuple[object, object]]:
    return {
        name: (getattr(before, name), getattr(after, name))
        for name in FIELDS
        if getattr(before, name) != getattr(after, name)
    }
