"""The words of a policy: namespaces, groups, scopes, layers, positions.

An alert rule is one *layer*: what it says about its key at one scope. Everything else in the domain is computed from
layers and the *topology* (which namespaces and groups there are).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

Level = Literal["global", "namespace", "group", "target"]
Kind = Literal["alerting", "recording"]
Strategy = Literal["override", "merge"]
KeyId = tuple[str, str]
"""(kind, key): the identity of "the same alert" across scopes."""

LEVELS: dict[str, int] = {"global": 0, "namespace": 1, "group": 2, "target": 3}
DEFAULT_PRIORITY = 100


@dataclass(frozen=True, slots=True)
class Namespace:
    """A dimension of classification; ``label`` is the Prometheus label that carries it."""

    name: str
    label: str
    priority: int


@dataclass(frozen=True, slots=True)
class Group:
    """A place in one namespace. Identified by (namespace, label value): both are fixed at creation."""

    namespace: str
    value: str
    parent: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """Where a layer is written. ``namespace`` is a namespace's name, ``value`` a group's label value or a hostname."""

    level: Level = "global"
    namespace: str = ""
    value: str = ""

    @property
    def text(self) -> str:
        """As people read it, and as the scope label carries it: ``environment/production``."""
        if self.level == "group":
            return f"{self.namespace}/{self.value}"
        if self.level == "target":
            return f"target/{self.value}"
        return self.namespace or "global"

    def __str__(self) -> str:
        return self.text


GLOBAL = Scope()


@dataclass(frozen=True, slots=True)
class Variable:
    """A declared variable of a query template. ``default`` None means that a value must be given."""

    name: str
    type: Literal["number", "duration", "string", "regex", "bool", "enum"]
    default: Any = None
    min: float | str | None = None
    max: float | str | None = None
    values: tuple[str, ...] = ()
    unit: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """What one alert rule says about its key.

    ``default_config`` and ``config`` are JSON objects as written (see DESIGN 7): ``for_duration``, ``keep_firing_for``,
    ``interval``, ``severity``, ``labels``, ``annotations``, ``template_vars``. Layers compare by identity.
    """

    rule_id: int
    kind: Kind
    key: str
    scope: Scope
    priority: int = DEFAULT_PRIORITY
    strategy: Strategy = "override"
    enabled: bool | None = None
    name: str | None = None
    query: str | None = None
    severity: str | None = None
    default_config: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    variables: tuple[Variable, ...] = ()
    unscoped: tuple[str, ...] = ()
    partition_by: tuple[str, ...] = ()
    allow_split: bool = False

    @property
    def key_id(self) -> KeyId:
        return (self.kind, self.key)


@dataclass(frozen=True, eq=False)
class Topology:
    """The namespaces and their group trees, with the names of the two labels the product owns."""

    namespaces: tuple[Namespace, ...] = ()
    groups: tuple[Group, ...] = ()
    target_label: str = "target"
    scope_label: str = "policy_scope"

    @cached_property
    def namespace_by_name(self) -> dict[str, Namespace]:
        return {namespace.name: namespace for namespace in self.namespaces}

    @cached_property
    def _parents(self) -> dict[tuple[str, str], str | None]:
        return {(group.namespace, group.value): group.parent for group in self.groups}

    @cached_property
    def _depths(self) -> dict[tuple[str, str], int]:
        return {place: len(self.lineage(*place)) - 1 for place in self._parents}

    @cached_property
    def _subtrees(self) -> dict[tuple[str, str], frozenset[str]]:
        below: dict[tuple[str, str], set[str]] = {}
        for group in self.groups:
            for ancestor in self.lineage(group.namespace, group.value):
                below.setdefault((group.namespace, ancestor), set()).add(group.value)
        return {place: frozenset(values) for place, values in below.items()}

    def lineage(self, namespace: str, value: str) -> tuple[str, ...]:
        """A group's label value and those of its ancestors, the group first."""
        chain: list[str] = []
        current: str | None = value
        while current is not None and current not in chain:
            chain.append(current)
            current = self._parents.get((namespace, current))
        return tuple(chain)

    def depth(self, namespace: str, value: str) -> int:
        """0 for a root group."""
        return self._depths.get((namespace, value), 0)

    def subtree(self, namespace: str, value: str) -> frozenset[str]:
        """The label values of a group and everything below it."""
        return self._subtrees.get((namespace, value), frozenset((value,)))

    def values(self, namespace: str) -> frozenset[str]:
        """Every label value a group of this namespace has."""
        return frozenset(group.value for group in self.groups if group.namespace == namespace)

    def label(self, scope: Scope) -> str | None:
        """The label a scope constrains; None for global."""
        if scope.level == "global":
            return None
        return self.target_label if scope.level == "target" else self.namespace_by_name[scope.namespace].label

    @cached_property
    def position_labels(self) -> tuple[str, ...]:
        """The target label, then the namespaces' labels from the strongest namespace down."""
        ordered = sorted(self.namespaces, key=lambda ns: (-ns.priority, ns.name))
        return (self.target_label, *(namespace.label for namespace in ordered))

    def strength(self, layer: Layer) -> tuple[int, int, int, str, int]:
        """A layer's rank among those of its key at one position (DESIGN 3): the higher, the stronger."""
        scope = layer.scope
        if scope.level in ("global", "target"):
            return (layer.priority, LEVELS[scope.level], 0, "", 0)
        namespace = self.namespace_by_name[scope.namespace]
        depth = self.depth(scope.namespace, scope.value) if scope.level == "group" else 0
        return (layer.priority, LEVELS[scope.level], namespace.priority, namespace.name, depth)

    def scopes_at(self, position: Position) -> list[Scope]:
        """Every scope that a series at ``position`` lies in."""
        scopes = [GLOBAL]
        for namespace in self.namespaces:
            value = position.get(namespace.label, "")
            if value != "":
                scopes.append(Scope("namespace", namespace.name))
                scopes += [Scope("group", namespace.name, above) for above in self.lineage(namespace.name, value)]
        host = position.get(self.target_label, "")
        return [*scopes, Scope("target", "", host)] if host else scopes

    def applies(self, scope: Scope, position: Position) -> bool:
        """Whether a series at ``position`` lies in ``scope``."""
        label = self.label(scope)
        if label is None:
            return True
        value = position.get(label, "")
        if scope.level == "namespace":
            return value != ""
        if scope.level == "target":
            return value == scope.value
        return value in self.subtree(scope.namespace, scope.value)


