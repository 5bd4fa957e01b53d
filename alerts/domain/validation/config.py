"""The ``config`` and ``default_config`` of a layer or a template (DESIGN 7)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from alerts.domain.durations import parse_duration
from alerts.domain.errors import Finding, InvalidPolicy
from alerts.domain.layers import Kind, Topology, Variable
from alerts.domain.names import (
    LONGEST_NAME,
    below,
    check_text,
    is_label_name,
    json_type,
    reserved_labels,
    shown,
    unknown_fields,
)
from alerts.domain.template_text import read
from alerts.domain.templating import check_text_template
from alerts.domain.variables import LONGEST_VALUE, MOST_VARIABLES, check_value, is_variable_name, undeclared

SEVERITIES = ("critical", "warning", "info")
CONFIG_FIELDS = ("for_duration", "keep_firing_for", "interval", "severity", "labels", "annotations", "template_vars")
DURATION_FIELDS = ("for_duration", "keep_firing_for", "interval")
ALERTING_FIELDS = ("for_duration", "keep_firing_for", "annotations")
"""Prometheus refuses a file whose recording rule has one of these."""

MOST_LABELS = 64
MOST_ANNOTATIONS = 64
LONGEST_LABEL = 4096
LONGEST_ANNOTATION = 16_384


def check_config(
    config: Any,
    pointer: str,
    *,
    kind: Kind,
    topology: Topology,
    severities: Collection[str] = SEVERITIES,
    variables: tuple[Variable, ...] | None = None,
) -> list[Finding]:
    """Everything wrong with a config. ``variables`` None: its layer has no query, so any variable may be meant.

    ``null`` is accepted wherever a value is: it removes (RFC 7396), and removes nothing where nothing is.
    """
    if not isinstance(config, Mapping):
        return [Finding("type", f"must be an object, not {json_type(config)}", pointer)]
    findings = unknown_fields(config, CONFIG_FIELDS, pointer)
    for name, value in config.items():
        place = below(pointer, name)
        if name not in CONFIG_FIELDS or value is None:
            continue
        if kind == "recording" and name in ALERTING_FIELDS and value != {}:
            findings.append(Finding("not_for_recording", f"a recording rule has no {name}", place, "remove it"))
        elif name in DURATION_FIELDS:
            findings += _check_duration(name, value, place)
        elif name == "severity":
            findings += check_severity(value, place, severities)
        elif name == "labels":
            findings += _check_labels(value, place, kind, topology, variables)
        elif name == "annotations":
            findings += _check_annotations(value, place, variables)
        else:
            findings += _check_template_vars(value, place, variables)
    return findings


def check_severity(value: Any, pointer: str, severities: Collection[str] = SEVERITIES) -> list[Finding]:
    """A severity is one of the installation's."""
    if isinstance(value, str) and value in severities:
        return []
    hint = f"use one of {', '.join(severities)}"
    return [Finding("severity_unknown", f"{shown(value)} is not a severity here", pointer, hint)]


def _check_duration(name: str, value: Any, pointer: str) -> list[Finding]:
    try:
        milliseconds = parse_duration(value)
    except InvalidPolicy as refusal:
        return [finding.at(pointer) for finding in refusal.findings]
    if name == "interval" and milliseconds == 0:
        hint = "leave it out for Prometheus' own interval"
        return [Finding("duration_invalid", "an interval must be longer than zero", pointer, hint)]
    return []


def _check_labels(
    labels: Any, pointer: str, kind: Kind, topology: Topology, variables: tuple[Variable, ...] | None
) -> list[Finding]:
    reserved = reserved_labels(topology)

    def check_label(name: str, value: str | None, place: str) -> list[Finding]:
        if name in reserved or name.startswith("__"):
            reason = reserved.get(name, "Prometheus keeps __ names to itself")
            hint = "set the field severity instead" if name == "severity" else "choose another name"
            return [Finding("label_reserved", f"the label {name!r} is not a rule's to set: {reason}", place, hint)]
        if value is None:
            return []
        findings = _check_templated(value, place, LONGEST_LABEL, variables)
        if kind == "recording" and not findings and "{{" in value and read(value).actions:
            message = "Prometheus does not run templates in the labels of a recording rule"
            hint = "only {{ .name }} of a declared variable is replaced there"
            findings.append(Finding("not_for_recording", message, place, hint))
        return findings

    return _check_texts(labels, pointer, "label", MOST_LABELS, check_label)


