"""Folding and compiling taken literally, for small policies: slow, and written without looking at the code it judges.

Nothing here imports the resolver, the diagram or the compiler; only the words (``layers``) are shared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from alerts.domain.layers import KeyId, Layer, Policy, Scope, Topology

OTHER = "a value that no group and no rule mentions"

Region = dict[str, frozenset[str]]
"""For each label, the values of its finite domain that lie inside."""


# --- positions --------------------------------------------------------------------------------------------------------


def domains(policy: Policy) -> dict[str, list[str]]:
    """Every value of every position label that could make a difference: "", the known ones, OTHER."""
    hosts = {layer.scope.value for layer in policy.layers if layer.scope.level == "target"}
    found = {policy.topology.target_label: hosts}
    for namespace in policy.topology.namespaces:
        found[namespace.label] = {group.value for group in policy.topology.groups if group.namespace == namespace.name}
    return {label: ["", *sorted(values), OTHER] for label, values in found.items()}


def positions(policy: Policy) -> list[dict[str, str]]:
    """All of them."""
    known = domains(policy)
    return [dict(zip(known, values, strict=True)) for values in product(*known.values())]


# --- scopes and strength ----------------------------------------------------------------------------------------------


def ancestors(topology: Topology, namespace: str, value: str) -> list[str]:
    """A group and everything above it."""
    parents = {(group.namespace, group.value): group.parent for group in topology.groups}
    found, current = [], value
    while current is not None and current not in found:
        found.append(current)
        current = parents.get((namespace, current))
    return found


def scope_label(topology: Topology, scope: Scope) -> str | None:
    if scope.level == "target":
        return topology.target_label
    return next((ns.label for ns in topology.namespaces if ns.name == scope.namespace), None)


def scope_values(policy: Policy, scope: Scope) -> frozenset[str]:
    """The values of the scope's label that lie in the scope."""
    topology = policy.topology
    values = domains(policy)[scope_label(topology, scope) or topology.target_label]
    if scope.level == "namespace":
        return frozenset(values) - {""}
    if scope.level == "target":
        return frozenset((scope.value,))
    return frozenset(value for value in values if scope.value in ancestors(topology, scope.namespace, value))


def applies(policy: Policy, scope: Scope, position: Mapping[str, str]) -> bool:
    label = scope_label(policy.topology, scope)
    return label is None or position[label] in scope_values(policy, scope)


def strength(topology: Topology, layer: Layer) -> tuple[Any, ...]:
    level = ["global", "namespace", "group", "target"].index(layer.scope.level)
    namespace = next((ns for ns in topology.namespaces if ns.name == layer.scope.namespace), None)
    depth = len(ancestors(topology, layer.scope.namespace, layer.scope.value)) if layer.scope.level == "group" else 0
    return (layer.priority, level, namespace.priority if namespace else 0, namespace.name if namespace else "", depth)


# --- folding ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """What is in force at a position: DESIGN 3's outcome, with its templates filled in."""

    name: str
    query: str
    for_duration: str | None
    keep_firing_for: str | None
    interval: str | None
    labels: tuple[tuple[str, str], ...]
    annotations: tuple[tuple[str, str], ...]
    unscoped: tuple[str, ...]
    partition_by: tuple[str, ...]
    allow_split: bool


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396, as its own pseudo code has it."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def chain_at(policy: Policy, layers: Sequence[Layer], position: Mapping[str, str]) -> list[Layer]:
    """The layers of one key that count at a position, weakest first: an override forgets everything weaker."""
    chain: list[Layer] = []
    for layer in sorted(layers, key=lambda layer: strength(policy.topology, layer)):
        if applies(policy, layer.scope, position):
            chain = [layer] if layer.strategy == "override" else [*chain, layer]
    return chain


