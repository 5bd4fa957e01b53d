"""What lists can be narrowed by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import django_filters
from django import forms
from django.db.models import Q, QuerySet

from alerts.api.problems import parameter_entry
from alerts.api.query import MAX_ID, Parameter, refuse
from alerts.models import AlertRule, AlertTemplate, Group, Namespace, PrometheusServer, Target

LEVELS = ("global", "namespace", "group", "target")
KINDS = ("alerting", "recording")


class _IdField(forms.IntegerField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=1, max_value=MAX_ID, **kwargs)


class Id(django_filters.Filter):
    field_class = _IdField


class IdOrNull(django_filters.Filter):
    """An id, or ``null`` for none."""

    field_class = forms.RegexField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, regex=r"\A(null|[1-9][0-9]{0,17})\Z", **kwargs)

    def filter(self, qs: QuerySet, value: str) -> QuerySet:
        if value == "null":
            return qs.filter(**{f"{self.field_name}__isnull": True})
        return super().filter(qs, value)


class Text(django_filters.CharFilter):
    """Exactly this text; spaces count."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, strip=False, **kwargs)


class OneOf(django_filters.ChoiceFilter):
    def __init__(self, values: tuple[str, ...], *args: Any, **kwargs: Any) -> None:
        self.values = values
        super().__init__(*args, choices=[(value, value) for value in values], empty_label=None, **kwargs)


class Enabled(OneOf):
    def filter(self, qs: QuerySet, value: str) -> QuerySet:
        if value in (None, ""):
            return qs
        return qs.filter(enabled={"true": True, "false": False, "null": None}[value])


class Scope(Text):
    """The level at which a rule is written, or its scope as the rule shows it."""

    def filter(self, qs: QuerySet, value: str) -> QuerySet:
        if value == "global":
            return qs.filter(scope_key="global")
        if value in LEVELS:
            return qs.filter(**{f"{value}__isnull": False})
        if not value:
            return qs
        places = Q(namespace__name=value)
        if "/" not in value and not Namespace.objects.filter(name=value).exists():
            message = f"'scope' must be one of {', '.join(LEVELS)}, or a scope as rules show it"
            refuse([parameter_entry("scope", "invalid_parameter", message)])
        # Names of namespaces and of groups may hold a slash.
        for at in (index for index, letter in enumerate(value) if letter == "/"):
            first, rest = value[:at], value[at + 1 :]
            places |= Q(group__namespace__name=first, group__name=rest)
            if first == "target":
                places |= Q(target__hostname=rest)
        return qs.filter(places)


class RowFilter(django_filters.FilterSet):
    external_id = Text()


class NamespaceFilter(RowFilter):
    name = Text()
    label = Text()

    class Meta:
        model = Namespace
        fields: list[str] = []


class GroupFilter(RowFilter):
    namespace = Id()
    parent = IdOrNull()
    name = Text()

    class Meta:
        model = Group
        fields: list[str] = []


class TargetFilter(RowFilter):
    hostname = Text()
    group = Id(field_name="memberships__group", label="Sits in exactly this group.")
    namespace = Id(field_name="memberships__namespace", label="Sits in some group of this namespace.")
    status = OneOf(("active", "disabled"))

    class Meta:
        model = Target
        fields: list[str] = []


class AlertTemplateFilter(RowFilter):
    name = Text()
    severity = Text()
    kind = OneOf(KINDS)

    class Meta:
        model = AlertTemplate
        fields: list[str] = []


class AlertRuleFilter(RowFilter):
    key = Text()
    name = Text()
    kind = OneOf(KINDS)
    severity = Text()
    scope = Scope(label="The level at which it is written (`global`, `group`, …), or its `scope`.")
    namespace = Id(label="Written at exactly this namespace.")
    group = Id(label="Written at exactly this group.")
    target = Id(label="Written at exactly this target.")
    template = Id(field_name="created_from_template", label="Made from this template.")
    enabled = Enabled(("true", "false", "null"))

    class Meta:
        model = AlertRule
        fields: list[str] = []


class PrometheusServerFilter(RowFilter):
    name = Text()
    delivery = OneOf(("directory", "agent"))
    enabled = Enabled(("true", "false"))

    class Meta:
        model = PrometheusServer
        fields: list[str] = []


def parameters_of(filterset: type[django_filters.FilterSet]) -> tuple[Parameter, ...]:
    """The query parameters a filter set understands; all optional."""
    return tuple(_parameter(name, found) for name, found in filterset.base_filters.items())


def _parameter(name: str, found: django_filters.Filter) -> Parameter:
    description = found.extra.get("label") or getattr(found, "_label", None) or ""
    if isinstance(found, OneOf):
        return Parameter(name, "choice", description, choices=found.values)
    if isinstance(found, Id):
        return Parameter(name, "integer", description)
    return Parameter(name, "text", description)


def narrowed(filterset: type[django_filters.FilterSet], values: Mapping[str, Any], rows: QuerySet) -> QuerySet:
    """``rows`` under the filters that were given; without any, no form is built."""
    given = {name: str(values[name]) for name in filterset.base_filters if values.get(name) is not None}
    if not given:
        return rows
    bound = filterset(given, queryset=rows)
    if not bound.is_valid():
        refuse(
            [
                parameter_entry(name, "invalid_parameter", f"{name!r}: {message}")
                for name, messages in bound.errors.items()
                for message in messages
            ]
        )
    return bound.qs
