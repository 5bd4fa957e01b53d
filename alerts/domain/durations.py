"""Prometheus durations: ``0``, or whole numbers with the units y w d h m s ms, each at most once, in this order."""

from __future__ import annotations

import re
from functools import lru_cache

from alerts.domain.errors import Finding, InvalidPolicy

UNITS: dict[str, int] = {
    "y": 365 * 86_400_000,
    "w": 7 * 86_400_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
LONGEST_MS = (2**63 - 1) // 1_000_000
"""Prometheus keeps durations as int64 nanoseconds: about 292 years."""

HINT = "write it like 30s, 5m or 1h30m"
_LONGEST_TEXT = 64
_DURATION = re.compile("".join(f"(?:([0-9]+){unit})?" for unit in UNITS))


def parse_duration(text: str) -> int:
    """Milliseconds. InvalidPolicy (``duration_invalid``) for everything Prometheus would refuse."""
    if not isinstance(text, str):
        raise _invalid(f"a duration must be a string, not {text!s:.40}")
    return _parse(text)


@lru_cache(maxsize=2048)
def _parse(text: str) -> int:
    if text == "0":
        return 0
    match = _DURATION.fullmatch(text) if len(text) <= _LONGEST_TEXT else None
    if not text or match is None:
        raise _invalid(f"{text[:_LONGEST_TEXT]!r} is not a duration")
    milliseconds = sum(int(number or 0) * size for number, size in zip(match.groups(), UNITS.values(), strict=True))
    if milliseconds > LONGEST_MS:
        raise _invalid(f"the duration {text!r} is longer than Prometheus can hold (about 292 years)")
    return milliseconds


def format_duration(milliseconds: int) -> str:
    """As Prometheus prints it: largest unit first; years and weeks only where nothing else follows."""
    if milliseconds == 0:
        return "0s"
    parts = []
    for unit, size in UNITS.items():
        if unit in ("y", "w") and milliseconds % size:
            continue
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def _invalid(message: str) -> InvalidPolicy:
    return InvalidPolicy(Finding("duration_invalid", message, hint=HINT))
