"""Declared variables of a query template: their declarations, and the values layers give them.

A declaration is one JSON object::

    {"name": "threshold", "type": "number", "default": 80, "min": 0, "max": 100, "unit": "%", "description": "…"}

| type     | a value is                         | stands in the text as        | may also declare |
| -------- | ---------------------------------- | ---------------------------- | ---------------- |
| number   | a finite JSON number               | ``80``, ``0.5``, ``1e+21``   | min, max         |
| duration | a Prometheus duration              | as written (``0`` as ``0s``) | min, max         |
| string   | a string                           | as written                   |                  |
| regex    | a string RE2 accepts               | as written                   |                  |
| bool     | true or false                      | ``true`` or ``false``        |                  |
| enum     | one of the strings in ``values``   | as written                   | values           |

No value holds ``{{``, ``}}``, NUL, a lone surrogate or a control character other than tab and line ends.
A variable without a default must be given a value wherever its query is in force.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import re2

from alerts.domain.durations import format_duration, parse_duration
from alerts.domain.errors import Finding, InvalidPolicy
from alerts.domain.layers import Variable
from alerts.domain.names import LONGEST_NAME, below, check_text, json_type, shown, unknown_fields

TYPES = ("number", "duration", "string", "regex", "bool", "enum")
FIELDS = ("name", "type", "default", "min", "max", "values", "unit", "description")
MOST_VARIABLES = 64
MOST_VALUES = 256
LONGEST_VALUE = 4096

Bound = tuple[tuple[Variable, str], ...]
"""Each declared variable with the text of its value, in the order of declaration."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_RE2_OPTIONS = re2.Options()
_RE2_OPTIONS.log_errors = False
_RE2_OPTIONS.max_mem = 4 << 20


def is_variable_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


# --- values -----------------------------------------------------------------------------------------------------------


def check_value(variable: Variable, value: Any) -> str:
    """The text to substitute for ``value``; InvalidPolicy names the variable when it may not have this value."""
    text = _text_of(variable, value)
    if "{{" in text or "}}" in text:
        raise _refused(
            variable, "variable_value", f"{shown(text)} contains {{{{ or }}}}", "a value is never a template"
        )
    return text


def _text_of(variable: Variable, value: Any) -> str:
    match variable.type:
        case "number":
            if not _is_number(value):
                raise _mistyped(variable, value, "a number")
            _check_range(variable, value, variable.min, variable.max)
            return _number_text(value)
        case "duration":
            milliseconds = _milliseconds(variable, value)
            lowest, highest = (
                None if end is None else parse_duration(str(end)) for end in (variable.min, variable.max)
            )
            _check_range(variable, milliseconds, lowest, highest)
            return value if milliseconds else "0s"
        case "bool":
            if not isinstance(value, bool):
                raise _mistyped(variable, value, "true or false")
            return "true" if value else "false"
        case "enum":
            choices = ", ".join(variable.values)
            if not isinstance(value, str):
                raise _mistyped(variable, value, f"one of {choices}")
            if value not in variable.values:
                raise _refused(variable, "variable_value", f"{shown(value)} is not one of {choices}")
            return value
        case _:
            if not isinstance(value, str):
                raise _mistyped(variable, value, "a string")
            finding = check_text(value, longest=LONGEST_VALUE, layout=True)
            if finding is not None:
                raise _refused(variable, "variable_value", finding.message, finding.hint)
            if variable.type == "regex":
                _check_regex(variable, value)
            return value


def bind(variables: tuple[Variable, ...], values: Mapping[str, Any]) -> Bound:
    """The text of every declared variable, from ``values`` or its default. All objections at once."""
    findings = [
        undeclared(name, variables).at(value_pointer(name)) for name in values if all(name != v.name for v in variables)
    ]
    bound = []
    for variable in variables:
        value = values.get(variable.name, variable.default)
        try:
            if value is None and variable.name not in values:
                raise _refused(variable, "variable_missing", "has no value and no default", "give it in template_vars")
            bound.append((variable, check_value(variable, value)))
        except InvalidPolicy as refusal:
            findings += refusal.findings
    if findings:
        raise InvalidPolicy(findings)
    return tuple(bound)


def undeclared(name: str, variables: tuple[Variable, ...]) -> Finding:
    """The objection to a name nobody declared."""
    known = ", ".join(variable.name for variable in variables)
    hint = f"declared are: {known}" if known else "declare it under variables"
    return Finding("variable_undeclared", f"variable {shown(name)} is not declared", hint=hint)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _number_text(value: int | float) -> str:
    """As PromQL reads it back to the same float: whole numbers without a point or exponent where they are short."""
    if abs(value) < 1e21 and value == int(value):
        return str(int(value))
    return repr(float(value))


def _milliseconds(variable: Variable, value: Any) -> int:
    if not isinstance(value, str):
        raise _mistyped(variable, value, "a duration such as 5m")
    try:
        return parse_duration(value)
    except InvalidPolicy as refusal:
        raise _refused(variable, "variable_type", refusal.findings[0].message, refusal.findings[0].hint) from None


def _check_range(variable: Variable, value: float, lowest: Any, highest: Any) -> None:
    as_text = format_duration if variable.type == "duration" else _number_text
    if lowest is not None and value < lowest:
        raise _refused(variable, "variable_range", f"{as_text(value)} is below the minimum {variable.min}")  # type: ignore[arg-type]
    if highest is not None and value > highest:
        raise _refused(variable, "variable_range", f"{as_text(value)} is above the maximum {variable.max}")  # type: ignore[arg-type]


