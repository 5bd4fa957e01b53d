"""Divides all positions into disjoint boxes, one outcome each, without going through them one by one.

DESIGN 4 defines the regions of a key by a recursion over its layers, which is deep and exponential. Here the same
division is a decision diagram: one label at a time, values that see the same layers share a branch, and equal
sub-diagrams are one node. The label order is fixed, so the result is canonical: it does not depend on the order of
creation.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import lru_cache, reduce
from operator import itemgetter
from typing import Any

from alerts.domain.errors import Finding, PolicyConflict
from alerts.domain.layers import Layer, Position, Scope, Topology
from alerts.domain.regions import Condition, Region

MAX_REGIONS = 2_000
MAX_NODES = 50_000


class Node:
    """A test of one label: ``table`` says where each listed value leads, ``rest`` where any other one does."""

    __slots__ = ("label", "rest", "table")

    def __init__(self, label: str, table: dict[str, Any], rest: Any) -> None:
        self.label = label
        self.table = table
        self.rest = rest


def lookup(root: Any, position: Position) -> Any:
    """The outcome at one position."""
    node = root
    while type(node) is Node:
        node = node.table.get(position.get(node.label, ""), node.rest)
    return node


class _Interning:
    """Makes equal nodes one object, and drops tests that decide nothing."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._known: dict[Hashable, Node] = {}
        self._layers = layers

    def node(self, label: str, table: dict[str, Any], rest: Any) -> Any:
        table = {value: child for value, child in table.items() if child is not rest and child != rest}
        if not table:
            return rest
        identity = (label, rest, frozenset(table.items()))
        known = self._known.get(identity)
        if known is None:
            if len(self._known) >= MAX_NODES:
                raise PolicyConflict(too_many(self._layers))
            known = self._known[identity] = Node(label, table, rest)
        return known


def build(topology: Topology, layers: Sequence[Layer]) -> Any:
    """The diagram of one key; ``layers`` strongest first. An outcome is the tuple of indexes of the layers in force.

    Indexes ascend, so the strongest comes first, and end with the first override.
    """
    if len(layers) == 1:
        return whole_scope(topology, layers[0].scope)[0]
    return _Division(topology, layers).everywhere()


class _Division:
    """The working state of dividing; gone with its last use, as a function that calls itself would not be."""

    def __init__(self, topology: Topology, layers: Sequence[Layer]) -> None:
        self._layers = layers
        self._plans = _labels(topology, layers)
        self._overrides = [layer.strategy == "override" for layer in layers]
        self._interning = _Interning(layers)
        self._known: dict[tuple[int, tuple[int, ...]], Any] = {}

    def everywhere(self) -> Any:
        return self._at(0, self._prune([i for i, layer in enumerate(self._layers) if layer.scope.level == "global"]))

    def _at(self, step: int, matched: tuple[int, ...]) -> Any:
        """What the labels from ``step`` on decide where those before let ``matched`` through."""
        limit = matched[-1] if matched and self._overrides[matched[-1]] else len(self._layers)
        plans = self._plans
        while step < len(plans) and plans[step].strongest >= limit:
            step += 1
        if step == len(plans):
            return matched
        known = self._known.get((step, matched))
        if known is None:
            plan = plans[step]
            children = {
                seen: self._at(step + 1, self._prune([*matched, *(index for index in seen if index < limit)]))
                for seen in plan.distinct
            }
            table = {value: children[seen] for value, seen in plan.seen.items()}
            known = self._known[(step, matched)] = self._interning.node(plan.label, table, children[plan.rest])
        return known

    def _prune(self, matched: list[int]) -> tuple[int, ...]:
        matched.sort()
        for place, index in enumerate(matched):
            if self._overrides[index]:
                return tuple(matched[: place + 1])
        return tuple(matched)


@lru_cache(maxsize=4096)
def whole_scope(topology: Topology, scope: Scope) -> tuple[Any, Region]:
    """The diagram of a single layer at ``scope``, and the scope as a region. Shared by all keys that have just that."""
    bound = scope_condition(topology, scope)
    if bound is None:
        return (0,), Region()
    label, condition = bound
    listed, rest = ((0,), ()) if condition.include else ((), (0,))
    return Node(label, dict.fromkeys(condition.values, listed), rest), Region((bound,))


def scope_condition(topology: Topology, scope: Scope) -> tuple[str, Condition] | None:
    """A scope as (label, condition); None for global."""
    label = topology.label(scope)
    if label is None:
        return None
    if scope.level == "namespace":
        return label, Condition(False, frozenset(("",)))
    if scope.level == "target":
        return label, Condition(True, frozenset((scope.value,)))
    return label, Condition(True, topology.subtree(scope.namespace, scope.value))


class _LabelPlan:
    """Which layers each value of one label sees."""

    __slots__ = ("distinct", "label", "rest", "seen", "strongest")

    def __init__(self, label: str, seen: dict[str, tuple[int, ...]], rest: tuple[int, ...]) -> None:
        self.label = label
        self.seen = seen
        self.rest = rest
        self.distinct = {*seen.values(), rest}
        self.strongest = min((indexes[0] for indexes in self.distinct if indexes), default=0)


