"""Whether values fit the columns they are meant for: type, length, choice, and no text that a database refuses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from django.db import models

from alerts.domain.errors import Finding
from alerts.domain.names import below, check_text, json_type, shown

LARGEST = 2**31 - 1
DEEPEST = 32
MISSHAPEN = frozenset(("type", "null", "too_deep"))


def check_fields(model: type[models.Model], values: Mapping[str, Any]) -> list[Finding]:
    """Findings for those ``values`` that are plain columns of ``model``; references are somebody else's business."""
    columns = _columns(model)
    return [
        finding
        for name, value in values.items()
        if name in columns
        for finding in _check(columns[name], value, f"/{name}")
    ]


@cache
def _columns(model: type[models.Model]) -> dict[str, models.Field]:
    return {field.name: field for field in model._meta.concrete_fields if not field.is_relation}


def _check(field: models.Field, value: Any, pointer: str) -> Iterator[Finding]:
    if value is None:
        if not field.null:
            yield Finding("null", "must not be null", pointer)
        return
    if isinstance(field, models.BooleanField):
        if not isinstance(value, bool):
            yield _wrong_type(value, "a boolean", pointer)
    elif isinstance(field, models.IntegerField):
        if isinstance(value, bool) or not isinstance(value, int):
            yield _wrong_type(value, "an integer", pointer)
        elif not -LARGEST - 1 <= value <= LARGEST:
            yield Finding("out_of_range", f"must lie between {-LARGEST - 1} and {LARGEST}", pointer)
    elif isinstance(field, models.JSONField):
        yield from _check_json(field, value, pointer)
    else:
        yield from _check_text(field, value, pointer)


def _check_text(field: models.Field, value: Any, pointer: str) -> Iterator[Finding]:
    finding = check_text(value, pointer, longest=field.max_length, layout=isinstance(field, models.TextField))
    if finding is not None:
        yield finding
    elif not value.strip() and not field.blank:
        yield Finding("required", "must not be empty", pointer)
    elif value and field.choices and value not in {choice for choice, _ in field.flatchoices}:
        allowed = ", ".join(choice for choice, _ in field.flatchoices)
        yield Finding("choice", f"{shown(value)} is not one of: {allowed}", pointer)


def _check_json(field: models.JSONField, value: Any, pointer: str) -> Iterator[Finding]:
    if isinstance(value, dict) is not (field.default is dict):
        yield _wrong_type(value, "an object" if field.default is dict else "an array", pointer)
        return
    if not _is_plain(value, DEEPEST):
        yield from _walk(value, pointer, DEEPEST)


def _is_plain(value: Any, depth: int) -> bool:
    """Whether nothing can be wrong with it; most values are plain, and need no pointers to their parts."""
    if isinstance(value, str):
        return value.isprintable()
    if isinstance(value, dict):
        names = all(isinstance(name, str) and name.isprintable() for name in value)
        return depth > 1 and names and all(_is_plain(item, depth - 1) for item in value.values())
    if isinstance(value, list | tuple):
        return depth > 1 and all(_is_plain(item, depth - 1) for item in value)
    return isinstance(value, int | None)


def _walk(value: Any, pointer: str, depth: int) -> Iterator[Finding]:
    """PostgreSQL's jsonb refuses NUL, lone surrogates and what is no number."""
    if depth == 0:
        yield Finding("too_deep", f"is nested deeper than {DEEPEST} levels", pointer)
    elif isinstance(value, str):
        if finding := check_text(value, pointer, layout=True):
            yield finding
    elif isinstance(value, float) and not math.isfinite(value):
        yield Finding("type", "is not a finite number", pointer)
    elif isinstance(value, dict):
        for name, item in value.items():
            if finding := check_text(name, below(pointer, name), layout=True):
                yield finding
            yield from _walk(item, below(pointer, name), depth - 1)
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from _walk(item, below(pointer, place), depth - 1)


def _wrong_type(value: Any, wanted: str, pointer: str) -> Finding:
    return Finding("type", f"must be {wanted}, not {json_type(value)}", pointer)