Position = Mapping[str, str]
"""Label → value of one target's series: one label per namespace ("" or absent: in no group) and the target label."""


@dataclass(frozen=True, eq=False)
class Policy:
    """Everything people wrote, as the domain sees it."""

    topology: Topology
    layers: tuple[Layer, ...] = ()

    @cached_property
    def by_key(self) -> dict[KeyId, tuple[Layer, ...]]:
        """Each key's layers, strongest first."""
        return dict(sorted(self._grouped(self.layers).items()))

    def edited(self, layers: tuple[Layer, ...], keys: Set[KeyId]) -> Policy:
        """The policy with these layers instead, which differ from its own in ``keys`` only: the others stay grouped."""
        after = Policy(self.topology, layers)
        changed = self._grouped(layer for layer in layers if layer.key_id in keys)
        by_key = {key_id: changed.get(key_id, known) for key_id, known in self.by_key.items()}
        if changed.keys() - by_key.keys():
            by_key = dict(sorted((by_key | changed).items()))
        for key_id in keys - changed.keys():
            by_key.pop(key_id, None)
        after.__dict__["by_key"] = by_key
        return after

    def _grouped(self, layers: Iterable[Layer]) -> dict[KeyId, tuple[Layer, ...]]:
        found: dict[KeyId, list[Layer]] = {}
        for layer in layers:
            found.setdefault(layer.key_id, []).append(layer)
        strength = self.topology.strength
        return {
            key_id: tuple(sorted(layers, key=lambda layer: (strength(layer), layer.scope), reverse=True))
            if len(layers) > 1
            else (layers[0],)
            for key_id, layers in found.items()
        }
