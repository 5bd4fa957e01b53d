"""Rows as the domain sees them: rules become layers, namespaces and groups become the topology.

A hundred thousand rules are read at once, so they come as plain columns, and what is equal in them is one object:
names and texts, scopes, configurations.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, cast

from django.conf import settings
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from alerts.actions.cursors import reading_by_pieces
from alerts.domain.compiler import without_garbage_collection
from alerts.domain.layers import GLOBAL, Group, Kind, Layer, Namespace, Scope, Strategy, Topology
from alerts.domain.variables import variables_from_json
from alerts.models import AlertRule
from alerts.models import Group as GroupRow
from alerts.models import Namespace as NamespaceRow

JSON_COLUMNS = ("default_config", "config", "variables", "unscoped", "partition_by")
COLUMNS = (
    "id",
    "kind",
    "key",
    "namespace__name",
    "group__namespace__name",
    "group__label_value",
    "target__hostname",
    "priority",
    "merge_strategy",
    "enabled",
    "name",
    "query_template",
    "severity",
    "allow_split",
    *(f"{column}_text" for column in JSON_COLUMNS),
)


def load_topology() -> Topology:
    """The living namespaces and groups, in an order that does not depend on ids."""
    namespaces = NamespaceRow.objects.living().order_by("name").values_list("name", "label", "priority")
    groups = (
        GroupRow.objects.living()
        .order_by("namespace__name", "label_value")
        .values_list("namespace__name", "label_value", "parent__label_value")
    )
    return topology_of(
        tuple(Namespace(*columns) for columns in namespaces), tuple(Group(*columns) for columns in groups)
    )


def load_group_labels() -> dict[int, tuple[str, str]]:
    """By id of each living group: the label that its namespace is carried by, and its value of it."""
    groups = GroupRow.objects.living().order_by().values_list("pk", "namespace__label", "label_value")
    return {pk: (label, value) for pk, label, value in groups}


def topology_of(namespaces: tuple[Namespace, ...] = (), groups: tuple[Group, ...] = ()) -> Topology:
    """With the labels this installation is set to."""
    return Topology(namespaces, groups, target_label=settings.TARGET_LABEL, scope_label=settings.SCOPE_LABEL)


def load_layers(rules: QuerySet[AlertRule] | None = None) -> list[Layer]:
    """The layers of these rules, by default of all living ones, by id."""
    rows = AlertRule.objects.living() if rules is None else rules
    texts = {f"{column}_text": Cast(column, TextField()) for column in JSON_COLUMNS}
    columns = rows.order_by("id").annotate(**texts).values_list(*COLUMNS)
    with without_garbage_collection(), reading_by_pieces():
        return list(_layers(columns.iterator(chunk_size=5000)))


def _layers(rows: Iterable[tuple[Any, ...]]) -> Iterable[Layer]:
    config: Callable[[str], dict[str, Any]] = _remembering(json.loads)
    names: Callable[[str], tuple[str, ...]] = _remembering(lambda text: tuple(json.loads(text)))
    variables = _remembering(lambda text: variables_from_json(json.loads(text)))
    scope: Callable[[tuple[str | None, ...]], Scope] = _remembering(lambda places: _scope(*places))
    texts: dict[Any, Any] = {}
    shared = texts.setdefault
    for row in rows:
        yield Layer(
            rule_id=row[0],
            kind=shared(row[1], row[1]),
            key=shared(row[2], row[2]),
            scope=scope(row[3:7]),
            priority=row[7],
            strategy=shared(row[8], row[8]),
            enabled=row[9],
            name=shared(row[10], row[10]),
            query=shared(row[11], row[11]),
            severity=shared(row[12], row[12]),
            allow_split=row[13],
            default_config=config(row[14]),
            config=config(row[15]),
            variables=variables(row[16]),
            unscoped=names(row[17]),
            partition_by=names(row[18]),
        )


def _remembering(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    known: dict[Any, Any] = {}

    def recall(text: Any) -> Any:
        if text not in known:
            known[text] = read(text)
        return known[text]

    return recall


def _scope(namespace: str | None, group_namespace: str | None, value: str | None, hostname: str | None) -> Scope:
    if value is not None:
        return Scope("group", group_namespace or "", value)
    if hostname is not None:
        return Scope("target", "", hostname)
    return Scope("namespace", namespace) if namespace is not None else GLOBAL


def scope_of(rule: AlertRule) -> Scope:
    """The scope of one rule; its ``namespace``, ``group.namespace`` or ``target`` should be at hand."""
    if rule.group is not None:
        return Scope("group", rule.group.namespace.name, rule.group.label_value)
    if rule.target is not None:
        return Scope("target", "", rule.target.hostname)
    return Scope("namespace", rule.namespace.name) if rule.namespace is not None else GLOBAL


def layer_of(rule: AlertRule) -> Layer:
    """One rule as a layer; InvalidPolicy when its variables cannot be read."""
    return Layer(
        rule_id=rule.pk or 0,
        kind=cast(Kind, rule.kind),
        key=rule.key,
        scope=scope_of(rule),
        priority=rule.priority,
        strategy=cast(Strategy, rule.merge_strategy),
        enabled=rule.enabled,
        name=rule.name,
        query=rule.query_template,
        severity=rule.severity,
        default_config=rule.default_config,
        config=rule.config,
        variables=variables_from_json(rule.variables),
        unscoped=tuple(rule.unscoped),
        partition_by=tuple(rule.partition_by),
        allow_split=rule.allow_split,
    )
