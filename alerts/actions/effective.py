"""What is in force for a target, and why: the same compile that is deployed, looked up at one position."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from alerts.actions import fleet, fleet_status, policy, servers, wanted
from alerts.actions.errors import InvalidPolicy, NotFound
from alerts.actions.fleet_status import Standing
from alerts.actions.policy import LoadedPolicy
from alerts.actions.wanted import KeptKey
from alerts.adapters.server_spec import ServerSpec
from alerts.domain.compiled import Branch, CompiledRule, KeyPlan
from alerts.domain.errors import Finding
from alerts.domain.layers import Layer, Position, Topology
from alerts.domain.resolver import Setting
from alerts.domain.trace import FieldTrace, KeyTrace, trace
from alerts.models import Group, Membership, Target


@dataclass(frozen=True)
class Place:
    """A real target, or a hypothetical one in some groups (``target`` None); in the policy as it was when asked."""

    target: Target | None
    position: Position
    loaded: LoadedPolicy

    @property
    def topology(self) -> Topology:
        return self.loaded.policy.topology

    def held_by(self) -> list[ServerSpec]:
        """The servers that evaluate the rules of this place."""
        return fleet.holders(self.topology, self.position)


def place_of_target(target_id: int) -> Place:
    """A living target's position."""
    target = Target.objects.living().filter(pk=target_id).first() if 0 < target_id < 2**63 else None
    if target is None:
        raise NotFound("target", [target_id])
    rows = Membership.objects.filter(target=target).values_list("namespace__label", "group__label_value")
    return _place(target, dict(rows))


def place_of_host(hostname: str) -> Place:
    """A living target's position, by hostname."""
    target_id = Target.objects.living().filter(hostname=hostname).values_list("pk", flat=True).first()
    if target_id is None:
        raise NotFound("target", [])
    return place_of_target(target_id)


def place_of_groups(group_ids: Sequence[int]) -> Place:
    """Where a target would be that sits in these groups, at most one per namespace; the first names the resource."""
    usable = [group_id for group_id in group_ids if 0 < group_id < 2**63]
    rows = {
        pk: (label, value, namespace)
        for pk, label, value, namespace in Group.objects.living()
        .filter(pk__in=usable)
        .values_list("pk", "namespace__label", "label_value", "namespace__name")
    }
    if group_ids[0] not in rows:
        raise NotFound("group", [group_ids[0]])
    findings = [
        Finding("unknown_reference", f"there is no group {group_id}", pointer="/group")
        for group_id in group_ids
        if group_id not in rows
    ]
    labels: dict[str, str] = {}
    for group_id in dict.fromkeys(group_ids):
        if group_id not in rows:
            continue
        label, value, namespace = rows[group_id]
        if label in labels:
            findings.append(Finding("two_groups", f"two groups of the namespace {namespace!r}", pointer="/group"))
        labels[label] = value
    if findings:
        raise InvalidPolicy(findings)
    return _place(None, labels)


def _place(target: Target | None, labels: dict[str, str]) -> Place:
    loaded = policy.current().loaded
    topology = loaded.policy.topology
    position = {namespace.label: labels.get(namespace.label, "") for namespace in topology.namespaces}
    position[topology.target_label] = target.hostname if target is not None else ""
    return Place(target, position, loaded)


def effective(place: Place, *, server: str | None = None) -> dict[str, Any]:
    """The rules in force at a place, by key: exactly what the servers that hold its series evaluate for them.

    ``server``: what that one evaluates. A rule that several evaluate alike is told once, with all their ``servers``.
    """
    holding = _holding(place, server)
    found: dict[bytes | int, dict[str, Any]] = {}
    for spec in holding:
        for number, rule in enumerate(_rules_on(spec, place)):
            alike = orjson.dumps(rule, option=orjson.OPT_SORT_KEYS) if len(holding) > 1 else number
            found.setdefault(alike, {**rule, "servers": []})["servers"].append(spec.name)
    rules = sorted(found.values(), key=lambda rule: (rule["kind"], rule["key"], rule["servers"]))
    return {**_head(place, holding), "rules": rules}


def traced(place: Place, *, key: str | None = None, server: str | None = None) -> dict[str, Any]:
    """Every key with a layer at the place: its layers and what became of them, its fields and who set them.

    Layers mean the same on every server; only what stays as last compiled is told as of the first one.
    """
    holding = _holding(place, server)
    first = holding[0] if holding else None
    current = policy.at(place.loaded, first.layout) if first else policy.current()
    kept = {(one.kind, one.key): one for one in wanted.kept_keys(current, first)[0]} if first else {}
    scopes = place.topology.scopes_at(place.position)
    keys = []
    for plan in current.compiled.plans.values():
        if key is not None and plan.key_id[1] != key:
            continue
        found = trace(place.topology, plan, place.position, scopes)
        if found is not None:
            keys.append(_trace(found, kept.get(plan.key_id)))
    return {**_head(place, holding), "keys": keys}


def _holding(place: Place, server: str | None) -> list[ServerSpec]:
    """The servers that evaluate the rules of a place; with ``server`` that one, if it does."""
    return place.held_by() if server is None else fleet.holders(place.topology, place.position, [servers.spec(server)])


