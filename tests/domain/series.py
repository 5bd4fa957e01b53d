"""A few queries with their meaning in plain Python, to see that evaluating in pieces loses and adds nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from alerts.domain.compiled import CompiledRule

Labels = frozenset[tuple[str, str]]
Sample = tuple[Labels, float]
Evaluate = Callable[[Sequence[Sample], int], set[Sample]]


def labels_of(pairs: Iterable[tuple[str, str]]) -> Labels:
    """Labels as Prometheus holds them: an empty value is no label."""
    return frozenset((name, value) for name, value in pairs if value)


def _value(labels: Labels, name: str) -> str:
    return dict(labels).get(name, "")


def _above(samples: Sequence[Sample], threshold: int) -> set[Sample]:
    return {(labels, value) for labels, value in samples if value > threshold}


def _matching(label: str, value: str, equal: bool = True) -> Evaluate:
    return lambda samples, threshold: _above([s for s in samples if (_value(s[0], label) == value) == equal], threshold)


def _sum(keep: Callable[[str], bool]) -> Evaluate:
    def evaluate(samples: Sequence[Sample], threshold: int) -> set[Sample]:
        sums: dict[Labels, float] = {}
        for labels, value in samples:
            group = frozenset(pair for pair in labels if keep(pair[0]))
            sums[group] = sums.get(group, 0) + value
        return _above(list(sums.items()), threshold)

    return evaluate


def _absent(samples: Sequence[Sample], threshold: int) -> set[Sample]:
    return {(frozenset(), 1.0)} if not _above(samples, threshold) else set()


MAINTAINED = "h1"


def _unless_maintained(samples: Sequence[Sample], threshold: int) -> set[Sample]:
    return {sample for sample in _above(samples, threshold) if _value(sample[0], "target") != MAINTAINED}


@dataclass(frozen=True)
class Query:
    """A query template over the variable ``t`` and what it yields for some samples of the metric ``m``."""

    template: str
    evaluate: Evaluate
    unscoped: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return self.template


EACH_SERIES = (
    Query("m > {{ .t }}", _above),
    Query("sum by (target) (m) > {{ .t }}", _sum(lambda label: label == "target")),
    Query("(m # as it is\n) > {{ .t }}", _above),
    Query("m > {{ .t }} unless on (target) maintenance", _unless_maintained, ("maintenance",)),
)
WITH_MATCHERS = (
    Query('m{environment="e1"} > {{ .t }}', _matching("environment", "e1")),
    Query('m{environment!="e1"} > {{ .t }}', _matching("environment", "e1", equal=False)),
    Query('m{logical="l2"} > {{ .t }}', _matching("logical", "l2")),
)
AGGREGATED = (
    Query("sum by (environment) (m) > {{ .t }}", _sum(lambda label: label == "environment")),
    Query("sum by (logical) (m) > {{ .t }}", _sum(lambda label: label == "logical")),
    Query("sum by (environment, logical) (m) > {{ .t }}", _sum(lambda label: label in ("environment", "logical"))),
    Query("sum without (target) (m) > {{ .t }}", _sum(lambda label: label != "target")),
    Query("sum(m) > {{ .t }}", _sum(lambda label: False)),
    Query("absent(m > {{ .t }})", _absent),
)
QUERIES = (*EACH_SERIES, *WITH_MATCHERS, *AGGREGATED)
THRESHOLDS = (1, 2, 3)
_MEANING = {
    query.template.replace("{{ .t }}", str(threshold)): (query.evaluate, threshold)
    for query in QUERIES
    for threshold in THRESHOLDS
}


def evaluate(query: str, samples: Sequence[Sample]) -> set[Sample]:
    """What a resolved query yields."""
    meaning, threshold = _MEANING[query]
    return meaning(samples, threshold)


def evaluate_rule(rule: CompiledRule, samples: Sequence[Sample]) -> tuple[set[Sample], list[Labels]]:
    """What a compiled rule yields, and what its ``or`` swallowed because an earlier branch had the same labels."""
    found: dict[Labels, float] = {}
    swallowed = []
    for branch in rule.branches:
        inside = [sample for sample in samples if branch.region.holds(dict(sample[0]))]
        before = set(found)
        for labels, value in evaluate(branch.query, inside):
            if labels in before:
                swallowed.append(labels)
            else:
                found[labels] = value
    return set(found.items()), swallowed
