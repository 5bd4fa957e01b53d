"""The chains of layers of one key: the rule that each gives, and which of them nobody could tell apart.

A chain is what applies at some position, strongest first, as indexes into the key's layers.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from alerts.domain import splitting
from alerts.domain.compiled import Chain
from alerts.domain.errors import Finding
from alerts.domain.layers import Layer, Topology
from alerts.domain.resolver import EffectiveRule, content_of, fold, resolve

Shape = Hashable | None
"""All of a rule that cannot change hands silently: name, labels, ``for``, annotations, … but not its query."""


class Chains:
    """What is found out about a chain is remembered; ``rules`` are those of all chains that were asked for."""

    def __init__(self, topology: Topology, layers: tuple[Layer, ...], determined_by: tuple[str, ...]) -> None:
        self._topology = topology
        self._layers = layers
        self._determined_by = determined_by
        self.rules: dict[Chain, EffectiveRule | None] = {}
        self._enabled: dict[Chain, bool] = {}
        self._owners: dict[Chain, Layer] = {}
        self._findings: dict[Chain, tuple[Finding, ...]] = {}
        self._contents = _numbered(content_of(layer) for layer in layers)
        self._alike: dict[tuple[int, ...], tuple[EffectiveRule, bool, int]] = {}
        self._shapes: dict[Chain, Shape] = {}

    def resolve(self, chain: Chain) -> EffectiveRule | None:
        """The rule, also a muted one; None where nothing supplies a query, or ``findings`` say what is wrong."""
        if chain in self.rules:
            return self.rules[chain]
        # Chains whose layers say the same, one by one, are the same rule, wherever they are written.
        content = tuple([self._contents[index] for index in chain])
        alike = self._alike.get(content)
        if alike is not None:
            self.rules[chain], self._enabled[chain], owner = alike
            self._owners[chain] = self._layers[chain[owner]]
            return self.rules[chain]
        folded = fold([self._layers[index] for index in reversed(chain)])
        rule = None
        if folded is not None:
            self._enabled[chain] = folded.enabled
            self._owners[chain] = folded.owner
            resolution = resolve(folded)
            rule = resolution.rule
            if resolution.findings:
                self._findings[chain] = resolution.findings
            if rule is not None:
                owner = next(place for place, index in enumerate(chain) if self._layers[index] is folded.owner)
                self._alike[content] = (rule, folded.enabled, owner)
        self.rules[chain] = rule
        return rule

    def rule(self, chain: Chain) -> EffectiveRule:
        """Of a chain that was resolved to one."""
        rule = self.rules[chain]
        assert rule is not None, "only chains that resolve are compiled"
        return rule

    def enabled(self, chain: Chain) -> bool:
        """Of a chain that has a query."""
        return self._enabled[chain]

    def owner(self, chain: Chain) -> Layer:
        """The layer whose query is in force."""
        return self._owners[chain]

    def findings(self, chain: Chain) -> tuple[Finding, ...]:
        """What prevents its rule. Those of muted ones do not count: nothing of them is evaluated."""
        return self._findings.get(chain, ()) if self._enabled.get(chain) else ()

    def shape_of(self, chain: Chain) -> Shape:
        """All that tells rules apart for Alertmanager and ``for``.

        A query is part of it only where its author lets it be cut although it must be evaluated as one thing: then
        nobody can say which series its pieces yield, and nothing else joins it.
        """
        known = self._shapes.get(chain, False)
        if known is not False:
            return known
        rule = self.resolve(chain)
        shape: Shape = None
        if rule is not None:
            by_force = rule.allow_split or rule.partition_by
            alone = by_force and not self.may_be_cut(chain, self._topology.position_labels)
            shape = (
                rule.name,
                rule.labels,
                rule.for_duration,
                rule.keep_firing_for,
                rule.annotations,
                rule.interval,
                rule.partition_by,
                (rule.expr, rule.unscoped) if alone else None,
            )
        self._shapes[chain] = shape
        return shape

    def may_be_cut(self, chain: Chain, labels: Iterable[str]) -> bool:
        """Whether its query yields the same in pieces that differ in these labels."""
        return splitting.may_be_cut(self._layers[0].kind, self.rule(chain), labels, self._determined_by)

    def interchangeable(self, chain: Chain, part: Chain) -> bool:
        """Whether the layers that ``part`` lacks change nothing, or only a query that may be cut along their labels."""
        if self.shape_of(chain) != self.shape_of(part):
            return False
        if self._is_same_query(chain, part):
            return True
        left_out = {self._topology.label(self._layers[index].scope) for index in chain if index not in part}
        return self.may_be_cut(chain, sorted(label for label in left_out if label is not None))

    def _is_same_query(self, chain: Chain, part: Chain) -> bool:
        rule, other = self.rule(chain), self.rule(part)
        same = (rule.expr, rule.unscoped) == (other.expr, other.unscoped)
        return same and self._owners[chain] is self._owners[part]

    def made_by(self, chain: Chain) -> Chain:
        """The layers that made the rule what it is; stronger ones at its position changed nothing."""
        for length in range(1, len(chain)):
            part = chain[-length:]
            same = self.shape_of(part) == self.shape_of(chain) and self._is_same_query(chain, part)
            if same and self._enabled[part]:
                return part
        return chain


def _numbered(contents: Iterable[Hashable]) -> list[int]:
    """A small number for each content; equal ones share it."""
    known: dict[Hashable, int] = {}
    return [known.setdefault(content, len(known)) for content in contents]
