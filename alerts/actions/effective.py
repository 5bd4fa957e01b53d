"""What is in force for a target, and why: the same compile that is deployed, looked up at one position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from django.db.models import Subquery
from orjson import Fragment

from alerts.actions import fleet, fleet_status, policy, servers, wanted, wording
from alerts.actions.errors import InvalidPolicy, NotFound
from alerts.actions.fleet_status import Standing
from alerts.actions.policy import CurrentPolicy, LoadedPolicy
from alerts.actions.prepared import Prepared
from alerts.actions.refused_keys import refused_on
from alerts.actions.wanted import KeptKey
from alerts.adapters.server_spec import ServerSpec
from alerts.domain.errors import Finding
from alerts.domain.fleet import ServerView
from alerts.domain.json_text import Form, json_bytes
from alerts.domain.layers import KeyId, Layer, Position, Topology
from alerts.domain.trace import why_dropped
from alerts.models import Group, PolicyState, Target


@dataclass(frozen=True)
class Place:
    """A real target, or a hypothetical one in some groups (``hostname`` None); in the policy as it was when asked."""

    hostname: str | None
    position: Position
    loaded: LoadedPolicy

    @property
    def topology(self) -> Topology:
        return self.loaded.policy.topology

    def held_by(self) -> list[ServerSpec]:
        """The servers that evaluate the rules of this place."""
        return fleet.holders(self.topology, self.position, servers.enabled_at(self.loaded))


_TARGET = Prepared(
    lambda target_id: (
        Target.objects.living()
        .filter(pk=target_id)
        .order_by()
        .annotate(at=Subquery(PolicyState.objects.filter(pk=1).values("revision")))
        .values_list("hostname", "memberships__group_id", "at")
    )
)


def place_of_target(target_id: int) -> Place:
    """A living target's position: where it is, and the revision at which it is there, are read as one."""
    rows = _TARGET.rows(target_id) if 0 < target_id < 2**63 else []
    if not rows:
        raise NotFound("target", [target_id])
    hostname, _, revision = rows[0]
    loaded = policy.current(revision=revision or 0).loaded
    known = loaded.group_labels  # groups are in memory with the policy: asking for them again is half of the statement
    return _place(hostname, dict(known[group] for _, group, _ in rows if group in known), loaded)


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
    return _place(None, labels, policy.current().loaded)


def _place(hostname: str | None, labels: Mapping[str, str], loaded: LoadedPolicy) -> Place:
    topology = loaded.policy.topology
    position = {namespace.label: labels.get(namespace.label, "") for namespace in topology.namespaces}
    position[topology.target_label] = hostname or ""
    return Place(hostname, position, loaded)


def effective(place: Place, *, server: str | None = None) -> dict[str, Any]:
    """The rules in force at a place, by key: exactly what the servers that hold its series evaluate for them.

    ``server``: what that one evaluates. A rule that several evaluate alike is told once, with all their ``servers``.
    """
    answer = effective_json(place, server=server)
    return {**answer, "rules": _read(answer["rules"])}


def effective_json(place: Place, *, server: str | None = None) -> dict[str, Any]:
    """The same with every rule as JSON text: what the API sends."""
    holding = _holding(place, server)
    standing = _standings(place, holding)
    found: dict[bytes | int, _Told] = {}
    for spec in holding:
        for number, (key_id, form, source) in enumerate(_rules_on(spec, place, standing[spec.name])):
            alike = form.filled((source, b"")) if len(holding) > 1 else number
            found.setdefault(alike, _Told(key_id, [], form, source)).servers.append(spec.name)
    rules = sorted(found.values(), key=lambda rule: (rule.key_id, rule.servers))
    return {**_head(place, standing), "rules": [Fragment(rule.text) for rule in rules]}


@dataclass(slots=True)
class _Told:
    """A rule in force on some servers: a text, and what goes into its blanks."""

    key_id: KeyId
    servers: list[str]
    form: Form
    source: bytes

    @property
    def text(self) -> bytes:
        return self.form.filled((self.source, json_bytes(self.servers)))