def _labels(topology: Topology, layers: Sequence[Layer]) -> list[_LabelPlan]:
    members: dict[str, dict[str, list[int]]] = {}
    anywhere: dict[str, list[int]] = {}
    for index, layer in enumerate(layers):
        label = topology.label(layer.scope)
        if label is None:
            continue
        values = members.setdefault(label, {})
        if layer.scope.level == "namespace":
            anywhere.setdefault(label, []).append(index)
            values.setdefault("", [])
        elif layer.scope.level == "target":
            values.setdefault(layer.scope.value, []).append(index)
        else:
            for value in topology.subtree(layer.scope.namespace, layer.scope.value):
                values.setdefault(value, []).append(index)
    plans = []
    for label in topology.position_labels:
        if label not in members:
            continue
        common = anywhere.get(label, [])
        seen = {
            value: tuple(sorted([*indexes, *common])) if common and value else tuple(indexes)
            for value, indexes in members[label].items()
        }
        plans.append(_LabelPlan(label, seen, tuple(common)))
    return plans


def relabel(root: Any, outcome: Callable[[Any], Any], layers: Sequence[Layer]) -> Any:
    """The same division with other outcomes; positions that now agree are united."""
    return _relabelled(root, outcome, _Interning(layers), {})


def _relabelled(root: Any, outcome: Callable[[Any], Any], interning: _Interning, known: dict[Any, Any]) -> Any:
    if root in known:
        return known[root]
    if type(root) is Node:
        children = (root.rest, *root.table.values())
        after = {child: _relabelled(child, outcome, interning, known) for child in children}
        table = {value: after[child] for value, child in root.table.items()}
        found = interning.node(root.label, table, after[root.rest])
    else:
        found = outcome(root)
    known[root] = found
    return found


def outcomes(root: Any) -> set[Any]:
    """Every outcome some position has."""
    found: set[Any] = set()
    pending, visited = [root], set()
    while pending:
        node = pending.pop()
        if type(node) is not Node:
            found.add(node)
        elif id(node) not in visited:
            visited.add(id(node))
            pending.extend({id(child): child for child in node.table.values()}.values())
            pending.append(node.rest)
    return found


def boxes(root: Any, layers: Sequence[Layer], wanted: Callable[[Any], bool]) -> dict[Any, list[Region]]:
    """The disjoint boxes of each outcome that is ``wanted``, in canonical order.

    Raises PolicyConflict, naming the layers that multiply, past 2,000 of them.
    """
    found: dict[Any, list[Region]] = {}
    for count, (outcome, region) in enumerate(_boxes(root, (), wanted), 1):
        if count > MAX_REGIONS:
            raise PolicyConflict(too_many(layers))
        found.setdefault(outcome, []).append(region)
    return {outcome: united(regions) for outcome, regions in found.items()}


def _boxes(
    node: Any, path: tuple[tuple[str, Condition], ...], wanted: Callable[[Any], bool]
) -> Iterator[tuple[Any, Region]]:
    if type(node) is not Node:
        if wanted(node):
            yield node, Region(tuple(sorted(path, key=itemgetter(0))))
        return
    groups: dict[Any, list[str]] = {}
    for value, child in node.table.items():
        groups.setdefault(child, []).append(value)
    for child, values in sorted(groups.items(), key=lambda group: min(group[1])):
        yield from _boxes(child, (*path, (node.label, Condition(True, frozenset(values)))), wanted)
    yield from _boxes(node.rest, (*path, (node.label, Condition(False, frozenset(node.table)))), wanted)


def united(regions: list[Region]) -> list[Region]:
    """Disjoint boxes as fewer ones: two that differ in one label's condition only are one box."""
    before = 0
    while len(regions) > 1 and len(regions) != before:
        before = len(regions)
        for label in sorted({label for region in regions for label in region.labels}):
            alike: dict[Hashable, list[Region]] = {}
            for region in regions:
                others = tuple(pair for pair in region.conditions if pair[0] != label)
                alike.setdefault(others, []).append(region)
            regions = [same[0] if len(same) == 1 else _along(label, same) for same in alike.values()]
    return regions


def _along(label: str, regions: list[Region]) -> Region:
    whole = reduce(Condition.union, (region.condition(label) for region in regions))
    return Region.of({**dict(regions[0].conditions), label: whole})


def too_many(layers: Sequence[Layer]) -> Finding:
    """The finding for a key whose layers multiply, with the scopes that do."""
    counts: dict[str, int] = {}
    for layer in layers:
        name = layer.scope.namespace if layer.scope.level == "group" else layer.scope.level
        counts[name] = counts.get(name, 0) + 1
    shares = ", ".join(f"{count} at {name}" for name, count in sorted(counts.items(), key=lambda pair: -pair[1]))
    rules = ", ".join(str(layer.rule_id) for layer in layers[:10])
    return Finding(
        "too_many_regions",
        f"the {len(layers)} layers of {layers[0].key!r} multiply to more than {MAX_REGIONS:,} regions "
        f"({shares}; rules {rules}{' …' if len(layers) > 10 else ''})",
        hint="use override instead of merge at the narrow scopes, or give those scopes a key of their own",
        key=layers[0].key,
        rule_id=layers[0].rule_id,
    )
