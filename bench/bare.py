"""Bare Django REST framework beside our API, under the same middleware: nothing but what a tutorial would write."""

from __future__ import annotations

from typing import Any

from django.urls import include, path
from rest_framework.generics import ListCreateAPIView
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import CharField, IntegerField, ModelSerializer, SerializerMethodField
from rest_framework.views import APIView

from alerts.models import AlertRule

PREPARED: dict[str, Any] = {}


class Prepared(APIView):
    """Returns an answer that lies ready: no database, no validation, nobody to authenticate."""

    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request) -> Response:
        return Response(PREPARED)


class Rule(ModelSerializer):
    """The same fields under the same names."""

    scope = SerializerMethodField()
    namespace_id = IntegerField(allow_null=True, required=False)
    group_id = IntegerField(allow_null=True, required=False)
    target_id = IntegerField(allow_null=True, required=False)
    created_from_template_id = IntegerField(read_only=True)
    key = CharField(required=False)

    class Meta:
        model = AlertRule
        fields = [
            *("id", "key", "name", "kind", "namespace_id", "group_id", "target_id", "query_template", "severity"),
            *("default_config", "variables", "unscoped", "config", "merge_strategy", "priority", "enabled"),
            *("partition_by", "allow_split", "created_from_template_id", "created_from_template_name"),
            *("version", "created_at", "updated_at", "deleted_at", "external_id", "scope"),
        ]
        extra_kwargs = {"merge_strategy": {"required": False}}

    def get_scope(self, rule: AlertRule) -> str:
        if rule.group is not None:
            return f"{rule.group.namespace.name}/{rule.group.label_value}"
        if rule.target is not None:
            return f"target/{rule.target.hostname}"
        return rule.namespace.name if rule.namespace is not None else "global"

    def create(self, values: dict[str, Any]) -> AlertRule:
        rule = AlertRule(**{"merge_strategy": "override", "key": values["name"], **values})
        rule.scope_key = rule.scope_key_now()
        rule.save()
        return rule


class Pages(PageNumberPagination):
    page_size_query_param = "page_size"


class Rules(ListCreateAPIView):
    """A model, a serializer, a paginator."""

    authentication_classes = ()
    permission_classes = ()
    serializer_class = Rule
    pagination_class = Pages
    queryset = AlertRule.objects.filter(deleted_at=None).select_related("namespace", "group__namespace", "target")


urlpatterns = [
    path("bare/prepared", Prepared.as_view()),
    path("bare/rules", Rules.as_view()),
    path("", include("config_server.urls")),
]
