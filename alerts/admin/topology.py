"""Namespaces, groups and targets."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelectMultiple
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse

from alerts.actions import effective, groups, namespaces, targets
from alerts.admin.delivery import ReadOnlyAdmin
from alerts.admin.fields import JsonText, Lines
from alerts.admin.forms import PolicyForm
from alerts.admin.policy_admin import STAMPS, Living, PolicyAdmin
from alerts.models import Group, Membership, Namespace, Target


class NamespaceForm(PolicyForm):
    actions = namespaces
    label = forms.CharField(max_length=255, required=False, help_text="The label that carries it. Empty: the name.")
    description = Lines(required=False, rows=2)

    class Meta:
        model = Namespace
        fields = ["name", "priority", "label", "description", "external_id"]


@admin.register(Namespace)
class NamespaceAdmin(PolicyAdmin):
    policy_actions = namespaces
    form = NamespaceForm
    list_display = ("name", "label", "priority", "description", "deleted_at")
    list_filter = (Living,)
    search_fields = ("name", "label", "description")
    fields = ("name", "label", "priority", "description", "external_id", "seen_version", *STAMPS)


class GroupForm(PolicyForm):
    actions = groups
    renamed = {"namespace": "namespace_id", "parent": "parent_id"}
    fixed = frozenset(("namespace", "label_value"))
    label_value = forms.CharField(max_length=255, required=False, help_text="Fixed at creation. Empty: the name.")
    description = Lines(required=False, rows=2)

    class Meta:
        model = Group
        fields = ["name", "namespace", "parent", "label_value", "description", "external_id"]


@admin.register(Group)
class GroupAdmin(PolicyAdmin):
    policy_actions = groups
    form = GroupForm
    list_display = ("name", "namespace", "parent", "label_value", "deleted_at")
    list_filter = (Living, ("namespace", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("namespace", "parent")
    search_fields = ("name", "label_value", "description")
    autocomplete_fields = ("parent",)
    fields = ("name", "namespace", "parent", "label_value", "description", "external_id", "seen_version", *STAMPS)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.readonly_fields, "namespace", "label_value") if obj else self.readonly_fields


class TargetForm(PolicyForm):
    actions = targets
    renamed = {"sits_in": "groups"}
    sits_in = forms.ModelMultipleChoiceField(
        queryset=Group.objects.living(),
        required=False,
        label="Groups",
        help_text="At most one of each namespace.",
        widget=AutocompleteSelectMultiple(Target._meta.get_field("groups"), admin.site),
    )
    labels = JsonText(empty={}, help_text='Labels of its own, as in {"rack": "b7"}.')
    endpoints = JsonText(
        empty=[], rows=6, help_text='What Prometheus scrapes: [{"job": "node", "port": 9100, "path": "/metrics"}].'
    )

    class Meta:
        model = Target
        fields = ["hostname", "address", "labels", "status", "endpoints", "external_id"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.exists:
            self.initial["sits_in"] = self.instance.group_ids()


@admin.register(Target)
class TargetAdmin(PolicyAdmin):
    """Its page shows, below the form, what is in force there and why."""

    policy_actions = targets
    form = TargetForm
    change_form_template = "admin/alerts/target/change_form.html"
    list_display = ("hostname", "address", "position", "status", "deleted_at")
    list_filter = (Living, "status", ("groups__namespace", admin.RelatedOnlyFieldListFilter))
    search_fields = ("hostname", "address")
    fields = (
        *("hostname", "address", "sits_in", "labels", "status", "endpoints", "external_id", "seen_version"),
        *STAMPS,
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        seats = Membership.objects.select_related("group", "namespace").order_by("-namespace__priority", "id")
        return super().get_queryset(request).prefetch_related(Prefetch("memberships", queryset=seats))

    @admin.display(description="groups")
    def position(self, target: Target) -> str:
        return ", ".join(f"{seat.namespace.name}/{seat.group.name}" for seat in target.memberships.all())

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        target = self.get_object(request, object_id)
        explanation = _explanation(target) if target is not None and target.living else {}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **explanation})


def _explanation(target: Target) -> dict[str, Any]:
    place = effective.place_of_target(target.pk)
    in_force = effective.effective(place)
    return {
        "effective": in_force,
        "rules": [(rule, "") for rule in in_force["rules"]],
        "trace_keys": effective.traced(place)["keys"],
    }


@admin.register(Membership)
class MembershipAdmin(ReadOnlyAdmin):
    """Written with its target."""

    list_display = ("target", "namespace", "group")
    list_select_related = ("target", "namespace", "group")
    search_fields = ("target__hostname", "group__name")
    list_filter = (("namespace", admin.RelatedOnlyFieldListFilter),)
