"""Lists that have an address of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from alerts.api.openapi import Answer, Operation
from alerts.api.pagination import paginate
from alerts.api.problems import ApiProblem
from alerts.api.resources import GROUPS, RULES, TEMPLATES, Resource
from alerts.api.views.objects import ObjectView


class Selection(ObjectView):
    """A list narrowed by its path."""

    summary = ""

    def parameters_of(self, resource: Resource) -> Mapping[str, Any]:
        return {"GET": resource.parameters}

    def page(self, request: Request, **within: Any) -> Response:
        listing = self.resource.listing(self.query, **within)
        return Response(paginate(request, listing, self.query, self.resource.represent))

    def operations(self) -> Mapping[str, Operation]:
        it = self.resource
        return {
            "GET": Operation(
                id=f"list_{it.path}_{type(self).__name__}".replace("-", "_").lower(),
                tag=it.path,
                summary=self.summary,
                answers={200: Answer("A page.", it.replace, it.example_answer, page=True)},
                problems=(404,),
            )
        }


class BySeverity(Selection):
    resource = TEMPLATES
    summary = "List alert templates of one severity"

    def get(self, request: Request, severity: str) -> Response:
        if severity not in settings.SEVERITIES:
            known = ", ".join(settings.SEVERITIES)
            raise ApiProblem(404, "not_found", f"there is no severity {severity!r}; there are {known}")
        return self.page(request, severity=severity)


class ByGroup(Selection):
    resource = RULES
    summary = "List alert rules at exactly this group"

    def get(self, request: Request, group_id: int) -> Response:
        GROUPS.version(group_id, "include")
        return self.page(request, group_id=group_id)


class ByTemplate(Selection):
    resource = RULES
    summary = "List alert rules made from this template"

    def get(self, request: Request, template_id: int) -> Response:
        TEMPLATES.version(template_id, "include")
        return self.page(request, created_from_template_id=template_id)
