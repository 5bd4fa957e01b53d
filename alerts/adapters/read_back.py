"""Comparing what Prometheus has loaded with what was written for it. Looks once; waiting is the caller's business."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from alerts.adapters.loaded_rules import LoadedGroup, LoadedRule, LoadedRules
from alerts.adapters.written_rules import ExpectedFile, ExpectedRule
from alerts.domain.errors import InvalidPolicy
from alerts.domain.promql.expression import normalise


@dataclass(frozen=True)
class Mismatch:
    """One difference. ``field`` is one of file, group, size, interval, type, name, expr, for, keep_firing_for, labels,
    annotations; ``wanted`` or ``found`` is None for what should not be there, or is not."""

    file: str
    field: str
    wanted: Any
    found: Any
    group: str | None = None
    rule_index: int | None = None
    rule: str | None = None

    def __str__(self) -> str:
        place = self.file
        if self.group is not None:
            place += f", group {self.group}"
        if self.rule_index is not None:
            place += f", rule {self.rule_index} ({self.rule})"
        return f"{place}: {self.field} is {self.found!r} instead of {self.wanted!r}"


@dataclass(frozen=True)
class Unhealthy:
    """A rule whose last evaluation went wrong."""

    file: str
    group: str
    rule: str
    last_error: str


def compare(
    expected: Sequence[ExpectedFile],
    loaded: LoadedRules,
    *,
    rule_dir: str | Path,
    changed: Collection[str] | None = None,
    groups: Collection[str] | None = None,
) -> list[Mismatch]:
    """How what is loaded differs from what was written; empty when the two are the same.

    Every file, group and number of rules of ours is compared, in both directions, so an unreadable or dangling
    ``current`` (which loads nothing, and is no error to Prometheus) shows as everything missing. Rules are compared
    one by one in the ``changed`` files (None: in all), and there in these ``groups`` (None: in all).
    """
    ours = loaded.under(rule_dir)
    wanted_files = {file.name: file for file in expected if file.groups}
    extra = sorted(ours.keys() - wanted_files.keys())
    mismatches = [Mismatch(name, "file", None, f"{len(ours[name])} groups") for name in extra]
    for name, file in sorted(wanted_files.items()):
        if name not in ours:
            mismatches.append(Mismatch(name, "file", f"{len(file.groups)} groups", None))
            continue
        closely = None if groups is None else frozenset(groups)
        if changed is not None and name not in changed:
            closely = frozenset()
        mismatches += _file_mismatches(
            file, ours[name], closely=closely, in_order=loaded.in_order, labels_added=loaded.labels_added
        )
    return mismatches


def unhealthy(loaded: LoadedRules, rule_dir: str | Path) -> list[Unhealthy]:
    """The rules of ours that Prometheus could not evaluate the last time it tried."""
    return [
        Unhealthy(name, group.name, rule.name, rule.last_error)
        for name, groups in sorted(loaded.under(rule_dir).items())
        for group in groups
        for rule in group.failing
    ]


def _file_mismatches(
    file: ExpectedFile,
    groups: Sequence[LoadedGroup],
    *,
    closely: frozenset[str] | None,
    in_order: bool,
    labels_added: bool,
) -> Iterator[Mismatch]:
    found = {group.name: group for group in groups}
    wanted = {group.name: group for group in file.groups}
    for name, times in Counter(group.name for group in groups).items():
        if times > 1:  # rule_files of that Prometheus leads to our directory by two paths
            yield Mismatch(file.name, "group", "loaded once", f"loaded {times} times", group=name)
    for name in sorted(found.keys() - wanted.keys()):
        yield Mismatch(file.name, "group", None, f"{found[name].size} rules", group=name)
    for name in sorted(wanted):
        expected, loaded = wanted[name], found.get(name)
        if loaded is None:
            yield Mismatch(file.name, "group", f"{expected.size} rules", None, group=name)
            continue
        if loaded.size != expected.size:
            yield Mismatch(file.name, "size", expected.size, loaded.size, group=name)
            continue
        if expected.interval_ms is not None and _milliseconds(loaded.interval) != expected.interval_ms:
            yield Mismatch(file.name, "interval", expected.interval_ms, _milliseconds(loaded.interval), group=name)
        if closely is None or name in closely:
            rules: Sequence[LoadedRule] = loaded.rules
            if labels_added:
                rules = _without_added_labels(expected.rules, rules)
            if not in_order:
                rules = _in_our_order(expected.rules, rules)
            for index, pair in enumerate(zip(expected.rules, rules, strict=True), start=1):
                for field, want, have in _rule_differences(*pair):
                    yield Mismatch(file.name, field, want, have, name, index, pair[0].name)


def _in_our_order(expected: Sequence[ExpectedRule], found: Sequence[LoadedRule]) -> list[LoadedRule]:
    """For each expected rule the one that is like it; for those that have none, what is left, in its order."""
    left = dict(enumerate(found))
    called = defaultdict[tuple[str, str], list[int]](list)
    for place, loaded in left.items():
        called[loaded.type, loaded.name].append(place)
    places = list[int | None]()
    for rule in expected:
        free = (place for place in called[rule.type, rule.name] if place in left)
        like = next((place for place in free if not any(_rule_differences(rule, left[place]))), None)
        if like is not None:
            del left[like]
        places.append(like)
    others = iter(left.values())
    return [next(others) if place is None else found[place] for place in places]


def _without_added_labels(expected: Sequence[ExpectedRule], found: Sequence[LoadedRule]) -> list[LoadedRule]:
    """Labels that no expected rule of that name has are the server's own."""
    own = defaultdict[tuple[str, str], set[str]](set)
    for rule in expected:
        own[rule.type, rule.name] |= rule.labels.keys()
    return [
        rule._replace(labels={name: text for name, text in rule.labels.items() if name in own[rule.type, rule.name]})
        for rule in found
    ]


def _rule_differences(expected: ExpectedRule, loaded: LoadedRule) -> Iterator[tuple[str, Any, Any]]:
    pairs: list[tuple[str, Any, Any]] = [
        ("type", expected.type, loaded.type),
        ("name", expected.name, loaded.name),
        ("labels", dict(expected.labels), dict(loaded.labels)),
        ("annotations", dict(expected.annotations), dict(loaded.annotations)),
    ]
    if loaded.duration is not None:
        pairs.append(("for", expected.for_ms, _milliseconds(loaded.duration)))
    if loaded.keep_firing_for is not None:
        pairs.append(("keep_firing_for", expected.keep_firing_for_ms, _milliseconds(loaded.keep_firing_for)))
    for field, want, have in pairs:
        if want != have:
            yield field, want, have
    if expected.expr != loaded.query and not _same_expression(expected.expr, loaded.query):
        yield "expr", expected.expr, loaded.query


@lru_cache(maxsize=32_768)  # a reconcile compares the same pairs over and over
def _same_expression(one: str, other: str) -> bool:
    try:
        return normalise(one) == normalise(other)
    except InvalidPolicy:
        return False


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
