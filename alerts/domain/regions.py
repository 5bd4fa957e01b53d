"""Regions: sets of positions, as one condition per label.

The domain of a label is "" (in no group), the known values, and OTHER (a value nobody lists). OTHER cannot be written
down, so "not in" is never empty and "in" never everything: and, or and not of conditions stay conditions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from alerts.domain.errors import Finding, PolicyConflict
from alerts.domain.promql.matchers import MAX_VALUES, Matcher, matcher_for

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Condition:
    """Value in set (``include``), or value not in set, for one label; an absent label has the value ""."""

    include: bool
    values: frozenset[str]

    def holds(self, value: str) -> bool:
        return (value in self.values) == self.include

    def intersect(self, other: Condition) -> Condition:
        if self.include:
            return Condition(True, self.values & other.values if other.include else self.values - other.values)
        if other.include:
            return Condition(True, other.values - self.values)
        return Condition(False, self.values | other.values)

    def union(self, other: Condition) -> Condition:
        return self.complement().intersect(other.complement()).complement()

    def complement(self) -> Condition:
        return Condition(not self.include, self.values)

    @property
    def is_empty(self) -> bool:
        return self.include and not self.values

    @property
    def is_everything(self) -> bool:
        return not self.include and not self.values

    @property
    def text(self) -> str:
        """As people read it: ``= prod``, ``in (a, b)``, ``not in (a, b, … 7 more)``."""
        if self.values == {""}:
            return "absent" if self.include else "present"
        names = [value or '""' for value in sorted(self.values)]
        if len(names) == 1:
            return f"{'=' if self.include else '!='} {names[0]}"
        if len(names) > _SHOWN + 1:
            names[_SHOWN:] = [f"… {len(names) - _SHOWN} more"]
        return f"{'in' if self.include else 'not in'} ({', '.join(names)})"


EVERYTHING = Condition(False, frozenset())
NOTHING = Condition(True, frozenset())


@dataclass(frozen=True, slots=True)
class Region:
    """A conjunction of conditions, at most one per label, sorted by label; none of them holds everywhere.

    Equal regions are equal values. Make one with ``Region.of``; ``Region()`` is everywhere.
    """

    conditions: tuple[tuple[str, Condition], ...] = ()

    @classmethod
    def of(cls, conditions: Mapping[str, Condition] | Iterable[tuple[str, Condition]]) -> Region:
        """A region of these conditions; several on one label are intersected."""
        found: dict[str, Condition] = {}
        for label, condition in conditions.items() if isinstance(conditions, Mapping) else conditions:
            found[label] = found[label].intersect(condition) if label in found else condition
        return cls(tuple(sorted((label, found[label]) for label in found if not found[label].is_everything)))

    def condition(self, label: str) -> Condition:
        for name, condition in self.conditions:
            if name == label:
                return condition
        return EVERYTHING

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(label for label, _ in self.conditions)

    @property
    def is_empty(self) -> bool:
        return any(condition.is_empty for _, condition in self.conditions)

    def holds(self, position: Mapping[str, str]) -> bool:
        return all(condition.holds(position.get(label, "")) for label, condition in self.conditions)

    def intersect(self, other: Region) -> Region:
        if not other.conditions:
            return self
        return Region.of((*self.conditions, *other.conditions)) if self.conditions else other

    def matchers(self) -> tuple[Matcher, ...]:
        """What a selector needs to read exactly this region's series; PolicyConflict above 5,000 values."""
        total = sum(len(condition.values) for _, condition in self.conditions)
        if total > MAX_VALUES:
            message = f"the region would list {total} label values; at most {MAX_VALUES} are possible"
            raise PolicyConflict(Finding("too_many_values", message))
        found = (matcher_for(label, condition) for label, condition in self.conditions)
        return tuple(matcher for matcher in found if matcher is not None)

    @property
    def text(self) -> str:
        return " and ".join(f"{label} {condition.text}" for label, condition in self.conditions) or "everywhere"

    def __str__(self) -> str:
        return self.text