def _rules_on(spec: ServerSpec, place: Place) -> Iterator[dict[str, Any]]:
    position = place.position
    current = policy.at(place.loaded, spec.layout)
    known, view = wanted.kept_keys(current, spec)
    kept = {(one.kind, one.key): one for one in known}
    for plan in current.compiled.plans.values():
        key = kept.get(plan.key_id)
        if key is None:
            if plan.key_id in current.compiled.problems:
                continue
            found = view.piece(plan, position)
            if found is not None:
                yield _rule(plan, position, *found)
        else:
            for rule, branch in _pieces(key.rules, position):
                yield _kept_rule(plan, key, rule, branch)
    for key_id, key in kept.items():  # recordings that are gone from the policy, but still read
        if key_id not in current.compiled.plans:
            for rule, branch in _pieces(key.rules, position):
                yield _kept_rule(None, key, rule, branch)


def _head(place: Place, holding: Sequence[ServerSpec]) -> dict[str, Any]:
    revision = place.loaded.revision
    found = fleet_status.standings(((spec.name, spec.delivery, spec.enabled) for spec in holding), revision)
    on = [_on_server(name, standing) for name, standing in found.items()]
    return {
        "target": place.target.hostname if place.target is not None else None,
        "position": dict(place.position),
        "revision": revision,
        "loaded_revision": min((server["loaded_revision"] for server in on), default=0),
        "in_sync": bool(on) and all(server["in_sync"] for server in on),
        "pinned": next((server["pinned"] for server in on if server["pinned"] is not None), None),
        "servers": on,
    }


def _on_server(name: str, standing: Standing) -> dict[str, Any]:
    return {
        "name": name,
        "loaded_revision": standing.state.loaded_revision,
        "in_sync": standing.in_sync,
        "why": standing.why or None,
        "silent_since": standing.silent_since,
        "pinned": standing.state.pinned_release_id,
    }


def effective_for_target(target_id: int, server: str | None = None) -> dict[str, Any]:
    return effective(place_of_target(target_id), server=server)


def effective_for_groups(group_ids: Sequence[int], server: str | None = None) -> dict[str, Any]:
    return effective(place_of_groups(group_ids), server=server)


def trace_for_target(target_id: int, server: str | None = None) -> dict[str, Any]:
    return traced(place_of_target(target_id), server=server)


def trace_for_groups(group_ids: Sequence[int], server: str | None = None) -> dict[str, Any]:
    return traced(place_of_groups(group_ids), server=server)


def _rule(plan: KeyPlan, position: Position, rule: CompiledRule, branch: Branch) -> dict[str, Any]:
    chain = plan.chain(position)
    resolved, source = plan.resolved[chain], plan.layers[chain[0]]
    severity = resolved.severity if resolved else None
    return _rule_json(rule, branch, severity, {"rule_id": source.rule_id, "scope": source.scope.text})


def _rule_json(rule: CompiledRule, branch: Branch, severity: str | None, source: dict[str, Any]) -> dict[str, Any]:
    return {
        "key": rule.key,
        "name": rule.name,
        "kind": rule.kind,
        "severity": severity,
        "expr": branch.expr,
        "for_duration": rule.for_duration,
        "keep_firing_for": rule.keep_firing_for,
        "interval": rule.interval,
        "labels": dict(rule.labels),
        "annotations": dict(rule.annotations),
        "source": source,
        "file": rule.file,
        "group": rule.group,
        "compiled_expr": rule.expr,
        "in_force": "current",
    }


def _pieces(rules: Iterable[CompiledRule], position: Position) -> list[tuple[CompiledRule, Branch]]:
    return [(rule, branch) for rule in rules for branch in rule.branches if branch.region.holds(position)]


def _kept_rule(plan: KeyPlan | None, key: KeptKey, rule: CompiledRule, branch: Branch) -> dict[str, Any]:
    layers: Sequence[Layer] = plan.layers if plan else ()
    rule_id = next((layer.rule_id for layer in layers if layer.scope == rule.scope), None)
    source = {"rule_id": rule_id, "scope": rule.scope.text}
    return {**_rule_json(rule, branch, dict(rule.labels).get("severity"), source), **_in_force(key)}


def _in_force(key: KeptKey) -> dict[str, Any]:
    return {
        "in_force": "last_good",
        "last_good": {"since_release": key.release_id, "why": [str(finding) for finding in key.why]},
    }


def _trace(found: KeyTrace, kept: KeptKey | None) -> dict[str, Any]:
    return {
        "key": found.plan.key_id[1],
        "kind": found.plan.key_id[0],
        **(_in_force(kept) if kept else {"in_force": "current"}),
        "dropped": found.dropped,
        "layers": [
            {
                "rule_id": entry.layer.rule_id,
                "scope": entry.layer.scope.text,
                "status": entry.status,
                "name": entry.layer.name,
                "merge_strategy": entry.layer.strategy,
                "priority": entry.layer.priority,
                "enabled": entry.layer.enabled,
                "unused_variables": list(entry.unused),
            }
            for entry in found.layers
        ],
        "fields": {path: _field(field) for path, field in found.fields.items()},
    }


def _field(field: FieldTrace) -> dict[str, Any]:
    return {
        "value": field.value,
        "set_by": _set_by(field.set_by) if field.set_by else None,
        "over": [{"value": setting.value, "set_by": _set_by(setting)} for setting in field.over],
    }


def _set_by(setting: Setting) -> dict[str, Any]:
    return {"rule_id": setting.layer.rule_id, "scope": setting.layer.scope.text, "part": setting.part}
