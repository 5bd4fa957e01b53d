"""Every path of the API. No trailing slashes."""

from __future__ import annotations

from django.urls import path, register_converter

from alerts.api.converters import RowId
from alerts.api.resources import RESOURCES
from alerts.api.views import agent, delivery, document, effective, fleet, releases
from alerts.api.views.bulk_rules import BulkRules
from alerts.api.views.discovery import PrometheusDiscovery
from alerts.api.views.objects import Bulk, Collection, Item
from alerts.api.views.selections import ByGroup, BySeverity, ByTemplate

register_converter(RowId, "row_id")

urlpatterns = [
    path("alert-templates/severity/<str:severity>", BySeverity.as_view()),
    path("alert-rules/bulk", BulkRules.as_view()),
    path("alert-rules/group/<row_id:group_id>", ByGroup.as_view()),
    path("alert-rules/template/<row_id:template_id>", ByTemplate.as_view()),
    path("targets/<row_id:id>/alert-rules/effective", effective.TargetEffective.as_view()),
    path("targets/<row_id:id>/alert-rules/trace", effective.TargetTrace.as_view()),
    path("groups/<row_id:id>/alert-rules/effective", effective.GroupEffective.as_view()),
    path("groups/<row_id:id>/alert-rules/trace", effective.GroupTrace.as_view()),
    path("sd/prometheus", PrometheusDiscovery.as_view()),
    path("plan", delivery.Plan.as_view()),
    path("prometheus/rules/regenerate", delivery.Regenerate.as_view()),
    path("prometheus/rules/regenerate/<row_id:group_id>", delivery.RegenerateGroup.as_view()),
    path("prometheus/rules/files", delivery.RuleFiles.as_view()),
    path("prometheus/rules/files/<str:name>", delivery.RuleFile.as_view()),
    path("prometheus/status", delivery.Status.as_view()),
    path("prometheus/reload", delivery.Reload.as_view()),
    path("prometheus/resume", delivery.Resume.as_view()),
    path("prometheus-servers/<row_id:id>/status", delivery.Status.as_view(by_id=True)),
    path("prometheus-servers/<row_id:id>/regenerate", delivery.Regenerate.as_view(by_id=True)),
    path("prometheus-servers/<row_id:id>/reload", delivery.Reload.as_view(by_id=True)),
    path("prometheus-servers/<row_id:id>/resume", delivery.Resume.as_view(by_id=True)),
    path("prometheus-servers/findings", fleet.Findings.as_view()),
    path("agent/bundle", agent.Bundle.as_view()),
    path("agent/report", agent.Report.as_view()),
    path("releases", releases.Releases.as_view()),
    path("releases/<row_id:id>", releases.OneRelease.as_view()),
    path("releases/<row_id:id>/rollback", releases.Rollback.as_view()),
    path("schema", document.Schema.as_view()),
    path("docs", document.Docs.as_view()),
]
for resource in RESOURCES:
    urlpatterns += [
        path(resource.path, Collection.as_view(resource=resource)),
        path(f"{resource.path}/<row_id:id>", Item.as_view(resource=resource)),
        *(
            path(f"{resource.path}/{verb}", Bulk.as_view(resource=resource, verb=verb))
            for verb in ("delete", "restore", "purge")
        ),
    ]
