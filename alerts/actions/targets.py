"""Writing targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import prefetch_related_objects

from alerts.actions import compile_check
from alerts.actions.errors import Holder
from alerts.actions.lifecycle import bury, condemned, doomed, hold, raise_dead, refuse_deleted
from alerts.actions.writing import expect, only, pick, refer_all, refuse, settle, writing
from alerts.domain import validation
from alerts.domain.errors import Finding, InvalidPolicy
from alerts.domain.layers import Topology
from alerts.models import AlertRule, Group, Membership, Target

FIELDS = frozenset(("hostname", "address", "groups", "labels", "status", "endpoints", "external_id"))
MOST_GROUPS = 100


def create(values: Mapping[str, Any], *, dry_run: bool = False) -> Target:
    """``groups`` are ids. The row comes back with its memberships at hand, also when nothing was stored."""
    with writing(dry_run=dry_run) as write:
        row = Target()
        _settle(row, values, write.topology)
        groups = _groups(values.get("groups", []))
        write.insert(row)
        _seat(row, groups)
        prefetch_related_objects([row], "memberships")
    return row


def update(
    row_id: int, values: Mapping[str, Any], *, expected_version: int | None = None, dry_run: bool = False
) -> Target:
    with writing(dry_run=dry_run) as write:
        row = pick(Target, row_id)
        expect(row, expected_version)
        prefetch_related_objects([row], "memberships")
        changed = _settle(row, values, write.topology)
        groups = _groups(values["groups"]) if "groups" in values else []
        moved = "groups" in values and {group.pk for group in groups} != set(row.group_ids())
        if changed or moved:
            write.update(row, changed)
        if moved:
            Membership.objects.filter(target=row).delete()
            _seat(row, groups)
            row = pick(Target, row_id)
            prefetch_related_objects([row], "memberships")
        if "hostname" in changed:
            # A rule at this target names it by its hostname.
            rules = list(AlertRule.objects.living().filter(target=row).select_related("target"))
            if rules:
                compile_check.check_rules(write.topology, rules)
    return row


def _settle(row: Target, values: Mapping[str, Any], topology: Topology) -> set[str]:
    only(values, FIELDS)
    changed, findings = settle(row, {name: value for name, value in values.items() if name != "groups"})
    refuse(validation.check_target(row.hostname, row.address, row.labels, row.endpoints, topology), findings)
    return changed


def _groups(ids: Any) -> list[Group]:
    """The groups to sit in: living, and at most one of each namespace."""
    if not isinstance(ids, list | tuple) or len(ids) > MOST_GROUPS:
        message = f"must be an array of at most {MOST_GROUPS} group ids"
        raise InvalidPolicy(Finding("type", message, "/groups"))
    groups = refer_all(Group, ids, [f"/groups/{place}" for place in range(len(ids))], "namespace")
    seats: dict[int, Group] = {}
    findings = []
    for place, group in enumerate(groups):
        other = seats.setdefault(group.namespace_id, group)
        if place and other is not group:
            message = f"{group} and {other} are both groups of the namespace {group.namespace}."
            findings.append(Finding("two_groups", message, f"/groups/{place}", hint="Name one of them."))
    refuse(findings)
    return list(seats.values())


def _seat(row: Target, groups: Sequence[Group]) -> None:
    Membership.objects.bulk_create(
        Membership(target=row, group=group, namespace_id=group.namespace_id) for group in groups
    )


def delete(ids: Sequence[int], *, expected_version: int | None = None, dry_run: bool = False) -> list[int]:
    """Rules hold their target. It keeps its groups, for the case that it comes back."""
    with writing(dry_run=dry_run) as write:
        rows = condemned(Target, ids, expected_version)
        hold(_holders(rows, living=True))
        bury(write, rows)
    return [row.pk for row in rows]


def restore(ids: Sequence[int], *, dry_run: bool = False) -> list[int]:
    with writing(dry_run=dry_run) as write:
        rows = raise_dead(write, Target, ids)
        refuse_deleted(Group, set(Membership.objects.filter(target__in=rows).values_list("group_id", flat=True)))
        for row in rows:
            refuse(validation.check_target(row.hostname, row.address, row.labels, row.endpoints, write.topology))
    return list(dict.fromkeys(ids))


def purge(ids: Sequence[int], *, dry_run: bool = False) -> list[int]:
    with writing(dry_run=dry_run) as write:
        rows = doomed(Target, ids)
        hold(_holders(rows, living=False))
        write.purge(Target.objects.filter(pk__in=[row.pk for row in rows]))
    return [row.pk for row in rows]


def _holders(rows: Sequence[Target], *, living: bool) -> list[Holder]:
    rules = AlertRule.objects.filter(target__in=rows)
    if living:
        rules = rules.living()
    return [Holder("alert-rule", *columns) for columns in rules.order_by("key").values_list("id", "key")]
