"""What the agent beside a server reports."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from alerts.api.serializers.fields import Choice, Id, Many, StrictSerializer, Text
from alerts.domain.json_text import json_bytes

MOST_PROBLEMS = 200
LARGEST_PROBLEM = 16 * 1024
MOST_TIMINGS = 50
LONGEST_TIMING = 1e7
HASH = r"\A([0-9a-f]{64})?\Z"
PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {"code": {"type": "string", "minLength": 1}, "message": {"type": "string", "minLength": 1}},
}


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return type(value) is int


KEPT: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("code", "message", "hint", "file", "kind", "group", "rule"), _is_text),
    **dict.fromkeys(("rule_index", "line"), _is_number),
    "promtool": lambda value: isinstance(value, list) and all(map(_is_text, value)),
}
_NUMBER_OR_NULL = {"type": ["integer", "null"]}
_TEXT_OR_NULL = {"type": ["string", "null"]}
REFUSAL_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["message"],
    "properties": {
        "message": {"type": "string", "minLength": 1},
        "file": _TEXT_OR_NULL,
        "group": _TEXT_OR_NULL,
        "rule_name": _TEXT_OR_NULL,
        "rule_index": {**_NUMBER_OR_NULL, "description": "In its group, from 1."},
        "line": _NUMBER_OR_NULL,
    },
}


class _Object(serializers.Field):
    """An object with some texts that must be there, some that may, and numbers; more may be said, within bounds."""

    default_error_messages = {
        "invalid": "Must be an object.",
        "too_large": f"Has more than {LARGEST_PROBLEM} bytes.",
        "text": "{name} must be a string.",
        "number": "{name} must be a whole number.",
    }
    required_texts: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("invalid")
        if len(json_bytes(data)) > LARGEST_PROBLEM:
            self.fail("too_large")
        for name in self.required_texts:
            if not isinstance(data.get(name), str) or not data[name]:
                self.fail("text", name=name)
        for name in self.texts:
            if not isinstance(data.get(name), str | None):
                self.fail("text", name=name)
        for name in self.numbers:
            if type(data.get(name)) not in (int, type(None)):
                self.fail("number", name=name)
        return data


@extend_schema_field(PROBLEM_SCHEMA)
class Problem(_Object):
    """Workers, pages and metrics read these as they read our own: what they would not expect is left out."""

    required_texts = ("code", "message")

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        said = super().to_internal_value(data)
        return {name: value for name, value in said.items() if name in KEPT and KEPT[name](value)}


@extend_schema_field(REFUSAL_SCHEMA)
class Refusal(_Object):
    required_texts = ("message",)
    texts = ("file", "group", "rule_name")
    numbers = ("rule_index", "line")


@extend_schema_field({"type": "object", "additionalProperties": {"type": "number", "minimum": 0}})
class Timings(serializers.Field):
    """Seconds by step."""

    default_error_messages = {"invalid": f"Must be an object of at most {MOST_TIMINGS} numbers of seconds."}

    def to_internal_value(self, data: Any) -> dict[str, float]:
        sound = isinstance(data, dict) and len(data) <= MOST_TIMINGS
        if not sound or not all(len(name) <= 50 and _is_seconds(value) for name, value in data.items()):
            self.fail("invalid")
        return data


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and 0 <= value <= LONGEST_TIMING


class Hash(serializers.RegexField):
    """SHA-256 in hexadecimal; empty: not known."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(HASH, trim_whitespace=False, allow_blank=True, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return data


class AgentReport(StrictSerializer):
    """What became of a release. Both hashes may be empty: nothing whole came, or what is loaded cannot be told."""

    release = Id(allow_null=True)
    content_hash = Hash()
    state = Choice(choices=["verified", "active", "rejected", "rolled_back", "failed"])
    errors = Many(Problem(), max_length=MOST_PROBLEMS, default=list)  # type: ignore[assignment]
    warnings = Many(Problem(), max_length=MOST_PROBLEMS, default=list)
    refusals = Many(Refusal(), max_length=MOST_PROBLEMS, default=list, help_text="promtool's, on single rules.")
    drift = Many(Problem(), max_length=MOST_PROBLEMS, default=list, help_text="What was found changed, and healed.")
    timings = Timings(default=dict)
    loaded_hash = Hash(default="", help_text="What is loaded now, whatever became of this one.")
    flavour = Choice(choices=["prometheus", "vmalert", "thanos", ""], default="")
    prometheus_version = Text(max_length=50, allow_blank=True, default="")
    promtool_version = Text(max_length=50, allow_blank=True, default="")
    agent_version = Text(max_length=50, allow_blank=True, default="")

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        if values["state"] in ("verified", "active") and values["loaded_hash"] not in ("", values["content_hash"]):
            message = "What is verified or active is what is in place."
            raise serializers.ValidationError({"loaded_hash": serializers.ErrorDetail(message, code="invalid")})
        return values
