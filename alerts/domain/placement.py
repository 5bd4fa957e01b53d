"""Gives every compiled rule its place and its identity (DESIGN 4, *Identity* and *Layouts*).

Laws kept here:

- Pieces with the same name and labels, but another ``for`` or other annotations, never share static labels: the narrower
  one carries the scope label.
- What a piece is called depends on the layers at its own position alone. Adding a layer at a scope renames nothing outside
  it, so no alert elsewhere resolves and fires again.

A piece is *placed* at the scope of one of its layers. Everything that layers above that scope say is implied by the scope;
other layers appear in the scope label only when they make a difference that cannot change hands silently. So the label
stands for a list of layers, and these for one shape: same label, same shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from alerts.domain.compiled import Chain
from alerts.domain.layers import Layer, Scope, Topology

Interchangeable = Callable[[Chain, Chain], bool]
"""Whether series may pass between the rules of two chains without a trace, the second being a part of the first."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A scope to live at, and the value of the scope label (None: no label)."""

    scope: Scope
    label: str | None
    chain: Chain
    """Layers that stand for all pieces of this placement: same label, same representative."""


def covers(topology: Topology, outer: Scope, inner: Scope) -> bool:
    """Whether every position in ``inner`` surely lies in ``outer``."""
    if outer.level == "global" or outer == inner:
        return True
    if inner.level != "group" or outer.namespace != inner.namespace:
        return False
    if outer.level == "namespace":
        return True
    return outer.level == "group" and outer.value in topology.lineage(inner.namespace, inner.value)


class Placer:
    """Places the pieces of one key."""

    def __init__(self, topology: Topology, layers: Sequence[Layer], interchangeable: Interchangeable) -> None:
        self._topology = topology
        self._layers = layers
        self._interchangeable = interchangeable

    def at_strongest(self, chain: Chain) -> Placement:
        """Layout ``per-scope``: a piece lives with its strongest layer."""
        return self._place(chain, chain)

    def at_shape(self, chain: Chain) -> Placement:
        """Layout ``consolidated``: a piece lives with the first layer that gave the rule its shape.

        Later layers that change only a distributive query hand their series over without a trace.
        """
        bottom = chain[-1]
        below = tuple(index for index in range(bottom + 1, len(self._layers)) if self._covers(index, bottom))
        everything = (*chain, *below)
        for length in range(1, len(everything)):
            prefix = everything[-length:]
            if self._interchangeable(chain, prefix):
                return self._place(chain, prefix)
        return self._place(chain, everything)

    def in_full(self, chain: Chain) -> Placement:
        """The last resort, one rule per combination of layers: for classes with too many branches."""
        others = [index for index in chain[1:] if not self._covers(index, chain[0])]
        return self._named(chain[0], others, chain)

    def _place(self, chain: Chain, prefix: Chain) -> Placement:
        """``chain`` at the scope of the strongest layer of ``prefix``, named by as few other layers as will do."""
        place = prefix[0]
        implied = [index for index in range(place + 1, len(self._layers)) if self._covers(index, place)]
        others = [index for index in prefix if index != place and index not in implied]
        for index in list(others):
            fewer = [other for other in others if other != index]
            if self._interchangeable(chain, tuple(sorted([place, *implied, *fewer]))):
                others = fewer
        return self._named(place, others, tuple(sorted([place, *implied, *others])))

    def _named(self, place: int, others: list[int], chain: Chain) -> Placement:
        scope = self._layers[place].scope
        label = None
        if scope.level != "global" or others:
            label = "+".join([_word(scope), *(_word(self._layers[index].scope) for index in others)])
        return Placement(scope, label, chain)

    def _covers(self, outer: int, inner: int) -> bool:
        return covers(self._topology, self._layers[outer].scope, self._layers[inner].scope)


def _word(scope: Scope) -> str:
    """A scope's text, with the few characters escaped that would let two lists of scopes read the same."""
    namespace = scope.namespace.replace("%", "%25").replace("/", "%2F")
    return Scope(scope.level, namespace, scope.value).text.replace("+", "%2B")
