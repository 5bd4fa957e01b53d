"""The kinds of objects, each as one row of a table that the generic views read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import django_filters
from django.db.models import Q, QuerySet
from rest_framework.serializers import Serializer

from alerts.actions import groups, namespaces, prometheus_servers, rules, targets, templates
from alerts.api import filters, representations
from alerts.api.examples import EXAMPLES
from alerts.api.filters import narrowed, parameters_of
from alerts.api.pagination import PAGE_PARAMETERS, Listing
from alerts.api.problems import ApiProblem, parameter_entry
from alerts.api.query import Parameter
from alerts.api.serializers import rules as rule_serializers
from alerts.api.serializers import servers as server_serializers
from alerts.api.serializers import topology
from alerts.models import AlertRule, AlertTemplate, Group, Namespace, PrometheusServer, Role, Target

DELETED = Parameter(
    "deleted", "choice", "Soft-deleted rows too.", choices=("exclude", "only", "include"), default="exclude"
)
SEARCH = Parameter("search", "text", "Part of a text, whatever the case.", min_length=0, max_length=200)
ROW_ORDER = ("id", "created_at", "updated_at")


@dataclass(frozen=True)
class Resource:
    """``path`` is plural and ``name`` singular; ``create`` judges a POST, ``replace`` a PUT and (in part) a PATCH.

    ``write`` is the least role that writes. ``lively``: it shows more than its version vouches for.
    """

    path: str
    name: str
    model: Any
    actions: ModuleType
    columns: tuple[str, ...]
    represent: Callable[[Sequence[Any]], list[dict[str, Any]]]
    show: Callable[[Any], dict[str, Any]]
    create: type[Serializer]
    replace: type[Serializer]
    filterset: type[django_filters.FilterSet]
    search: tuple[str, ...]
    order: tuple[str, ...]
    default_order: tuple[str, ...]
    write: str = Role.EDITOR
    lively: bool = False

    @property
    def words(self) -> str:
        return self.name.replace("-", " ").replace("prometheus", "Prometheus")

    @property
    def example(self) -> dict[str, Any]:
        return EXAMPLES[self.name]["request"]

    @property
    def example_answer(self) -> dict[str, Any]:
        return EXAMPLES[self.name]["response"]

    @property
    def ordering(self) -> Parameter:
        names = ", ".join((*self.order, *ROW_ORDER))
        return Parameter("ordering", "text", f"Comma-separated, each with a - to turn it round: {names}.")

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return (*PAGE_PARAMETERS, self.ordering, SEARCH, DELETED, *parameters_of(self.filterset))

    @cached_property
    def _shown(self) -> QuerySet:
        """All rows, columns selected: naming them again for every request would cost more than reading them."""
        return self.model.objects.values_list(*representations.selected(self.columns))

    def listing(self, values: dict[str, Any], **within: Any) -> Listing:
        """The rows that the query parameters ask for, in a stable order, among those that are ``within``."""
        order = (*self._order(values["ordering"]), "id")
        plain = self.model.objects.order_by()
        return Listing(
            rows=self._narrowed(self._shown, values, within).order_by(*order),
            count=lambda: self._narrowed(plain, values, within).count(),
        )

    def _narrowed(self, rows: QuerySet, values: dict[str, Any], within: dict[str, Any]) -> QuerySet:
        rows = narrowed(self.filterset, values, with_deleted(rows.filter(**within), values["deleted"]))
        if values["search"]:
            rows = rows.filter(_any(Q(**{f"{name}__icontains": values["search"]}) for name in self.search))
        return rows

    def _order(self, text: str | None) -> tuple[str, ...]:
        if text is None:
            return self.default_order
        names = text.split(",")
        unknown = [name for name in names if name.removeprefix("-") not in (*self.order, *ROW_ORDER)]
        if unknown or len(names) > 10:
            message = f"{unknown[0]!r} is nothing to order by" if unknown else "orders by at most 10 fields"
            raise ApiProblem(400, "invalid_parameter", message, parameter_entry("ordering", "invalid", message))
        return tuple(names)

    def row(self, row_id: int, deleted: str = "exclude") -> dict[str, Any]:
        """One row as it is shown; 404 without it."""
        found = self.represent(list(with_deleted(self._shown.filter(pk=row_id), deleted)))
        if not found:
            raise self.missing(row_id)
        return found[0]

    def version(self, row_id: int, deleted: str = "exclude") -> int:
        rows = with_deleted(self.model.objects.filter(pk=row_id), deleted)
        version = rows.values_list("version", flat=True).first()
        if version is None:
            raise self.missing(row_id)
        return version

    def missing(self, row_id: int) -> ApiProblem:
        return ApiProblem(404, "not_found", f"there is no {self.words} {row_id}")


def with_deleted(rows: QuerySet, deleted: str) -> QuerySet:
    if deleted == "include":
        return rows
    return rows.filter(deleted_at__isnull=deleted == "exclude")


def _any(matches: Any) -> Q:
    found = Q()
    for match in matches:
        found |= match
    return found


NAMESPACES = Resource(
    path="namespaces",
    name="namespace",
    model=Namespace,
    actions=namespaces,
    columns=representations.NAMESPACE,
    represent=representations.namespaces,
    show=representations.namespace,
    create=topology.Namespace,
    replace=topology.Namespace,
    filterset=filters.NamespaceFilter,
    search=("name", "label", "description"),
    order=("name", "priority", "label"),
    default_order=("-priority", "name"),
)
GROUPS = Resource(
    path="groups",
    name="group",
    model=Group,
    actions=groups,
    columns=representations.GROUP,
    represent=representations.groups,
    show=representations.group,
    create=topology.GroupCreate,
    replace=topology.Group,
    filterset=filters.GroupFilter,
    search=("name", "label_value", "description"),
    order=("name", "label_value"),
    default_order=("name",),
)
TARGETS = Resource(
    path="targets",
    name="target",
    model=Target,
    actions=targets,
    columns=representations.TARGET,
    represent=representations.targets,
    show=representations.target,
    create=topology.Target,
    replace=topology.Target,
    filterset=filters.TargetFilter,
    search=("hostname", "address"),
    order=("hostname", "address", "status"),
    default_order=("hostname",),
)
TEMPLATES = Resource(
    path="alert-templates",
    name="alert-template",
    model=AlertTemplate,
    actions=templates,
    columns=representations.TEMPLATE,
    represent=representations.templates,
    show=representations.template,
    create=rule_serializers.AlertTemplate,
    replace=rule_serializers.AlertTemplate,
    filterset=filters.AlertTemplateFilter,
    search=("name", "description", "query_template"),
    order=("name", "severity", "kind"),
    default_order=("name",),
)
RULES = Resource(
    path="alert-rules",
    name="alert-rule",
    model=AlertRule,
    actions=rules,
    columns=representations.RULE,
    represent=representations.rules,
    show=representations.rule,
    create=rule_serializers.AlertRuleCreate,
    replace=rule_serializers.AlertRule,
    filterset=filters.AlertRuleFilter,
    search=("key", "name", "query_template"),
    order=("key", "name", "kind", "severity", "priority"),
    default_order=("key",),
)
SERVERS = Resource(
    path="prometheus-servers",
    name="prometheus-server",
    model=PrometheusServer,
    actions=prometheus_servers,
    columns=representations.SERVER,
    represent=representations.servers,
    show=representations.server,
    create=server_serializers.PrometheusServerCreate,
    replace=server_serializers.PrometheusServer,
    filterset=filters.PrometheusServerFilter,
    search=("name", "description", "url"),
    order=("name", "url", "delivery", "enabled"),
    default_order=("name",),
    write=Role.ADMIN,
    lively=True,
)
RESOURCES = (NAMESPACES, GROUPS, TARGETS, TEMPLATES, RULES, SERVERS)
