"""Writing namespaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Q

from alerts.actions import compile_check
from alerts.actions.errors import SHOWN, Holder, PolicyConflict
from alerts.actions.layers import topology_of
from alerts.actions.lifecycle import bury, condemned, doomed, hold, raise_dead
from alerts.actions.writing import expect, only, pick, refuse, settle, writing
from alerts.domain import validation
from alerts.domain.errors import Finding
from alerts.models import AlertRule, Group, Namespace, PrometheusServer, Target

FIELDS = frozenset(("name", "priority", "label", "description", "external_id"))
# What the topology is made of; a description is not.
MEANING = frozenset(("name", "priority", "label"))


def create(values: Mapping[str, Any], *, dry_run: bool = False) -> Namespace:
    with writing(dry_run=dry_run) as write:
        before = write.topology
        row = Namespace()
        _settle(row, values)
        write.insert(row)
        _refuse_labels_in_use(row)
        compile_check.check_places(before, write.topology)
    return row


def update(
    row_id: int, values: Mapping[str, Any], *, expected_version: int | None = None, dry_run: bool = False
) -> Namespace:
    with writing(dry_run=dry_run) as write:
        before = write.topology
        row = pick(Namespace, row_id)
        expect(row, expected_version)
        former_name = row.name
        changed = _settle(row, values)
        if "name" in changed:
            _refuse_new_name(former_name)
        if changed:
            write.update(row, changed)
        if "label" in changed:
            _refuse_labels_in_use(row)
        if changed & MEANING:
            compile_check.check_places(before, write.topology)
    return row


def _settle(row: Namespace, values: Mapping[str, Any]) -> set[str]:
    only(values, FIELDS)
    values = dict(values)
    if not row.pk or "label" in values:
        values["label"] = values.get("label") or values.get("name", row.name)
    changed, findings = settle(row, values)
    refuse(validation.check_namespace(row.name, row.label, row.priority, topology_of()), findings)
    return changed


def _refuse_labels_in_use(namespace: Namespace) -> None:
    """A label that carries a position is nobody else's to set."""
    label = namespace.label
    found = [
        Finding(
            "label_in_use", f"The target {name} has a label {label!r} of its own.", "/label", hint="Remove it there."
        )
        for name in Target.objects.living().filter(labels__has_key=label).values_list("hostname", flat=True)[:SHOWN]
    ]
    sets_it = Q(config__labels__has_key=label) | Q(default_config__labels__has_key=label)
    found += [
        Finding("label_in_use", f"The rule {key} sets a label {label!r}.", "/label", rule_id=rule_id, key=key)
        for rule_id, key in AlertRule.objects.living().filter(sets_it).values_list("id", "key")[:SHOWN]
    ]
    if found:
        raise PolicyConflict(found)


def _refuse_new_name(former: str) -> None:
    """Rules name a namespace in ``partition_by``, servers in their selector: under a new name they would lose it."""
    found = [
        Finding("name_in_use", f"The rule {key} is partitioned by {former!r}.", "/name", rule_id=rule_id, key=key)
        for rule_id, key in _partitioned_by({former})[:SHOWN]
    ]
    found += [
        Finding("name_in_use", f"The selector of the server {name} names {former!r}.", "/name")
        for _, name in _selected_by({former})[:SHOWN]
    ]
    if found:
        raise PolicyConflict(found)


def _partitioned_by(names: set[str]) -> list[tuple[int, str]]:
    # SQLite cannot look into a JSON list by value; few rules have one.
    divided = AlertRule.objects.living().exclude(partition_by=[]).order_by("key")
    return [
        (rule_id, key)
        for rule_id, key, partition_by in divided.values_list("id", "key", "partition_by")
        if names & set(partition_by)
    ]


def _selected_by(names: set[str]) -> list[tuple[int, str]]:
    choosy = PrometheusServer.objects.living().exclude(selector={}).order_by("name")
    return [(pk, name) for pk, name, selector in choosy.values_list("pk", "name", "selector") if names & set(selector)]


def delete(ids: Sequence[int], *, expected_version: int | None = None, dry_run: bool = False) -> list[int]:
    """Groups and rules hold their namespace; rules that are partitioned by it and servers that select by it, too."""
    with writing(dry_run=dry_run) as write:
        before = write.topology
        rows = condemned(Namespace, ids, expected_version)
        hold(_holders(rows, living=True))
        bury(write, rows)
        compile_check.check_places(before, write.topology)
    return [row.pk for row in rows]


def restore(ids: Sequence[int], *, dry_run: bool = False) -> list[int]:
    with writing(dry_run=dry_run) as write:
        before = write.topology
        rows = raise_dead(write, Namespace, ids)
        for row in rows:
            _refuse_labels_in_use(row)
        if rows:
            compile_check.check_places(before, write.topology)
    return list(dict.fromkeys(ids))


def purge(ids: Sequence[int], *, dry_run: bool = False) -> list[int]:
    with writing(dry_run=dry_run) as write:
        rows = doomed(Namespace, ids)
        hold(_holders(rows, living=False))
        write.purge(Namespace.objects.filter(pk__in=[row.pk for row in rows]))
    return [row.pk for row in rows]


def _holders(rows: Sequence[Namespace], *, living: bool) -> list[Holder]:
    groups = Group.objects.filter(namespace__in=rows)
    rules = AlertRule.objects.filter(namespace__in=rows)
    divided: list[tuple[int, str]] = []
    choosy: list[tuple[int, str]] = []
    if living:
        groups, rules = groups.living(), rules.living()
        names = {row.name for row in rows}
        divided, choosy = _partitioned_by(names), _selected_by(names)
    return [
        *(Holder("group", *columns) for columns in groups.order_by("name").values_list("id", "name")),
        *(Holder("alert-rule", *columns) for columns in rules.order_by("key").values_list("id", "key")),
        *(Holder("alert-rule", *columns) for columns in divided),
        *(Holder("prometheus-server", *columns) for columns in choosy),
    ]
