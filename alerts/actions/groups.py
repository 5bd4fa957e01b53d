"""Writing groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alerts.actions import compile_check
from alerts.actions.errors import Holder
from alerts.actions.lifecycle import bury, condemned, doomed, hold, raise_dead, refuse_deleted
from alerts.actions.writing import expect, only, pick, refer, refuse, settle, writing
from alerts.domain import validation
from alerts.domain.errors import Finding, InvalidPolicy
from alerts.models import AlertRule, Group, Membership, Namespace, PrometheusServer

FIELDS = frozenset(("name", "namespace_id", "parent_id", "label_value", "description", "external_id"))
FIXED = {"namespace_id": "/namespace", "label_value": "/label_value"}


def create(values: Mapping[str, Any], *, dry_run: bool = False) -> Group:
    with writing(dry_run=dry_run) as write:
        before = write.topology
        row = Group()
        _settle(row, values)
        write.insert(row)
        compile_check.check_places(before, write.topology)
    return row


def update(
    row_id: int, values: Mapping[str, Any], *, expected_version: int | None = None, dry_run: bool = False
) -> Group:
    """Namespace and label value are fixed; leaving them out, or naming them as they are, is fine."""
    with writing(dry_run=dry_run) as write:
        before = write.topology
        row = pick(Group, row_id, "namespace", "parent")
        expect(row, expected_version)
        changed = _settle(row, values)
        if changed:
            write.update(row, changed)
        if "parent" in changed:
            compile_check.check_places(before, write.topology)
    return row


def _settle(row: Group, values: Mapping[str, Any]) -> set[str]:
    only(values, FIELDS)
    plain = {name: value for name, value in values.items() if name not in ("namespace_id", "parent_id")}
    if row.pk:
        _refuse_fixed(row, values)
        plain.pop("label_value", None)
    else:
        if values.get("namespace_id") is None:
            raise InvalidPolicy(Finding("required", "A group lies in a namespace.", "/namespace"))
        plain["label_value"] = values.get("label_value") or values.get("name", "")
    changed, findings = settle(row, plain)
    refuse(validation.check_group(row.name, row.label_value), findings)
    if not row.pk:
        row.namespace = refer(Namespace, values["namespace_id"], "/namespace")
    if "parent_id" in values and values["parent_id"] != row.parent_id:
        row.parent = None if values["parent_id"] is None else _parent(row, values["parent_id"])
        changed.add("parent")
    return changed


def _refuse_fixed(row: Group, values: Mapping[str, Any]) -> None:
    refuse(
        Finding(
            "fixed",
            f"It is fixed when the group is made, at {getattr(row, name)!r}.",
            pointer,
            hint="Make another group.",
        )
        for name, pointer in FIXED.items()
        if values.get(name) is not None and values[name] != getattr(row, name)
    )


def _parent(row: Group, parent_id: Any) -> Group:
    parent = refer(Group, parent_id, "/parent")
    if parent.namespace_id != row.namespace_id:
        raise InvalidPolicy(Finding("other_namespace", f"{parent} lies in another namespace.", "/parent"))
    if row.pk and _descends(parent, row):
        raise InvalidPolicy(Finding("cycle", f"{parent} lies below this group already, or is it.", "/parent"))
    return parent


def _descends(group: Group, ancestor: Group) -> bool:
    """One query for the whole tree: deep trees are rare, wide ones cheap."""
    parents = dict(Group.objects.filter(namespace_id=ancestor.namespace_id).values_list("id", "parent_id"))
    current: int | None = group.pk
    while current is not None:
        if current == ancestor.pk:
            return True
        current = parents.get(current)
    return False


def delete(ids: Sequence[int], *, expected_version: int | None = None, dry_run: bool = False) -> list[int]:
    """Children, targets, rules and servers that select it hold their group; a child deleted with it does not."""
    with writing(dry_run=dry_run) as write:
        before = write.topology
        rows = condemned(Group, ids, expected_version)
        hold(_holders(rows, living=True))
        bury(write, rows)
        compile_check.check_places(before, write.topology)
    return [row.pk for row in rows]


def restore(ids: Sequence[int], *, dry_run: bool = False) -> list[int]:
    with writing(dry_run=dry_run) as write:
        before = write.topology
        rows = raise_dead(write, Group, ids)
        refuse_deleted(Namespace, {row.namespace_id for row in rows})
        refuse_deleted(Group, {row.parent_id for row in rows})
        if rows:
            compile_check.check_places(before, write.topology)
    return list(dict.fromkeys(ids))


def purge(ids: Sequence[int], *, dry_run: bool = False) -> list[int]:
    with writing(dry_run=dry_run) as write:
        rows = doomed(Group, ids)
        hold(_holders(rows, living=False))
        doomed_rows = Group.objects.filter(pk__in=[row.pk for row in rows])
        # Parents among them would hold their children.
        doomed_rows.update(parent=None)
        write.purge(doomed_rows)
    return [row.pk for row in rows]


def _holders(rows: Sequence[Group], *, living: bool) -> list[Holder]:
    children = Group.objects.filter(parent__in=rows).exclude(pk__in=[row.pk for row in rows])
    memberships = Membership.objects.filter(group__in=rows)
    rules = AlertRule.objects.filter(group__in=rows)
    choosy: list[tuple[int, str]] = []
    if living:
        children, rules = children.living(), rules.living()
        memberships = memberships.filter(target__deleted_at__isnull=True)
        choosy = _selected_by(rows)
    return [
        *(Holder("group", *columns) for columns in children.order_by("name").values_list("id", "name")),
        *(
            Holder("target", *columns)
            for columns in memberships.order_by("target__hostname").values_list("target_id", "target__hostname")
        ),
        *(Holder("alert-rule", *columns) for columns in rules.order_by("key").values_list("id", "key")),
        *(Holder("prometheus-server", *columns) for columns in choosy),
    ]


def _selected_by(rows: Sequence[Group]) -> list[tuple[int, str]]:
    """The servers whose selectors name one of these groups."""
    values: dict[str, set[str]] = {}
    for namespace, value in Group.objects.filter(pk__in=[row.pk for row in rows]).values_list(
        "namespace__name", "label_value"
    ):
        values.setdefault(namespace, set()).add(value)
    choosy = PrometheusServer.objects.living().exclude(selector={}).order_by("name")
    return [
        (pk, name)
        for pk, name, selector in choosy.values_list("pk", "name", "selector")
        if any(values.get(namespace, set()).intersection(_named(said)) for namespace, said in selector.items())
    ]


def _named(said: Any) -> list[str]:
    return said["not_in"] if isinstance(said, Mapping) else said
