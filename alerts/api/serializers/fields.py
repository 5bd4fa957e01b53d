"""Fields without coercion: ``"1"`` is not a number, ``1`` is not true, an unknown name is a fault.

Shapes are judged here; what a policy *means* is judged by the domain, for every door alike.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

MAX_ID = 2**63 - 1
MAX_INT = 2**31 - 1
MOST_FAULTY = 200
MOST_STRANGE = 20
"""Faulty items of one list, unknown fields of one object that are told. A body can hold a million."""


class Text(serializers.CharField):
    """A string, kept as written: no trimming."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("trim_whitespace", False)
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return data


class Whole(serializers.IntegerField):
    """An integer; neither a boolean nor a string that looks like one."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("min_value", -MAX_INT)
        kwargs.setdefault("max_value", MAX_INT)
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return data


class Id(Whole):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=1, max_value=MAX_ID, **kwargs)


class Flag(serializers.BooleanField):
    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class Choice(serializers.ChoiceField):
    """One of some strings."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or data not in self.choices:
            self.fail("invalid_choice", input=data)
        return data


class Many(serializers.ListField):
    """A list of at most ``max_length`` items, counted before any is looked at; of many faults the first are told."""

    def __init__(self, child: serializers.Field, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 1000)
        super().__init__(child=child, **kwargs)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, list) and self.max_length is not None and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        return super().to_internal_value(data)

    def run_child_validation(self, data: Any) -> list[Any]:
        values, faults = [], dict[Any, Any]()
        for place, item in enumerate(data):
            try:
                values.append(self.child.run_validation(item))
            except serializers.ValidationError as exc:
                faults[place] = exc.detail
                if len(faults) >= MOST_FAULTY:
                    break
        if faults:
            raise serializers.ValidationError(faults)
        return values


class Json(serializers.Field):
    """JSON of one type that the domain judges further."""

    default_error_messages = {"invalid": "Must be {wanted}."}
    json_type: type = dict
    wanted = "an object"

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, self.json_type):
            self.fail("invalid", wanted=self.wanted)
        return data

    def to_representation(self, value: Any) -> Any:
        return value


DURATION = {"type": ["string", "null"], "maxLength": 100, "examples": ["5m"]}
TEXTS = {"type": "object", "additionalProperties": {"type": ["string", "null"]}}
CONFIG_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Folded over weaker layers as a JSON merge patch: `null` removes.",
    "additionalProperties": False,
    "properties": {
        "for_duration": DURATION,
        "keep_firing_for": DURATION,
        "interval": DURATION,
        "severity": {"type": ["string", "null"]},
        "labels": TEXTS,
        "annotations": TEXTS,
        "template_vars": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}},
    },
}
VARIABLES_SCHEMA: dict[str, Any] = {
    "type": "array",
    "description": "The variables a query template declares.",
    "items": {
        "type": "object",
        "required": ["name", "type"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"},
            "type": {"type": "string", "enum": ["number", "duration", "string", "regex", "bool", "enum"]},
            "default": {"type": ["string", "number", "boolean", "null"]},
            "min": {"type": ["string", "number", "null"]},
            "max": {"type": ["string", "number", "null"]},
            "values": {"type": "array", "items": {"type": "string"}},
            "unit": {"type": "string"},
            "description": {"type": "string"},
        },
    },
}


@extend_schema_field(CONFIG_SCHEMA)
class Config(Json):
    pass


@extend_schema_field(VARIABLES_SCHEMA)
class Variables(Json):
    json_type = list
    wanted = "a list"


@extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}})
class Labels(Json):
    pass


class StrictSerializer(serializers.Serializer):
    """Unknown fields are refused; read-only ones, and ``ignored`` ones, may be sent back and change nothing."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise serializers.ValidationError("Must be an object.", code="invalid")
        unknown = serializers.ErrorDetail("There is no such field.", code="unknown_field")
        strange = (name for name in data if name not in self.fields)
        faults: dict[str, Any] = {name: [unknown] for name in islice(strange, MOST_STRANGE)}
        try:
            values = super().to_internal_value(data)
        except serializers.ValidationError as exc:
            faults = {**exc.detail, **faults} if isinstance(exc.detail, dict) else faults
            raise serializers.ValidationError(faults) from None
        if faults:
            raise serializers.ValidationError(faults)
        as_sent = (self.fields[name].source for name in data)
        return {name: values[name] for name in as_sent if name in values} | dict(values)


class RowSerializer(StrictSerializer):
    """What every object of the policy carries."""

    id = serializers.IntegerField(read_only=True, allow_null=True, help_text="null only in the answer to a dry run.")
    version = serializers.IntegerField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)
    deleted_at = serializers.DateTimeField(read_only=True, allow_null=True)
    external_id = Text(
        max_length=255, allow_null=True, default=None, help_text="Your own id for it, unique among what is not deleted."
    )
