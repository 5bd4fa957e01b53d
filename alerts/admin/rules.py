"""Alert templates and alert rules."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from alerts.actions import rules, templates
from alerts.actions.layers import scope_of
from alerts.admin.delivery import ReadOnlyAdmin
from alerts.admin.fields import JsonText, Lines
from alerts.admin.forms import PolicyForm
from alerts.admin.policy_admin import STAMPS, Living, PolicyAdmin
from alerts.models import AlertRule, AlertTemplate, RuleMetric

CONFIG = (
    '{"for_duration": "5m", "keep_firing_for": "10m", "interval": "30s", "severity": "critical", "labels": {}, '
    '"annotations": {}, "template_vars": {"threshold": 80}}'
)
VARIABLE = '[{"name": "threshold", "type": "number", "default": 80, "min": 0, "max": 100, "unit": "%"}]'


def severity() -> forms.CharField:
    words = ", ".join(settings.SEVERITIES)
    return forms.CharField(required=False, empty_value=None, max_length=50, help_text=f"One of {words}.")


class DefinitionForm(PolicyForm):
    severity = severity()
    default_config = JsonText(empty={}, help_text=f"Lies under every config, as in {CONFIG}.")
    variables = JsonText(empty=[], help_text=f"As in {VARIABLE}.")
    unscoped = JsonText(empty=[], rows=1, help_text='Metrics whose series carry no position, as in ["maintenance"].')


class TemplateForm(DefinitionForm):
    actions = templates
    query_template = Lines(help_text="PromQL; {{ .name }} stands for a declared variable.")
    description = Lines(required=False, rows=2)

    class Meta:
        model = AlertTemplate
        fields = [
            *("name", "description", "severity", "query_template", "default_config", "variables", "kind", "unscoped"),
            "external_id",
        ]


@admin.register(AlertTemplate)
class AlertTemplateAdmin(PolicyAdmin):
    policy_actions = templates
    form = TemplateForm
    list_display = ("name", "kind", "severity", "description", "deleted_at")
    list_filter = (Living, "kind", "severity")
    search_fields = ("name", "description", "query_template")
    fields = (
        *("name", "description", "kind", "severity", "query_template", "variables", "default_config", "unscoped"),
        *("external_id", "seen_version", *STAMPS),
    )


def three_ways() -> forms.NullBooleanSelect:
    widget = forms.NullBooleanSelect()
    widget.choices = [("unknown", "as weaker layers say"), ("true", "yes"), ("false", "no: mute it here")]
    return widget


class RuleForm(DefinitionForm):
    actions = rules
    renamed = {
        **{level: f"{level}_id" for level in rules.SCOPES},
        "template": "template_id",
    }
    fixed = frozenset(("template",))

    template = forms.ModelChoiceField(
        queryset=AlertTemplate.objects.living(),
        required=False,
        help_text="Begin with a copy of it: its query, severity, default config, variables and unscoped.",
    )
    key = forms.CharField(max_length=255, required=False, help_text="What it is across scopes. Empty: the name.")
    name = forms.CharField(
        max_length=255, required=False, empty_value=None, help_text="The alert's or the recorded series' name."
    )
    query_template = Lines(required=False, empty_value=None, help_text="PromQL. Empty: a weaker layer supplies it.")
    config = JsonText(empty={}, rows=6, help_text=f"What this layer says, as in {CONFIG}.")
    enabled = forms.NullBooleanField(required=False, widget=three_ways())
    merge_strategy = forms.ChoiceField(
        required=False,
        choices=[("", "by itself: override with a query, merge without"), *AlertRule.Strategy.choices],
    )
    partition_by = JsonText(empty=[], rows=1, help_text='Names of namespaces, as in ["environment"].')

    class Meta:
        model = AlertRule
        fields = [
            *("key", "name", "kind", "namespace", "group", "target", "query_template", "severity", "default_config"),
            *("variables", "unscoped", "config", "merge_strategy", "priority", "enabled", "partition_by"),
            *("allow_split", "external_id"),
        ]

    def values(self) -> dict[str, Any]:
        """What a template supplies, and what was left empty, is not said."""
        values = super().values()
        values["merge_strategy"] = values.get("merge_strategy") or None
        if values.get("template_id") is not None:
            values = {name: value for name, value in values.items() if name not in rules.COPIED or value}
            # The kind has no empty choice; the template's counts.
            values.pop("kind", None)
        return values


class Level(admin.SimpleListFilter):
    """How narrow a scope is."""

    title = "scope"
    parameter_name = "scope"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("global", "Global"), *((level, level.capitalize()) for level in rules.SCOPES)]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() == "global":
            return queryset.filter(scope_key="global")
        return queryset.filter(scope_key__startswith=f"{self.value()}:") if self.value() in rules.SCOPES else queryset


@admin.register(AlertRule)
class AlertRuleAdmin(PolicyAdmin):
    policy_actions = rules
    form = RuleForm
    list_display = ("key", "scope", "severity", "enabled", "merge_strategy", "priority", "name", "kind", "deleted_at")
    list_filter = (
        Living,
        "kind",
        "severity",
        "merge_strategy",
        "enabled",
        Level,
    )
    list_select_related = ("namespace", "group__namespace", "target")
    search_fields = ("key", "name", "query_template")
    autocomplete_fields = ("group", "target")
    readonly_fields = (*STAMPS, "created_from_template_name")

    @admin.display(description="scope", ordering="scope_key")
    def scope(self, rule: AlertRule) -> str:
        return scope_of(rule).text

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        first = ("name", "key", "kind") if obj else ("name", "key", "kind", "template")
        where = {"fields": ("namespace", "group", "target"), "description": "At most one; none is global."}
        return [
            (None, {"fields": first}),
            ("Where", where),
            ("What it says", {"fields": ("config", "enabled", "severity", "merge_strategy", "priority")}),
            ("Definition", {"fields": ("query_template", "variables", "default_config", "unscoped")}),
            ("Splitting", {"fields": ("partition_by", "allow_split"), "classes": ("collapse",)}),
            (
                "Bookkeeping",
                {"fields": ("external_id", "seen_version", *self.readonly_fields), "classes": ("collapse",)},
            ),
        ]


@admin.register(RuleMetric)
class RuleMetricAdmin(ReadOnlyAdmin):
    """Noted with every rule that has a query."""

    list_display = ("metric", "rule")
    list_select_related = ("rule",)
    search_fields = ("metric", "rule__key")