def _check_annotations(annotations: Any, pointer: str, variables: tuple[Variable, ...] | None) -> list[Finding]:
    def check_annotation(name: str, value: str | None, place: str) -> list[Finding]:
        return [] if value is None else _check_templated(value, place, LONGEST_ANNOTATION, variables)

    return _check_texts(annotations, pointer, "annotation", MOST_ANNOTATIONS, check_annotation)


def _check_texts(
    texts: Any, pointer: str, word: str, most: int, check_one: Callable[[str, str | None, str], list[Finding]]
) -> list[Finding]:
    """An object of names and texts, each name one that 2.42 loads."""
    if not isinstance(texts, Mapping):
        return [Finding("type", f"must be an object, not {json_type(texts)}", pointer)]
    if len(texts) > most:
        return [Finding("too_many", f"has {len(texts)} {word}s, at most {most} are allowed", pointer)]
    findings = []
    for name, value in texts.items():
        place = below(pointer, name)
        if not is_label_name(name) or len(name) > LONGEST_NAME:
            hint = f"use letters, digits and _, not a digit first, at most {LONGEST_NAME}"
            findings.append(Finding(f"{word}_name", f"{shown(name)} is not a name for {_a(word)}", place, hint))
        elif value is not None and not isinstance(value, str):
            hint = f'write it in quotes, as "{value}"' if isinstance(value, int | float) else ""
            findings.append(Finding("type", f"must be a string, not {json_type(value)}", place, hint))
        else:
            findings += check_one(name, value, place)
    return findings


def _a(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _check_templated(value: str, pointer: str, longest: int, variables: tuple[Variable, ...] | None) -> list[Finding]:
    finding = check_text(value, pointer, longest=longest, layout=True)
    if finding is not None:
        return [finding]
    return [finding.at(pointer) for finding in check_text_template(value, variables)]


def _check_template_vars(values: Any, pointer: str, variables: tuple[Variable, ...] | None) -> list[Finding]:
    """Against the declarations where the layer has them; else only that each value could be one."""
    if not isinstance(values, Mapping):
        return [Finding("type", f"must be an object, not {json_type(values)}", pointer)]
    if len(values) > MOST_VARIABLES:
        return [Finding("too_many", f"has {len(values)} values, at most {MOST_VARIABLES} are allowed", pointer)]
    declared = None if variables is None else {variable.name: variable for variable in variables}
    findings: list[Finding] = []
    for name, value in values.items():
        place = below(pointer, name)
        if not is_variable_name(name):
            hint = "use a-z, then a-z, 0-9 and _, at most 64"
            findings.append(Finding("name_invalid", f"{shown(name)} is not a variable name", place, hint))
        elif declared is not None and name not in declared:
            findings.append(undeclared(name, variables or ()).at(place))
        elif value is not None:
            findings += _objections(declared[name] if declared else _any_type(name, value), value, place)
    return findings


def _any_type(name: str, value: Any) -> Variable:
    """A declaration that accepts whatever some variable could accept."""
    if isinstance(value, bool):
        return Variable(name, "bool")
    return Variable(name, "number" if isinstance(value, int | float) else "string")


def _objections(variable: Variable, value: Any, pointer: str) -> list[Finding]:
    if isinstance(value, str) and len(value) > LONGEST_VALUE:
        message = f"variable {variable.name!r}: has {len(value)} characters, at most {LONGEST_VALUE} are allowed"
        return [Finding("variable_value", message, pointer)]
    try:
        check_value(variable, value)
    except InvalidPolicy as refusal:
        return [finding.at(pointer) for finding in refusal.findings]
    return []
