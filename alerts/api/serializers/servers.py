"""Prometheus servers."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from alerts.api.serializers.fields import Choice, Flag, Json, RowSerializer, Text

_TIME = {"type": ["string", "null"], "format": "date-time"}
_ID_OR_NULL = {"type": ["integer", "null"]}
SILENT_SINCE = {**_TIME, "description": "When its agent was heard of last, if that is long ago."}
STANDING_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "How delivery to it goes, from the database alone.",
    "required": ["revision", "loaded_revision", "loaded_since", "in_sync", "why", "pinned", "failures", "error"],
    "properties": {
        "revision": {"type": "integer", "description": "The policy's, now."},
        "loaded_revision": {"type": "integer", "description": "The last one it was seen to hold."},
        "loaded_since": {
            **_TIME,
            "description": "Since when it is known to hold these very rules. A later revision that changed none of "
            "them is loaded without a delivery, so this may be earlier than `loaded_revision`.",
        },
        "loaded_release": _ID_OR_NULL,
        "in_sync": {"type": "boolean"},
        "why": {"type": ["string", "null"], "description": "Why it does not hold the policy's revision."},
        "silent_since": SILENT_SINCE,
        "unreachable": {"type": ["string", "null"], "description": "Why it did not answer at the last look."},
        "pinned": {**_ID_OR_NULL, "description": "The release it is pinned to."},
        "failures": {"type": "integer", "description": "In a row."},
        "error": {"type": ["object", "null"], "description": "The last failure, until the next success."},
        "checked_at": _TIME,
        "retry_at": {
            **_TIME,
            "description": "When a delivery is tried again. An agent tries by itself: then only while it lies ahead.",
        },
        "agent_seen_at": _TIME,
        "agent_version": {"type": ["string", "null"]},
    },
}
SELECTOR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Whose series it holds: label values by namespace, each with its subtree. Empty: everything.",
    "additionalProperties": {
        "anyOf": [
            {"type": "array", "minItems": 1, "items": {"type": "string"}},
            {
                "type": "object",
                "required": ["not_in"],
                "additionalProperties": False,
                "properties": {"not_in": {"type": "array", "minItems": 1, "items": {"type": "string"}}},
            },
        ]
    },
}


@extend_schema_field(SELECTOR_SCHEMA)
class Selector(Json):
    pass


@extend_schema_field({"type": "object", "description": "Names where secrets lie, never a secret itself."})
class Reference(Json):
    pass


@extend_schema_field(STANDING_SCHEMA)
class Standing(serializers.Field):
    def to_representation(self, value: Any) -> Any:
        return value


class PrometheusServer(RowSerializer):
    """A server that evaluates rules: Prometheus, vmalert or Thanos ruler."""

    name = Text(max_length=100, required=False, help_text="Fixed at creation.")
    description = Text(max_length=10_000, allow_blank=True, default="")
    url = Text(max_length=500, allow_blank=True, default="", help_text="Empty for `default` only: `PROMETHEUS_URL`.")
    delivery = Choice(choices=["directory", "agent"], default="directory")
    rule_dir = Text(
        max_length=500,
        allow_blank=True,
        default="",
        help_text="Below one of `PROMETHEUS_RULE_ROOTS`, relative to the first; default: the name.",
    )
    layout = Choice(choices=["per-scope", "consolidated", ""], default="", help_text="Empty: `PROMETHEUS_RULE_LAYOUT`.")
    selector = Selector(default=dict)
    auth = Reference(default=dict)
    tls = Reference(default=dict)
    enabled = Flag(default=True, help_text="False: nothing is delivered; the rules that are there stay.")
    flavour = serializers.CharField(read_only=True, allow_null=True, help_text="prometheus, vmalert or thanos.")
    prometheus_version = serializers.CharField(read_only=True, allow_null=True)
    status = Standing(read_only=True)


class PrometheusServerCreate(PrometheusServer):
    """A server, which is named once and for all."""

    name = Text(max_length=100, help_text="`[a-z0-9._-]`, fixed at creation.")
