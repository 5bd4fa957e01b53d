"""Queries over the fleet's series, each with its meaning for one target in plain Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tests.promise.fleet import NAMESPACES, Labels, Sample

Meaning = Callable[[Sequence[Sample], float], set[Labels]]
"""A target's samples and a threshold → the label sets of the result."""

RECORDED = "team:cpu:max"


def value_of(labels: Labels, name: str) -> str:
    return dict(labels).get(name, "")


def _of(samples: Sequence[Sample], metric: str) -> list[tuple[Labels, float]]:
    return [(own, value) for name, own, value in samples if name == metric]


def _only(labels: Labels, *names: str) -> Labels:
    return frozenset(pair for pair in labels if pair[0] in names)


def above(metric: str, keep: Callable[[Labels], bool] = lambda _: True) -> Meaning:
    return lambda samples, t: {own for own, value in _of(samples, metric) if value > t and keep(own)}


def _cpu_sum(samples: Sequence[Sample], threshold: float) -> set[Labels]:
    found = _of(samples, "cpu")
    return {_only(found[0][0], "target")} if sum(value for _, value in found) > threshold else set()


def recorded(samples: Sequence[Sample], query: str) -> tuple[Labels, float]:
    """What a recording's query yields."""
    found = _of(samples, "cpu")
    kept = ("target", *NAMESPACES) if query == RECORDING.template else ("target",)
    return _only(found[0][0], *kept), max(value for _, value in found)


def _while_disk(samples: Sequence[Sample], threshold: float) -> set[Labels]:
    return above("cpu")(samples, threshold) if above("disk")(samples, 2) else set()


def _unless_maintained(samples: Sequence[Sample], threshold: float) -> set[Labels]:
    return set() if _of(samples, "maintenance") else above("disk")(samples, threshold)


@dataclass(frozen=True)
class Query:
    """A query template over the variable ``t``."""

    template: str
    meaning: Meaning | None = None
    unscoped: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return self.template


LOCAL = [
    Query("cpu > {{ .t }}", above("cpu")),
    Query("sum by (target) (cpu) > {{ .t }}", _cpu_sum),
    Query("disk > {{ .t }}", above("disk")),
    Query("(disk # full?\n) > {{ .t }}", above("disk")),
    Query("disk > {{ .t }} unless on (target) maintenance", _unless_maintained, ("maintenance",)),
    Query("cpu > {{ .t }} and on (target) disk > 2", _while_disk),
    Query('cpu{core="1"} > {{ .t }}', above("cpu", lambda own: value_of(own, "core") == "1")),
    Query(
        'cpu{environment!="staging"} > {{ .t }}',
        above("cpu", lambda own: value_of(own, "environment") != "staging"),
    ),
]
"""Alerts of one target each: they keep its label."""


def _sum(metric: str, *by: str) -> Meaning:
    def meaning(samples: Sequence[Sample], threshold: float) -> set[Labels]:
        sums: dict[Labels, float] = {}
        for own, value in _of(samples, metric):
            sums[_only(own, *by)] = sums.get(_only(own, *by), 0) + value
        return {own for own, value in sums.items() if value > threshold}

    return meaning


AGGREGATED = [
    Query("sum(cpu) > {{ .t }}", _sum("cpu")),
    Query("sum by (environment) (disk) > {{ .t }}", _sum("disk", "environment")),
    Query("sum by (logical) (cpu) > 10 * {{ .t }}", lambda all_, t: _sum("cpu", "logical")(all_, 10 * t)),
    Query("absent(cpu > 8 + {{ .t }})", lambda all_, t: set() if above("cpu")(all_, 8 + t) else {frozenset()}),
]
"""Alerts about many targets together: here the samples are those of all targets the rule is in force for."""

READING = Query(f"{RECORDED} > {{{{ .t }}}}", above(RECORDED))
RECORDING = Query(f"max by (target, {', '.join(NAMESPACES)}) (cpu)")
RECORDING_BY_TARGET = Query("max by (target) (cpu)")

THRESHOLDS = (1, 3, 5, 7)


def meanings(queries: Iterable[Query]) -> dict[str, tuple[Meaning, float]]:
    """By the text with its threshold filled in."""
    return {
        query.template.replace("{{ .t }}", str(threshold)): (query.meaning, threshold)
        for query in queries
        for threshold in range(10)
        if query.meaning is not None
    }


MEANINGS = meanings((*LOCAL, *AGGREGATED, READING))
