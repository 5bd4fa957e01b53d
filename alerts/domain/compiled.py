"""What compiling yields: rules as Prometheus will load them, and what they were made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from alerts.domain.diagram import lookup
from alerts.domain.errors import Finding
from alerts.domain.layers import KeyId, Kind, Layer, Position, Scope
from alerts.domain.regions import Region
from alerts.domain.resolver import EffectiveRule

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """One region of a compiled rule: its query before (``query``) and after (``expr``) the matchers went in."""

    region: Region
    query: str
    expr: str
    unscoped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """One Prometheus rule. Durations as written, None where absent; ``labels`` are all static ones.

    ``scope`` is where it was placed: its file and group follow from it. A rule of several branches is their union.
    """

    kind: Kind
    key: str
    name: str
    expr: str
    for_duration: str | None
    keep_firing_for: str | None
    interval: str | None
    labels: Pairs
    annotations: Pairs
    file: str
    group: str
    scope: Scope
    branches: tuple[Branch, ...]

    @property
    def identity(self) -> tuple[str, str, Pairs]:
        """What Alertmanager knows an alert by; for a recording, what names its series."""
        return (self.kind, self.name, self.labels)


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A piece that was left out because the query's own matcher excludes all that is left of its scope."""

    scope: Scope
    region: Region
    matcher: str


Chain = tuple[int, ...]
"""Indexes into a plan's layers, strongest first: the layers in force at a position."""


@dataclass(slots=True, eq=False)
class KeyPlan:
    """The compile of one key: its layers (strongest first), the division of positions, and the rules.

    ``findings`` are what stops the key; a key with findings yields no rules of its own.
    """

    key_id: KeyId
    layers: tuple[Layer, ...]
    root: Any = None
    rules: tuple[CompiledRule, ...] = ()
    resolved: dict[Chain, EffectiveRule | None] = field(default_factory=dict)
    pieces: dict[Chain, tuple[CompiledRule, ...]] = field(default_factory=dict)
    dropped: dict[Chain, tuple[Contradiction, ...]] = field(default_factory=dict)
    reads: frozenset[str] = frozenset()
    findings: tuple[Finding, ...] = ()
    _by_scope: dict[Scope, list[int]] | None = None

    def layers_at(self, scopes: Iterable[Scope]) -> list[Layer]:
        """The layers written at these scopes, strongest first."""
        if self._by_scope is None:  # by whoever asks first: a key may have a layer in every group
            by_scope: dict[Scope, list[int]] = {}
            for index, layer in enumerate(self.layers):
                by_scope.setdefault(layer.scope, []).append(index)
            self._by_scope = by_scope
        known = self._by_scope
        return [self.layers[index] for index in sorted(index for scope in scopes for index in known.get(scope, ()))]

    def chain(self, position: Position) -> Chain:
        """The layers in force at ``position``."""
        return () if self.root is None else lookup(self.root, position)

    def piece(self, position: Position) -> tuple[CompiledRule, Branch] | None:
        """The one compiled rule, and its branch, that reads the series at ``position``."""
        for rule in self.pieces.get(self.chain(position), ()):
            for branch in rule.branches:
                if branch.region.holds(position):
                    return rule, branch
        return None
