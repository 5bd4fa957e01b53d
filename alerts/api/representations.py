"""Rows as the API shows them: plain dictionaries straight from the columns, no object per row.

Each kind names its columns; a page of rows is one query (targets: one more, for their groups).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import orjson
from django.db.models import TextField
from django.db.models.functions import Cast

from alerts.actions import fleet_status
from alerts.models import Membership

Row = tuple[Any, ...]
JSON_COLUMNS = frozenset(
    (
        *("labels", "endpoints", "default_config", "variables", "unscoped", "config", "partition_by"),
        *("selector", "auth", "tls"),
    )
)

_ROW = ("version", "created_at", "updated_at", "deleted_at", "external_id")
NAMESPACE = ("id", "name", "priority", "label", "description", *_ROW)
GROUP = ("id", "name", "namespace_id", "parent_id", "label_value", "description", *_ROW)
TARGET = ("id", "hostname", "address", "labels", "status", "endpoints", *_ROW)
TEMPLATE = (
    "id",
    "name",
    "description",
    "severity",
    "query_template",
    "default_config",
    "variables",
    "kind",
    "unscoped",
    *_ROW,
)
_RULE = (
    "id",
    "key",
    "name",
    "kind",
    "namespace_id",
    "group_id",
    "target_id",
    "query_template",
    "severity",
    "default_config",
    "variables",
    "unscoped",
    "config",
    "merge_strategy",
    "priority",
    "enabled",
    "partition_by",
    "allow_split",
    "created_from_template_id",
    "created_from_template_name",
    *_ROW,
)
RULE = (*_RULE, "namespace__name", "group__namespace__name", "group__label_value", "target__hostname")
SERVER = (
    *("id", "name", "description", "url", "delivery", "rule_dir", "layout", "selector", "auth", "tls", "enabled"),
    *_ROW,
)

_GROUP_NAMES = tuple({"namespace_id": "namespace", "parent_id": "parent"}.get(name, name) for name in GROUP)


def selected(columns: Sequence[str]) -> list[Any]:
    """The columns for ``values_list``: JSON comes as text, since Django would read it at a quarter of the speed."""
    return [Cast(name, TextField()) if name in JSON_COLUMNS else name for name in columns]


def _item(columns: Sequence[str], row: Row) -> dict[str, Any]:
    """JSON that came as text is read; an object in hand has values."""
    return {
        name: orjson.loads(value) if name in JSON_COLUMNS and isinstance(value, str) else value
        for name, value in zip(columns, row, strict=False)
    }


def namespaces(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [dict(zip(NAMESPACE, row, strict=True)) for row in rows]


def namespace(instance: Any) -> dict[str, Any]:
    return namespaces([_columns(instance, NAMESPACE)])[0]


def groups(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [dict(zip(_GROUP_NAMES, row, strict=True)) for row in rows]


def group(instance: Any) -> dict[str, Any]:
    return groups([_columns(instance, GROUP)])[0]


def targets(rows: Sequence[Row]) -> list[dict[str, Any]]:
    places: defaultdict[int, list[int]] = defaultdict(list)
    memberships = Membership.objects.filter(target_id__in=[row[0] for row in rows]).order_by("group_id")
    for target_id, group_id in memberships.values_list("target_id", "group_id"):
        places[target_id].append(group_id)
    return [{**_item(TARGET, row), "groups": places[row[0]]} for row in rows]


def target(instance: Any) -> dict[str, Any]:
    return {**_item(TARGET, _columns(instance, TARGET)), "groups": list(instance.group_ids())}


def templates(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [_item(TEMPLATE, row) for row in rows]


def template(instance: Any) -> dict[str, Any]:
    return templates([_columns(instance, TEMPLATE)])[0]


def rules(rows: Sequence[Row]) -> list[dict[str, Any]]:
    shown = []
    for row in rows:
        item = _item(_RULE, row)
        item["scope"] = scope_text(*row[-4:])
        shown.append(item)
    return shown


def rule(instance: Any) -> dict[str, Any]:
    return rules([_columns(instance, RULE)])[0]


def servers(rows: Sequence[Row]) -> list[dict[str, Any]]:
    items = [_item(SERVER, row) for row in rows]
    living_last = sorted(items, key=lambda item: item["deleted_at"] is None)  # a deleted one may have a namesake
    found = fleet_status.standings((item["name"], item["delivery"], item["enabled"]) for item in living_last)
    for item in items:
        standing, deleted_at = found[item["name"]], item["deleted_at"]
        standing = standing if deleted_at is None else standing.after_deletion(deleted_at)
        item["flavour"] = standing.state.flavour or None
        item["prometheus_version"] = standing.state.prometheus_version or None
        item["status"] = standing.shown()
    return items


def server(instance: Any) -> dict[str, Any]:
    return servers([_columns(instance, SERVER)])[0]


def scope_text(namespace: str | None, group_namespace: str | None, group: str | None, host: str | None) -> str:
    """As ``Scope.text`` has it: ``global``, ``environment``, ``environment/production``, ``target/web-1``."""
    if group is not None:
        return f"{group_namespace}/{group}"
    if host is not None:
        return f"target/{host}"
    return namespace or "global"


def _columns(instance: Any, columns: Sequence[str]) -> Row:
    """The same columns of an object in hand (what a dry run gives is in no table)."""
    return tuple(_column(instance, column.split("__")) for column in columns)


def _column(instance: Any, path: list[str]) -> Any:
    for name in path:
        instance = getattr(instance, name) if instance is not None else None
    return instance
