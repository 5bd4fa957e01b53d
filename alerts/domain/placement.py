"""Gives every compiled rule its place and its identity (DESIGN 4, *Identity* and *Layouts*).

Laws kept here:

- Pieces with the same name and labels, but another ``for`` or other annotations, never share static labels: the narrower one
  carries the scope label.
- What a piece is called depends on the layers at its own position alone. Adding a layer at a scope renames nothing outside it,
  so no alert elsewhere resolves and fires again.

A piece is *placed* at the scope of one of its layers. Everything that layers above that scope say is implied by the scope;
other layers appear in the scope label only when the rule's shape depends on them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from alerts.domain.compiled import Chain
from alerts.domain.layers import Layer, Scope, Topology

Shape = Hashable | None
"""All of a rule that cannot change hands silently: name, labels, ``for``, annotations, … but not a distributive query."""

ShapeOf = Callable[[Chain], Shape]


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
    """Places the pieces of one key. ``shape_of`` folds any list of its layers (indexes, strongest first) to a shape."""

    def __init__(self, topology: Topology, layers: Sequence[Layer], shape_of: ShapeOf) -> None:
        self._topology = topology
        self._layers = layers
        self._shape_of = shape_of

    def at_strongest(self, chain: Chain) -> Placement:
        """Layout ``per-scope``: a piece lives with its strongest layer."""
        return self._place(chain[0], chain)

    def at_shape(self, chain: Chain) -> Placement:
        """Layout ``consolidated``: a piece lives with the first layer that gave the rule its shape.

        Later layers that change only a distributive query hand their series over without a trace.
        """
        shape = self._shape_of(chain)
        bottom = chain[-1]
        below = tuple(index for index in range(bottom + 1, len(self._layers)) if self._covers(index, bottom))
        everything = (*chain, *below)
        for length in range(1, len(everything) + 1):
            prefix = everything[-length:]
            if self._shape_of(prefix) == shape:
                return self._place(prefix[0], prefix)
        return self._place(chain[0], chain)

    def in_full(self, chain: Chain) -> Placement:
        """The last resort, one rule per combination of layers: for classes with too many branches."""
        others = [index for index in chain[1:] if not self._covers(index, chain[0])]
        return self._named(chain[0], others, chain)

    def _place(self, place: int, chain: Chain) -> Placement:
        implied = [index for index in range(place + 1, len(self._layers)) if self._covers(index, place)]
        others = [index for index in chain if index != place and index not in implied]
        if others:
            shape = self._shape_of(chain)
            for index in list(others):
                fewer = [other for other in others if other != index]
                if self._shape_of(tuple(sorted([place, *implied, *fewer]))) == shape:
                    others = fewer
        return self._named(place, others, tuple(sorted([place, *implied, *others])))

    def _named(self, place: int, others: list[int], chain: Chain) -> Placement:
        scope = self._layers[place].scope
        scopes = [scope, *(self._layers[index].scope for index in others)]
        label = None if scope.level == "global" and not others else "+".join(scope.text for scope in scopes)
        return Placement(scope, label, chain)

    def _covers(self, outer: int, inner: int) -> bool:
        return covers(self._topology, self._layers[outer].scope, self._layers[inner].scope)
