"""API tokens: made, listed and revoked by admins. A token is shown once, on the page that answers its making."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminSplitDateTime
from django.contrib.auth import get_user_model
from django.core.exceptions import NON_FIELD_ERRORS
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from alerts.actions import tokens
from alerts.admin.delivery import ReadOnlyAdmin
from alerts.admin.roles import has_role
from alerts.domain.errors import PolicyError
from alerts.models import ApiToken, IdempotencyRecord, PrometheusServer, Role


class TokenForm(forms.ModelForm):
    """Like the other forms: the action is the validation."""

    token = ""
    user = forms.ModelChoiceField(queryset=get_user_model().objects.filter(is_active=True))
    server = forms.ModelChoiceField(
        queryset=PrometheusServer.objects.living().filter(delivery=PrometheusServer.Delivery.AGENT),
        required=False,
        help_text="For the role agent: the server whose bundle it opens.",
    )
    expires_at = forms.SplitDateTimeField(required=False, widget=AdminSplitDateTime, help_text="UTC. Empty: never.")

    class Meta:
        model = ApiToken
        fields = ["user", "role", "server", "name"]

    def _post_clean(self) -> None:
        if self.errors:
            return
        given = self.cleaned_data
        try:
            self.token, self.instance = tokens.create(
                given["user"].get_username(),
                given["role"],
                name=given["name"],
                expires_at=given["expires_at"],
                server=given["server"],
            )
        except PolicyError as error:
            for finding in error.findings:
                name = {"/expires": "expires_at"}.get(finding.pointer, finding.pointer.removeprefix("/"))
                self.add_error(name if name in self.fields else NON_FIELD_ERRORS, str(finding))

    def save(self, commit: bool = True) -> Any:
        self.save_m2m = lambda: None  # type: ignore[method-assign]
        return self.instance


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    see = Role.ADMIN
    form = TokenForm
    actions = ["revoke"]
    list_display = (
        "prefix",
        "user",
        "role",
        "server",
        "name",
        "created_at",
        "expires_at",
        "revoked_at",
        "last_used_at",
    )
    list_filter = ("role", ("revoked_at", admin.EmptyFieldListFilter))
    list_select_related = ("user", "server")
    search_fields = ("prefix", "name", "user__username", "server__name")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return has_role(request, Role.ADMIN)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return has_role(request, Role.ADMIN)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ("user", "role", "server", "name", "expires_at")
        return ("prefix", "user", "role", "server", "name", "created_at", "expires_at", "revoked_at", "last_used_at")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        request.new_token = form.token  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        """No redirect: a token must not pass through a cookie or a URL."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "The new token",
            "row": obj,
            "token": request.new_token,  # type: ignore[attr-defined]
        }
        return TemplateResponse(request, "admin/alerts/apitoken/created.html", context)

    @admin.action(description="Revoke, at once and for good", permissions=["revoke"])
    def revoke(self, request: HttpRequest, rows: QuerySet) -> None:
        revoked = [row for row in rows if tokens.revoke(row.pk)]
        for row in revoked:
            self.log_change(request, row, "Revoked.")
        self.message_user(request, f"Revoked: {len(revoked)}.", messages.SUCCESS)


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(ReadOnlyAdmin):
    see = Role.ADMIN
    list_display = ("key", "user", "method", "path", "status", "created_at")
    list_select_related = ("user",)
    search_fields = ("key", "path")
