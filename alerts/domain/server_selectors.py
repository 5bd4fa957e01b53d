"""Selectors of Prometheus servers: which positions' series a server holds.

As people write them: ``{"environment": ["eu-prod", "eu-staging"]}``, or ``{"environment": {"not_in": ["us"]}}``, one
entry per namespace, all of them to hold. A value means that group's whole subtree, "" the series without the label.
An empty selector means everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from alerts.domain.errors import Finding
from alerts.domain.layers import Topology
from alerts.domain.names import below, json_type, shown
from alerts.domain.regions import Condition, Region

MAX_LISTED = 2000
"""Values a person may list in one selector."""

MAX_SELECTED = 4000
"""Label values a selector may mean, subtrees included: a rule's own region needs some of the 5,000 there may be."""

_SHOWN = 8


def check_selector(topology: Topology, selector: Any) -> list[Finding]:
    """Everything that is wrong with a selector as written."""
    if not isinstance(selector, Mapping):
        return [Finding("type", f"must be an object, not {json_type(selector)}", "/selector")]
    findings: list[Finding] = []
    listed = 0
    for name, said in selector.items():
        place = below("/selector", name)
        if name not in topology.namespace_by_name:
            findings.append(
                Finding(
                    "namespace_unknown",
                    f"there is no namespace {shown(name)}",
                    place,
                    _one_of(topology.namespace_by_name),
                )
            )
            continue
        values, place, objection = _listed(said, place)
        if objection is not None:
            findings.append(objection)
            continue
        listed += len(values)
        findings += _check_values(topology, name, values[: MAX_LISTED + 1], place)
    if listed > MAX_LISTED:
        message = f"lists {listed} values, at most {MAX_LISTED} are possible"
        return [Finding("too_many_values", message, "/selector", "name groups above them, or use not_in")]
    if not findings:
        meant = sum(len(condition.values) for _, condition in selector_region(topology, selector).conditions)
        if meant > MAX_SELECTED:
            message = f"means {meant} groups with all below them, at most {MAX_SELECTED} are possible"
            findings.append(Finding("too_many_values", message, "/selector", "say it with not_in, if that is shorter"))
    return findings


def _listed(said: Any, place: str) -> tuple[Sequence[Any], str, Finding | None]:
    """The values of one entry with their place, or the objection to it."""
    if isinstance(said, Mapping):
        for member in said:
            if member != "not_in":
                hint = "an entry is a list of values, or an object with not_in alone"
                found = Finding("unknown_field", f"unknown field {shown(member)}", below(place, member), hint)
                return (), place, found
        if not said:
            hint = "leave the namespace out to select all of it"
            return (), place, Finding("required", "must say not_in", place, hint)
        said, place = said["not_in"], below(place, "not_in")
    if not isinstance(said, list | tuple):
        hint = 'for example ["eu-prod"] or {"not_in": ["us"]}'
        return (), place, Finding("type", f"must be a list of values, not {json_type(said)}", place, hint)
    if not said:
        hint = "leave the namespace out to select all of it"
        return (), place, Finding("required", "must name at least one value", place, hint)
    return said, place, None


def _check_values(topology: Topology, namespace: str, values: Iterable[Any], place: str) -> Iterator[Finding]:
    known = topology.values(namespace)
    for index, value in enumerate(values):
        if not isinstance(value, str):
            yield Finding("type", f"must be a string, not {json_type(value)}", below(place, index))
        elif value and value not in known:
            hint = f'{_one_of(known)}, or "" for series without the label'
            message = f"no group of the namespace {namespace} has the label value {shown(value)}"
            yield Finding("group_unknown", message, below(place, index), hint)


def _one_of(names: Iterable[str]) -> str:
    known = [str(name) for name in sorted(names)]
    if not known:
        return "there is none yet"
    more = f", … {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"one of: {', '.join(known[:_SHOWN])}{more}"


def selector_region(topology: Topology, selector: Mapping[str, Any]) -> Region:
    """The positions that a (checked) selector means; everywhere for an empty one.

    What has gone from the topology since is taken at its word: such a value stands for itself, such a namespace for
    the label of that name. A server must not begin to evaluate more because somebody tidied up.
    """
    conditions: dict[str, Condition] = {}
    for name, said in selector.items():
        namespace = topology.namespace_by_name.get(name)
        include = not isinstance(said, Mapping)
        values: set[str] = set()
        for value in said if include else said["not_in"]:
            values |= topology.subtree(name, value) if value else {""}
        condition = Condition(include, frozenset(values))
        label = namespace.label if namespace else name
        conditions[label] = conditions[label].intersect(condition) if label in conditions else condition
    return Region.of(conditions)
