"""What the admin pages of all policy objects share: soft delete, restore, purge, and every write through an action."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from alerts.actions.errors import PolicyError
from alerts.admin.forms import PolicyForm
from alerts.admin.roles import RolePermissions, has_role
from alerts.models import Role

STAMPS = ("revision", "created_at", "updated_at", "deleted_at")


class Living(admin.SimpleListFilter):
    """The living ones, unless asked for others."""

    title = "deleted"
    parameter_name = "deleted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("only", "Deleted"), ("include", "Both")]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        for place, choice in enumerate(super().choices(changelist)):
            yield {**choice, "display": "Living"} if place == 0 else choice

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() == "include":
            return queryset
        return queryset.filter(deleted_at__isnull=self.value() != "only")


class PolicyAdmin(RolePermissions, admin.ModelAdmin):
    """``policy_actions`` is the module that writes these objects; deleted ones can be looked at, not edited."""

    policy_actions: ModuleType
    form: type[PolicyForm]
    actions = ["bury", "raise_dead", "purge"]
    readonly_fields: ClassVar[tuple[str, ...]] = STAMPS
    list_per_page = 50
    show_full_result_count = False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.living)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or obj.living)

    def has_write_permission(self, request: HttpRequest) -> bool:
        return has_role(request, self.write)

    def has_purge_permission(self, request: HttpRequest) -> bool:
        return has_role(request, Role.ADMIN)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows = super().get_queryset(request)
        # Nothing new may point to what is deleted.
        return rows.filter(deleted_at__isnull=True) if request.path == reverse("admin:autocomplete") else rows

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs.setdefault("queryset", db_field.remote_field.model.objects.living())
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_actions(self, request: HttpRequest) -> Any:
        found = super().get_actions(request)
        found.pop("delete_selected", None)  # ours can be undone
        return found

    # --- writing ----------------------------------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """The form has done it."""

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        try:
            return super().delete_view(request, object_id, extra_context)
        except PolicyError as error:
            self.message_user(request, str(error), messages.ERROR)
            return redirect(reverse(f"admin:alerts_{self.opts.model_name}_change", args=[object_id]))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Soft delete takes nothing else along."""
        names = [str(obj) for obj in objs]
        return names, {self.opts.verbose_name_plural: len(names)}, set(), []

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.policy_actions.delete([obj.pk])

    @admin.action(description="Delete (can be restored)", permissions=["write"])
    def bury(self, request: HttpRequest, rows: QuerySet) -> None:
        self._do(request, rows, "delete", "Deleted")

    @admin.action(description="Restore", permissions=["write"])
    def raise_dead(self, request: HttpRequest, rows: QuerySet) -> None:
        self._do(request, rows, "restore", "Restored")

    @admin.action(description="Purge for good", permissions=["purge"])
    def purge(self, request: HttpRequest, rows: QuerySet) -> HttpResponse | None:
        if "confirmed" in request.POST:
            self._do(request, rows, "purge", "Purged")
            return None
        context = {**self.admin_site.each_context(request), "opts": self.opts, "rows": rows, "title": "Purge for good?"}
        return TemplateResponse(request, "admin/alerts/purge_confirmation.html", context)

    def _do(self, request: HttpRequest, rows: QuerySet, verb: str, word: str) -> None:
        """All or nothing, like the API."""
        chosen: list[Model] = list(rows)
        try:
            ids = getattr(self.policy_actions, verb)([row.pk for row in chosen])
        except PolicyError as error:
            self.message_user(request, str(error), messages.ERROR)
            return
        for row in chosen:
            self.log_change(request, row, f"{word}.")
        self.message_user(request, f"{word}: {len(ids)}.", messages.SUCCESS)
