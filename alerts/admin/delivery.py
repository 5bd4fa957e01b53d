"""What was delivered, and what each server holds: to look at."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from alerts.admin.roles import ReadOnly
from alerts.models import CompiledKey, FileContent, PolicyState, Release, ServerState

# Large, and of no use in a list.
HEAVY = ("manifest", "timings", "last_good")


class ReadOnlyAdmin(ReadOnly, admin.ModelAdmin):
    list_per_page = 50
    show_full_result_count = False


@admin.register(Release)
class ReleaseAdmin(ReadOnlyAdmin):
    """Going back is a button on the release's own page."""

    change_form_template = "admin/alerts/release/change_form.html"
    list_display = ("id", "state", "trigger", "revision", "rule_count", "difference", "first_error", "created_at")
    list_filter = ("state", "layout", "changed", "server")
    search_fields = ("=id", "trigger", "content_hash")
    date_hierarchy = "created_at"
    fields = (
        *("server", "state", "trigger", "revision", "rule_count", "layout", "content_hash", "changed"),
        *("created_at", "finished_at", "activated_at", "verified_at"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).defer(*HEAVY)

    @admin.display(description="difference")
    def difference(self, release: Release) -> str:
        counts = release.changes.get("counts", {})
        words = (("added", "+"), ("changed", "~"), ("removed", "−"))
        return " ".join(f"{sign}{counts[word]}" for word, sign in words if counts.get(word))

    @admin.display(description="error")
    def first_error(self, release: Release) -> str:
        return release.errors[0].get("message", "")[:120] if release.errors else ""

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        release = self.get_object(request, object_id)
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "release": release})


@admin.register(ServerState)
class ServerStateAdmin(ReadOnlyAdmin):
    list_display = (
        *("name", "wanted_revision", "loaded_revision", "loaded_release", "pinned_release", "failures"),
        *("checked_at", "agent_seen_at", "flavour", "prometheus_version"),
    )
    list_select_related = ("loaded_release", "pinned_release", "offered_release")


@admin.register(CompiledKey)
class CompiledKeyAdmin(ReadOnlyAdmin):
    list_display = ("key", "kind", "server", "release_id")
    list_filter = ("kind", "server")
    search_fields = ("key",)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).defer("payload")


@admin.register(FileContent)
class FileContentAdmin(ReadOnlyAdmin):
    list_display = ("sha256", "size")
    search_fields = ("sha256",)
    fields = ("sha256", "size", "text")
    readonly_fields = ("text",)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).defer("content")

    @admin.display(description="content")
    def text(self, file: FileContent) -> str:
        return bytes(file.content).decode(errors="replace")


@admin.register(PolicyState)
class PolicyStateAdmin(ReadOnlyAdmin):
    list_display = ("revision", "changed_at")
