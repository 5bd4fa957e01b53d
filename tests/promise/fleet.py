"""The watched targets: where they are, and which series they show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

from tests.servers.loopback import Series

Labels = frozenset[tuple[str, str]]
Sample = tuple[str, Labels, float]
"""(metric, labels, value)"""

NAMESPACES = ("environment", "infrastructure", "logical")
GROUPS: dict[str, dict[str, str | None]] = {
    # Values that mean something to a regular expression, and trees: name → parent.
    "environment": {"production": None, "eu.1": "production", "staging": None},
    "logical": {"databases": None, "web|api": None, "postgres": "databases"},
    "infrastructure": {"rack(1)": None},
}
OTHER = "a value nobody lists"


def labels(**pairs: str) -> Labels:
    """As Prometheus holds them: an empty value is no label."""
    return frozenset((name, value) for name, value in pairs.items() if value)


@dataclass
class Watched:
    """One target's series. ``known``: the product has it as a target; the others it has never heard of."""

    host: str
    number: int
    position: dict[str, str] = field(default_factory=dict)
    known: bool = True

    @property
    def own(self) -> dict[str, str]:
        """All position labels of its series, the target label too."""
        return {**dict.fromkeys(NAMESPACES, ""), **self.position, "target": self.host}

    @property
    def _shown(self) -> dict[str, str]:
        # Else Prometheus would add its own job and instance.
        return {"job": "fleet", "instance": self.host or "nobody"}

    def samples(self) -> Iterator[Sample]:
        """Values that tell the thresholds 0 … 9 apart; some hosts are in maintenance."""
        for core in ("0", "1"):
            yield "cpu", labels(**self.own, **self._shown, core=core), float((self.number * 3 + int(core) * 5) % 10)
        yield "disk", labels(**self.own, **self._shown), float((self.number * 7 + 4) % 10)
        if self.number % 4 == 1:
            yield "maintenance", labels(**self._shown, target=self.host), 1.0


def fleet() -> list[Watched]:
    """Targets in every pair of places, in none, and in places nobody lists."""
    found: list[Watched] = []
    for environment, logical in product(["", *GROUPS["environment"]], ["", *GROUPS["logical"]]):
        position = {"environment": environment, "logical": logical}
        found.append(Watched(f"host-{len(found)}", len(found), position))
    for position in ({"infrastructure": "rack(1)"}, {"infrastructure": "rack(1)", "environment": "eu.1"}):
        found.append(Watched(f"host-{len(found)}", len(found), dict(position)))
    strangers = [
        ("stranger-in-production", {"environment": "production"}),
        ("stranger-elsewhere", {"environment": OTHER, "logical": "postgres"}),
        ("stranger-beyond", {"environment": "staging", "infrastructure": OTHER}),
        ("", {"environment": "eu.1"}),  # series without a target label
    ]
    for host, position in strangers:
        found.append(Watched(host, len(found), position, known=False))
    return found


def exposed(watched: Mapping[str, Watched]) -> dict[Series, float]:
    """What the exporter shows for all of them."""
    return {(metric, tuple(sorted(own))): value for one in watched.values() for metric, own, value in one.samples()}
