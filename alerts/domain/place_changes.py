"""Which keys a change of namespaces and groups can touch: all others compile to what they were.

Compiling a key asks the topology of nothing but this:

=========================================  ==================================================================
what is asked                              for
=========================================  ==================================================================
a namespace's name, label and priority     the namespaces that the key's layers are written in, or at groups of
a group's ancestors and descendants        the groups that they are written at
a namespace's label, and all its values    the namespaces that a layer is partitioned by
the labels of all namespaces               layers that may be cut by force (``allow_split``, ``partition_by``)
=========================================  ==================================================================

So a layer tells by itself whether a change touches its key, and what a change leaves alone compiles as before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from alerts.domain.layers import Layer, Topology


@dataclass(frozen=True, slots=True)
class PlaceChange:
    """What tells two topologies apart, in the words of the table above."""

    namespaces: frozenset[str]
    """Names of those that came, went, or say something else than before."""
    groups: frozenset[tuple[str, str]]
    """Namespace and value of those with other ancestors or descendants."""
    divided: frozenset[str]
    """Names of the namespaces whose label or values are others."""
    labels: bool
    """Whether all namespaces together have other labels than before."""

    @classmethod
    def between(cls, before: Topology, after: Topology) -> PlaceChange:
        namespaces = {namespace.name for namespace in {*before.namespaces} ^ {*after.namespaces}}
        regrouped = {group.namespace for group in {*before.groups} ^ {*after.groups}}
        return cls(
            frozenset(namespaces),
            frozenset(_moved(before, after, regrouped)),
            frozenset(name for name in namespaces | regrouped if _parts(before, name) != _parts(after, name)),
            {*before.position_labels} != {*after.position_labels},
        )

    def touches(self, layer: Layer) -> bool:
        """Whether the key of this layer may compile to something else."""
        scope = layer.scope
        return (
            scope.namespace in self.namespaces
            or (scope.level == "group" and (scope.namespace, scope.value) in self.groups)
            or not self.divided.isdisjoint(layer.partition_by)
            or (self.labels and (layer.allow_split or bool(layer.partition_by)))
        )


def _moved(before: Topology, after: Topology, namespaces: set[str]) -> Iterator[tuple[str, str]]:
    for group in {*before.groups, *after.groups}:
        place = (group.namespace, group.value)
        if group.namespace in namespaces and (
            before.lineage(*place) != after.lineage(*place) or before.subtree(*place) != after.subtree(*place)
        ):
            yield place


def _parts(topology: Topology, name: str) -> tuple[str, frozenset[str]] | None:
    namespace = topology.namespace_by_name.get(name)
    return None if namespace is None else (namespace.label, topology.values(name))
