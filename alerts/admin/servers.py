"""Prometheus servers. How each is doing is on its own page, ``/servers``."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from alerts.actions import prometheus_servers
from alerts.admin.fields import JsonText, Lines
from alerts.admin.forms import PolicyForm
from alerts.admin.policy_admin import STAMPS, Living, PolicyAdmin
from alerts.models import PrometheusServer, Role


class PrometheusServerForm(PolicyForm):
    actions = prometheus_servers
    fixed = frozenset(("name",))
    description = Lines(required=False, rows=2)
    url = forms.CharField(
        max_length=500, required=False, help_text="Empty for the server default only: PROMETHEUS_URL."
    )
    selector = JsonText(
        empty={},
        help_text='Whose series it holds, as in {"environment": ["eu-prod", "eu-staging"]}. Empty: everything.',
    )
    auth = JsonText(
        empty={},
        rows=2,
        help_text='Where its secret lies, as in {"type": "bearer", "token_file": "eu/token"}; never a secret itself.',
    )
    tls = JsonText(
        empty={}, rows=2, help_text='Files below PROMETHEUS_CREDENTIALS_DIR, as in {"ca_file": "eu/ca.pem"}.'
    )

    class Meta:
        model = PrometheusServer
        fields = [
            *("name", "description", "url", "delivery", "rule_dir", "layout", "selector", "auth", "tls"),
            *("enabled", "external_id"),
        ]


@admin.register(PrometheusServer)
class PrometheusServerAdmin(PolicyAdmin):
    write = Role.ADMIN
    policy_actions = prometheus_servers
    form = PrometheusServerForm
    list_display = ("name", "url", "delivery", "layout", "enabled", "deleted_at")
    list_filter = (Living, "delivery", "enabled")
    search_fields = ("name", "description", "url")
    fields = (
        *("name", "description", "enabled", "url", "delivery", "rule_dir", "layout", "selector", "auth", "tls"),
        *("external_id", "seen_version", *STAMPS),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.readonly_fields, "name") if obj else self.readonly_fields
