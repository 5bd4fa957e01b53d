"""What Prometheus should have loaded: rule files as the renderer made them, or as their bytes say."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from alerts.domain import rule_files
from alerts.domain.compiled import CompiledRule
from alerts.domain.durations import parse_duration
from alerts.domain.planner import DeployedRule
from alerts.domain.renderer import RuleFile


@dataclass(frozen=True, slots=True)
class ExpectedRule:
    """A rule as written; durations in milliseconds."""

    type: str
    name: str
    expr: str
    for_ms: int = 0
    keep_firing_for_ms: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExpectedGroup:
    """``rules`` are needed for changed files only; ``interval_ms`` None: the server's own."""

    name: str
    size: int
    rules: Sequence[ExpectedRule] = ()
    interval_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ExpectedFile:
    name: str
    groups: Sequence[ExpectedGroup]


def expect_rendered(files: Iterable[RuleFile], changed: Collection[str] | None = None) -> list[ExpectedFile]:
    """From the renderer's files; rules only for the ``changed`` ones (None: for all)."""
    return [
        ExpectedFile(
            file.name,
            [
                ExpectedGroup(
                    group.name,
                    len(group.rules),
                    [_rule(rule) for rule in group.rules] if changed is None or file.name in changed else (),
                    parse_duration(group.interval) if group.interval else None,
                )
                for group in file.groups
            ],
        )
        for file in files
    ]


@lru_cache(maxsize=4096)
def expect_bytes(name: str, content: bytes) -> ExpectedFile:
    """From a rule file as it lies on disk: for releases whose rules are gone. Slower: some 10,000 rules a second."""
    return ExpectedFile(
        name,
        [
            ExpectedGroup(group, len(rules), [_rule(rule) for rule in rules], _interval(rules))
            for group, rules in rule_files.read(name, content)
        ],
    )


def _interval(rules: Sequence[DeployedRule]) -> int | None:
    interval = rules[0].interval if rules else None
    return parse_duration(interval) if interval else None


def _rule(rule: CompiledRule | DeployedRule) -> ExpectedRule:
    return ExpectedRule(
        rule.kind,
        rule.name,
        rule.expr,
        parse_duration(rule.for_duration) if rule.for_duration else 0,
        parse_duration(rule.keep_firing_for) if rule.keep_firing_for else 0,
        dict(rule.labels),
        dict(rule.annotations),
    )
