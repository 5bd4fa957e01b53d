"""Every path of the API. No trailing slashes."""

from __future__ import annotations

from django.urls import path, re_path, register_converter

from alerts.api import handlers
from alerts.api.converters import RowId
from alerts.api.resources import RESOURCES
from alerts.api.views.objects import Bulk, Collection, Item
from alerts.api.views.selections import ByGroup, BySeverity, ByTemplate

register_converter(RowId, "row_id")

urlpatterns = [
    path("alert-templates/severity/<str:severity>", BySeverity.as_view()),
    path("alert-rules/group/<row_id:group_id>", ByGroup.as_view()),
    path("alert-rules/template/<row_id:template_id>", ByTemplate.as_view()),
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
# Last: with DEBUG Django would answer an unmatched URL with a page of its own.
urlpatterns.append(re_path("", handlers.not_found))
