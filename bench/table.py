"""The table that is printed: what was done, what was measured, how it compares, and whether that was the goal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

WIDTHS = (44, 62, 14, 10, 18)
HEADER = ("work", "measured", "result", "goal", "")


@dataclass(frozen=True)
class Result:
    """One line. ``bound`` None: printed for comparison, without a goal."""

    work: str
    measured: str
    value: float
    unit: str = ""
    sense: Literal["at least", "at most"] = "at least"
    bound: float | None = None

    @property
    def met(self) -> bool | None:
        if self.bound is None:
            return None
        return self.value >= self.bound if self.sense == "at least" else self.value <= self.bound

    @property
    def verdict(self) -> str:
        if self.met is None or self.bound is None:
            return ""
        if self.met:
            return "met"
        factor = self.bound / self.value if self.sense == "at least" else self.value / self.bound
        return f"MISSED by {factor:.2f} ×"

    def cells(self) -> tuple[str, ...]:
        sign = "≥" if self.sense == "at least" else "≤"
        goal = f"{sign} {number(self.bound)}{self.unit}" if self.bound is not None else "–"
        return (self.work, self.measured, f"{number(self.value)}{self.unit}", goal, self.verdict)


def number(value: float) -> str:
    """Three digits that count, no more."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def to_json(results: Iterable[Result]) -> list[dict[str, Any]]:
    return [asdict(result) for result in results]


def from_json(data: Iterable[dict[str, Any]]) -> list[Result]:
    return [Result(**line) for line in data]


def text(results: Sequence[Result]) -> str:
    """All lines, wrapped to their columns."""
    lines = [_row(HEADER), _row(tuple("-" * width for width in WIDTHS))]
    for result in results:
        wrapped = [textwrap.wrap(cell, width) or [""] for cell, width in zip(result.cells(), WIDTHS, strict=True)]
        height = max(map(len, wrapped))
        columns = [cell + [""] * (height - len(cell)) for cell in wrapped]
        lines += [_row(row) for row in zip(*columns, strict=True)]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()