@lru_cache(maxsize=1024)
def regex_fault(pattern: str) -> str | None:
    """Why Prometheus would refuse a pattern, or None. It anchors patterns, so they must also stand in a group."""
    if "\\C" in pattern.replace("\\\\", ""):
        return "\\C is not known to Prometheus"
    for text in (pattern, f"^(?:{pattern})$"):
        try:
            re2.compile(text, _RE2_OPTIONS)
        except re2.error as error:
            reason = error.args[0] if error.args else "is refused"
            return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
    return None


def _check_regex(variable: Variable, pattern: str) -> None:
    fault = regex_fault(pattern)
    if fault is not None:
        raise _refused(variable, "variable_value", f"{shown(pattern)} is not an RE2 regex: {fault}")


def _mistyped(variable: Variable, value: Any, wanted: str) -> InvalidPolicy:
    written = f"{shown(value)} ({json_type(value)})" if value is not None else "null"
    return _refused(variable, "variable_type", f"must be {wanted}, not {written}")


def _refused(variable: Variable, code: str, message: str, hint: str = "") -> InvalidPolicy:
    return InvalidPolicy(Finding(code, f"variable {variable.name!r}: {message}", value_pointer(variable.name), hint))


def value_pointer(name: str) -> str:
    """Where a finding about a variable's value points, until its caller knows which layer gave the value."""
    return below("/template_vars", name)


# --- declarations -----------------------------------------------------------------------------------------------------


def variables_from_json(data: Any, pointer: str = "/variables") -> tuple[Variable, ...]:
    """The declarations, or InvalidPolicy with every objection, each pointing at the field it is about."""
    if not isinstance(data, list | tuple):
        raise InvalidPolicy(Finding("type", f"must be an array of variables, not {json_type(data)}", pointer))
    if len(data) > MOST_VARIABLES:
        raise InvalidPolicy(
            Finding("too_many", f"has {len(data)} variables, at most {MOST_VARIABLES} are allowed", pointer)
        )
    findings: list[Finding] = []
    variables: list[Variable] = []
    seen: set[str] = set()
    for index, item in enumerate(data):
        place = below(pointer, index)
        variable = _variable(item, place, findings)
        if variable is None:
            continue
        if variable.name in seen:
            findings.append(Finding("duplicate", f"variable {variable.name!r} is declared twice", below(place, "name")))
        seen.add(variable.name)
        variables.append(variable)
    if findings:
        raise InvalidPolicy(findings)
    return tuple(variables)


def _variable(item: Any, place: str, findings: list[Finding]) -> Variable | None:
    if not isinstance(item, Mapping):
        findings.append(Finding("type", f"must be an object, not {json_type(item)}", place))
        return None
    before = len(findings)

    def object_to(field: str, code: str, message: str, hint: str = "") -> None:
        findings.append(Finding(code, message, below(place, field), hint))

    findings += unknown_fields(item, FIELDS, place)
    name, kind = item.get("name"), item.get("type")
    if not isinstance(name, str) or not is_variable_name(name):
        object_to(
            "name", "name_invalid", f"{shown(name)} is not a variable name", "use a-z, then a-z, 0-9 and _, at most 64"
        )
    if kind not in TYPES:
        object_to("type", "variable_type", f"{shown(kind)} is not a type of variable", f"use one of {', '.join(TYPES)}")
        return None
    for field in ("unit", "description"):
        if item.get(field) is not None:
            finding = check_text(item[field], below(place, field), longest=LONGEST_VALUE, layout=True)
            findings += [finding] if finding else []
    for field in ("min", "max"):
        if item.get(field) is not None and kind not in ("number", "duration"):
            object_to(field, "variable_range", f"a {kind} has no {field}")
    values = item.get("values")
    if kind != "enum" and values is not None:
        object_to("values", "variable_value", f"a {kind} does not list values")
    elif kind == "enum" and not _good_choices(values):
        object_to(
            "values",
            "variable_value",
            f"an enum needs values: 1 to {MOST_VALUES} different strings without {{{{ or }}}}",
        )
    if len(findings) > before:
        return None
    return _within_range(item, name, place, findings)


def _good_choices(values: Any) -> bool:
    if not isinstance(values, list | tuple) or not 0 < len(values) <= MOST_VALUES:
        return False
    if any(check_text(value, longest=LONGEST_NAME) or "{{" in value or "}}" in value for value in values):
        return False
    return len(set(values)) == len(values)


def _within_range(item: Mapping[str, Any], name: Any, place: str, findings: list[Finding]) -> Variable | None:
    """The variable, once its ends and its default are values of its type and in order."""
    unbounded = Variable(name, item["type"], values=tuple(item.get("values") or ()))
    before = len(findings)
    for field in ("min", "max"):
        if item.get(field) is not None:
            findings += _objections(unbounded, item[field], below(place, field))
    if len(findings) > before:
        return None
    lowest, highest = item.get("min"), item.get("max")
    if lowest is not None and highest is not None and _size(lowest) > _size(highest):
        findings.append(
            Finding("variable_range", f"the minimum {lowest} is above the maximum {highest}", below(place, "min"))
        )
        return None
    variable = Variable(
        name=name,
        type=item["type"],
        default=item.get("default"),
        min=lowest,
        max=highest,
        values=unbounded.values,
        unit=item.get("unit") or "",
        description=item.get("description") or "",
    )
    if variable.default is not None:
        findings += _objections(variable, variable.default, below(place, "default"))
    return variable if len(findings) == before else None


def _objections(variable: Variable, value: Any, pointer: str) -> list[Finding]:
    try:
        check_value(variable, value)
    except InvalidPolicy as refusal:
        return [finding.at(pointer) for finding in refusal.findings]
    return []


def _size(end: float | str) -> float:
    return parse_duration(end) if isinstance(end, str) else end
