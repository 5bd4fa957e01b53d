"""Alert templates and alert rules."""

from __future__ import annotations

from rest_framework import serializers

from alerts.actions.rules import unsaid
from alerts.api.serializers.fields import Choice, Config, Flag, Id, Many, RowSerializer, Text, Variables, Whole

KINDS = ("alerting", "recording")
MAX_QUERY = 100_000
"""Far above the domain's own limit, which explains itself better."""


def _metrics() -> Many:
    return Many(Text(max_length=1000), default=list, help_text="Metrics whose series carry no position.")


class AlertTemplate(RowSerializer):
    """A reusable definition; rules made from it are copies."""

    name = Text(max_length=255)
    description = Text(max_length=10_000, allow_blank=True, default="")
    severity = Text(max_length=50, allow_null=True, default=None)
    query_template = Text(max_length=MAX_QUERY)
    default_config = Config(default=dict)
    variables = Variables(default=list)
    kind = Choice(choices=KINDS, default="alerting")
    unscoped = _metrics()


class AlertRule(RowSerializer):
    """What is said about a key at one scope; no scope is global."""

    key = Text(max_length=255, default=None, help_text="What it is across scopes; default: the name.")
    name = Text(max_length=255, allow_null=True, default=None, help_text="The alert's or the record's name.")
    kind = Choice(choices=KINDS, default="alerting")
    scope = serializers.CharField(read_only=True, help_text="`global`, a namespace, `namespace/group`, `target/host`.")
    namespace_id = Id(allow_null=True, default=None)
    group_id = Id(allow_null=True, default=None)
    target_id = Id(allow_null=True, default=None)
    query_template = Text(max_length=MAX_QUERY, allow_null=True, default=None)
    severity = Text(max_length=50, allow_null=True, default=None)
    default_config = Config(default=dict)
    variables = Variables(default=list)
    unscoped = _metrics()
    config = Config(default=dict)
    merge_strategy = Choice(
        choices=["override", "merge"], default=None, help_text="Default: `override` with a query, else `merge`."
    )
    priority = Whole(default=100)
    enabled = Flag(
        allow_null=True, default=unsaid, help_text="null: as the weaker layers say. Default: true for an override."
    )
    partition_by = Many(Text(max_length=255), max_length=20, default=list, help_text="Names of namespaces.")
    allow_split = Flag(default=False)
    created_from_template_id = serializers.IntegerField(read_only=True, allow_null=True)
    created_from_template_name = serializers.CharField(read_only=True, allow_null=True)


class AlertRuleCreate(AlertRule):
    """A rule as written, or begun as a copy of a template."""

    template_id = Id(allow_null=True, required=False, help_text="Copy this template, instead of a definition.")