def traced(place: Place, *, key: str | None = None, server: str | None = None) -> dict[str, Any]:
    """Every key with a layer at the place: its layers and what became of them, its fields and who set them.

    Layers mean the same on every server; only what stays as last compiled is told as of the first one.
    """
    answer = traced_json(place, key=key, server=server)
    return {**answer, "keys": _read(answer["keys"])}


def traced_json(place: Place, *, key: str | None = None, server: str | None = None) -> dict[str, Any]:
    """The same with every key as JSON text: what the API sends."""
    holding = _holding(place, server)
    standing = _standings(place, holding)
    first = holding[0] if holding else None
    current = policy.at(place.loaded, first.layout) if first else policy.current()
    kept = _kept_keys(current, first, standing[first.name])[0] if first else {}
    scopes = place.topology.scopes_at(place.position)
    keys = []
    for plan in current.compiled.plans.values():
        if key is not None and plan.key_id[1] != key:
            continue
        applying = plan.layers_at(scopes)
        if applying:
            dropped = why_dropped(plan, place.position)
            keys.append(Fragment(wording.key_traced(plan, applying, dropped, kept.get(plan.key_id))))
    return {**_head(place, standing), "keys": keys}


def _read(texts: list[Fragment]) -> list[dict[str, Any]]:
    """As programs here read them."""
    read: list[dict[str, Any]] = orjson.loads(orjson.dumps(texts))
    return read


def _holding(place: Place, server: str | None) -> list[ServerSpec]:
    """The servers that evaluate the rules of a place; with ``server`` that one, if it does."""
    return place.held_by() if server is None else fleet.holders(place.topology, place.position, [servers.spec(server)])


def _kept_keys(current: CurrentPolicy, spec: ServerSpec, standing: Standing) -> tuple[dict[KeyId, KeptKey], ServerView]:
    """What stays as last compiled on a server, and what it evaluates beside that."""
    kept, view = wanted.kept_keys(current, spec, refused_on(standing.state, current.revision))
    return {(one.kind, one.key): one for one in kept}, view


def _rules_on(spec: ServerSpec, place: Place, standing: Standing) -> Iterator[tuple[KeyId, Form, bytes]]:
    """The rules that a server evaluates: their keys and texts, and where they come from."""
    position = place.position
    current = policy.at(place.loaded, spec.layout)
    kept, view = _kept_keys(current, spec, standing)
    for plan in current.compiled.plans.values():
        key = kept.get(plan.key_id)
        if key is None:
            if plan.key_id in current.compiled.problems:
                continue
            found = view.piece(plan, position)
            if found is not None:
                chain = plan.chain(position)
                resolved, source = plan.resolved[chain], plan.layers[chain[0]]
                form = wording.rule_form(*found, resolved.severity if resolved else None)
                yield plan.key_id, form, wording.words_of(source.rule_id, source.scope)
        else:
            yield from _kept_rules(key, position, plan.layers)
    for key_id, key in kept.items():  # recordings that are gone from the policy, but still read
        if key_id not in current.compiled.plans:
            yield from _kept_rules(key, position)


def _kept_rules(key: KeptKey, position: Position, layers: Sequence[Layer] = ()) -> Iterator[tuple[KeyId, Form, bytes]]:
    for rule in key.rules:
        rule_id = next((layer.rule_id for layer in layers if layer.scope == rule.scope), None)
        for branch in rule.branches:
            if branch.region.holds(position):
                form = wording.kept_rule_form(key, rule, branch)
                yield (rule.kind, rule.key), form, wording.words_of(rule_id, rule.scope)


def _standings(place: Place, holding: Sequence[ServerSpec]) -> Mapping[str, Standing]:
    asked = ((spec.name, spec.delivery, spec.enabled) for spec in holding)
    return fleet_status.standings(asked, place.loaded.revision)


def _head(place: Place, found: Mapping[str, Standing]) -> dict[str, Any]:
    revision = place.loaded.revision
    on = [_on_server(name, standing) for name, standing in found.items()]
    return {
        "target": place.hostname,
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
