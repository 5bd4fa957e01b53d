"""Gives every compiled rule its place and its identity (DESIGN 4, *Identity* and *Layouts*).

Laws kept here:

- Pieces with the same name and labels, but another ``for`` or other annotations, never share static labels: the
  narrower one carries the scope label.
- What a piece is called depends on the layers at its own position alone. Adding a layer at a scope renames nothing
  outside it, so no alert elsewhere resolves and fires again.

A piece is *placed* at the scope of one of its layers. Everything that layers above that scope say is implied by it;
other layers appear in the scope label only when they make a difference that cannot change hands silently. So the label
stands for a list of layers, and these for one shape: same label, same shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from alerts.domain.compiled import Chain
from alerts.domain.layers import GLOBAL, Layer, Scope, Topology

Interchangeable = Callable[[Chain, Chain], bool]
"""Whether series may pass between the rules of two chains without a trace, the second being a part of the first."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A scope to live at, and the value of the scope label (None: no label)."""

    scope: Scope
    label: str | None
    chain: Chain
    """Layers that stand for all pieces of this placement: same label, same representative."""


@lru_cache(maxsize=4096)
def covering(topology: Topology, inner: Scope) -> tuple[Scope, ...]:
    """The scopes in which every position of ``inner`` surely lies, itself among them."""
    if inner.level == "global":
        return (inner,)
    if inner.level != "group":
        return (inner, GLOBAL)
    above = topology.lineage(inner.namespace, inner.value)[1:]
    groups = (Scope("group", inner.namespace, value) for value in above)
    return (inner, GLOBAL, Scope("namespace", inner.namespace), *groups)


class Placer:
    """Places the pieces of one key."""

    def __init__(self, topology: Topology, layers: Sequence[Layer], interchangeable: Interchangeable) -> None:
        self._topology = topology
        self._layers = layers
        self._interchangeable = interchangeable
        self._at: dict[Scope, list[int]] = {}
        for index, layer in enumerate(layers):
            self._at.setdefault(layer.scope, []).append(index)

    def at_strongest(self, chain: Chain) -> Placement:
        """Layout ``per-scope``: a piece lives with its strongest layer."""
        return self._place(chain, chain)

    def at_shape(self, chain: Chain) -> Placement:
        """Layout ``consolidated``: a piece lives with the first layer that gave the rule its shape.

        Later layers that change only a distributive query hand their series over without a trace.
        """
        bottom = chain[-1]
        everything = (*chain, *(index for index in self._covering(bottom) if index > bottom))
        for length in range(1, len(everything)):
            prefix = everything[-length:]
            if self._interchangeable(chain, prefix):
                return self._place(chain, prefix)
        return self._place(chain, everything)

    def in_full(self, chain: Chain) -> Placement:
        """The last resort, one rule per combination of layers: for classes with too many branches."""
        implied = self._covering(chain[0])
        others = [index for index in chain[1:] if index not in implied]
        return self._named(chain[0], others, chain)

    def _place(self, chain: Chain, prefix: Chain) -> Placement:
        """``chain`` at the scope of the strongest layer of ``prefix``, named by as few other layers as will do."""
        place = prefix[0]
        implied = [index for index in self._covering(place) if index > place]
        others = [index for index in prefix if index != place and index not in implied]
        for index in list(others):
            fewer = [other for other in others if other != index]
            if self._interchangeable(chain, tuple(sorted([place, *implied, *fewer]))):
                others = fewer
        return self._named(place, others, tuple(sorted([place, *implied, *others])))

    def _named(self, place: int, others: list[int], chain: Chain) -> Placement:
        scope = self._layers[place].scope
        if not others:
            return Placement(scope, alone(scope).label, chain)
        words = [_word(scope), *(_word(self._layers[index].scope) for index in others)]
        return Placement(scope, "+".join(words), chain)

    def _covering(self, inner: int) -> list[int]:
        """The layers whose scopes cover that of layer ``inner``, strongest first; itself among them."""
        scopes = covering(self._topology, self._layers[inner].scope)
        return sorted(index for scope in scopes for index in self._at.get(scope, ()))


@lru_cache(maxsize=16_384)
def alone(scope: Scope) -> Placement:
    """Where the only layer of a key lives."""
    return Placement(scope, None if scope.level == "global" else _word(scope), (0,))


def _word(scope: Scope) -> str:
    """A scope's text, with the few characters escaped that would let two lists of scopes read the same."""
    namespace = scope.namespace.replace("%", "%25").replace("/", "%2F")
    return Scope(scope.level, namespace, scope.value).text.replace("+", "%2B")