def fold(chain: Sequence[Layer]) -> Rule | None:
    """The rule a chain makes (weakest first); None when there is no query or it is muted."""
    counting = list(chain)
    while counting and counting[0].query is None:  # orphans: nothing weaker supplies a query
        counting.pop(0)
    if not counting:
        return None
    owner = [layer for layer in counting if layer.query is not None][-1]
    config: Any = merge_patch({}, owner.default_config)
    enabled, name = True, owner.key
    for layer in counting:
        if layer.strategy == "override":
            enabled = True
        if layer.enabled is not None:
            enabled = layer.enabled
        name = layer.name or name
        if layer.severity is not None:
            config = merge_patch(config, {"severity": layer.severity})
        config = merge_patch(config, layer.config)
    if not enabled:
        return None
    values = {variable.name: variable.default for variable in owner.variables} | config.get("template_vars", {})
    labels = {label: fill(text, values) for label, text in config.get("labels", {}).items()}
    if config.get("severity") is not None:
        labels["severity"] = config["severity"]
    annotations = {label: fill(text, values) for label, text in config.get("annotations", {}).items()}
    return Rule(
        name=name,
        query=fill(owner.query or "", values),
        for_duration=config.get("for_duration"),
        keep_firing_for=config.get("keep_firing_for"),
        interval=config.get("interval"),
        labels=tuple(sorted(labels.items())),
        annotations=tuple(sorted(annotations.items())),
        unscoped=owner.unscoped,
        partition_by=owner.partition_by,
        allow_split=owner.allow_split,
    )


def fill(text: str, values: Mapping[str, Any]) -> str:
    return re.sub(r"\{\{ \.([a-z_]+) \}\}", lambda match: str(values[match[1]]), text)


class Oracle:
    """The folds of a whole policy at any position."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.positions = positions(policy)
        self.keys: dict[KeyId, list[Layer]] = {}
        for layer in policy.layers:
            self.keys.setdefault((layer.kind, layer.key), []).append(layer)
        self._inside = {layer.scope: scope_values(policy, layer.scope) for layer in policy.layers}
        self._folds: dict[tuple[int, ...], Rule | None] = {}
        self._sorted = {
            key_id: sorted(layers, key=lambda layer: strength(policy.topology, layer))
            for key_id, layers in self.keys.items()
        }

    def chain(self, key_id: KeyId, position: Mapping[str, str]) -> list[Layer]:
        chain: list[Layer] = []
        for layer in self._sorted[key_id]:
            label = scope_label(self.policy.topology, layer.scope)
            if label is None or position[label] in self._inside[layer.scope]:
                chain = [layer] if layer.strategy == "override" else [*chain, layer]
        return chain

    def rule(self, key_id: KeyId, position: Mapping[str, str]) -> Rule | None:
        return self.rule_of(self.chain(key_id, position))

    def rule_of(self, chain: Sequence[Layer]) -> Rule | None:
        identity = tuple(id(layer) for layer in chain)
        if identity not in self._folds:
            self._folds[identity] = fold(chain)
        return self._folds[identity]


# --- regions ----------------------------------------------------------------------------------------------------------


def regions(policy: Policy, layers: Sequence[Layer]) -> Iterator[tuple[Region, tuple[Layer, ...]]]:
    """The recursion of DESIGN 4, literally. Chains are strongest first."""
    strongest_first = sorted(layers, key=lambda layer: strength(policy.topology, layer), reverse=True)
    everywhere = {label: frozenset(values) for label, values in domains(policy).items()}
    yield from _regions(policy, everywhere, (), tuple(strongest_first))


def _regions(
    policy: Policy, region: Region, chain: tuple[Layer, ...], remaining: tuple[Layer, ...]
) -> Iterator[tuple[Region, tuple[Layer, ...]]]:
    if (chain and chain[-1].strategy == "override") or not remaining:
        if chain:
            yield region, chain
        return
    layer, rest = remaining[0], remaining[1:]
    label = scope_label(policy.topology, layer.scope)
    if label is None:
        yield from _regions(policy, region, (*chain, layer), rest)
        return
    inside = scope_values(policy, layer.scope)
    if region[label] & inside:
        yield from _regions(policy, region | {label: region[label] & inside}, (*chain, layer), rest)
    if region[label] - inside:
        yield from _regions(policy, region | {label: region[label] - inside}, chain, rest)
