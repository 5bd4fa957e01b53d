"""One layer (an alert rule), and one alert template."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from alerts.domain.errors import Finding, InvalidPolicy
from alerts.domain.layers import Kind, Layer, Topology, Variable
from alerts.domain.names import LONGEST_NAME, below, check_name, check_text, is_metric_name, json_type, shown
from alerts.domain.templating import check_query_template, check_query_value, render_query
from alerts.domain.variables import check_value

from .config import SEVERITIES, check_config, check_severity

KINDS = ("alerting", "recording")
STRATEGIES = ("override", "merge")
MOST_UNSCOPED = 64
LARGEST_PRIORITY = 2**31 - 1
LONGEST_DESCRIPTION = 16_384


def check_layer(layer: Layer, topology: Topology, severities: Collection[str] = SEVERITIES) -> list[Finding]:
    """Everything wrong with a layer that shows without the other layers of its key."""
    findings = _check_choice(layer.kind, "/kind", KINDS) + _check_choice(layer.strategy, "/merge_strategy", STRATEGIES)
    findings += _optional(check_name(layer.key, "/key"))
    if layer.name is not None:
        findings += _optional(check_name(layer.name, "/name"))
    if layer.kind == "recording":
        findings += _check_recorded_name(layer)
    if layer.severity is not None:
        findings += check_severity(layer.severity, "/severity", severities)
    findings += _check_priority(layer.priority)
    for pointer, flag, inherits in (("/enabled", layer.enabled, True), ("/allow_split", layer.allow_split, False)):
        if not isinstance(flag, bool) and not (flag is None and inherits):
            findings.append(Finding("type", f"must be true or false, not {json_type(flag)}", pointer))
    variables = None if layer.query is None else layer.variables
    for pointer, config in (("/default_config", layer.default_config), ("/config", layer.config)):
        findings += check_config(
            config, pointer, kind=layer.kind, topology=topology, severities=severities, variables=variables
        )
    if layer.query is None:
        return findings + _check_without_query(layer)
    findings += _check_query(
        layer.query, layer.variables, {"/default_config": layer.default_config, "/config": layer.config}
    )
    findings += _check_unscoped(layer.unscoped)
    return findings + _check_partition(layer.partition_by, topology)


def check_template(
    *,
    name: Any,
    query_template: Any,
    topology: Topology,
    kind: Kind = "alerting",
    severity: str | None = None,
    default_config: Mapping[str, Any] | None = None,
    variables: tuple[Variable, ...] = (),
    unscoped: Sequence[str] = (),
    description: str = "",
    severities: Collection[str] = SEVERITIES,
) -> list[Finding]:
    """Everything wrong with an alert template. Its name is a title: a rule made from it brings its own."""
    findings = _optional(check_name(name, "/name")) + _check_choice(kind, "/kind", KINDS)
    findings += _optional(check_text(description, "/description", longest=LONGEST_DESCRIPTION, layout=True))
    if severity is not None:
        findings += check_severity(severity, "/severity", severities)
    config = {} if default_config is None else default_config
    findings += check_config(
        config, "/default_config", kind=kind, topology=topology, severities=severities, variables=variables
    )
    if not isinstance(query_template, str):
        findings.append(Finding("type", f"must be a string, not {json_type(query_template)}", "/query_template"))
    else:
        findings += _check_query(query_template, variables, {"/default_config": config})
    return findings + _check_unscoped(unscoped)


def _check_query(query: str, variables: tuple[Variable, ...], configs: Mapping[str, Any]) -> list[Finding]:
    """The template by itself, then with each value the layer brings, then with all of them together."""
    findings = [finding.at("/query_template") for finding in check_query_template(query, variables)]
    if findings:
        return findings
    declared = {variable.name: variable for variable in variables}
    values = {}
    for index, variable in enumerate(variables):
        if variable.default is not None:
            findings += _check_in_query(query, variables, variable, variable.default, f"/variables/{index}/default")
            values[variable.name] = variable.default
    for pointer, config in configs.items():
        given = config.get("template_vars") if isinstance(config, Mapping) else None
        for name, value in given.items() if isinstance(given, Mapping) else ():
            if name in declared and value is not None:
                place = below(pointer, "template_vars", name)
                findings += _check_in_query(query, variables, declared[name], value, place)
                values[name] = value
    if findings or len(values) < len(declared):
        return findings
    try:
        render_query(query, variables, values)
    except InvalidPolicy as refusal:
        # a mistyped value has its own finding, where it is written
        findings += [f.at("/query_template") for f in refusal.findings if f.code == "variable_changes_structure"]
    return findings


def _check_in_query(
    query: str, variables: tuple[Variable, ...], variable: Variable, value: Any, pointer: str
) -> list[Finding]:
    try:
        text = check_value(variable, value)
    except InvalidPolicy:
        return []  # said already, by the check of the config or of the declaration
    return [finding.at(pointer) for finding in check_query_value(query, variables, variable, text)]


def _check_recorded_name(layer: Layer) -> list[Finding]:
    """A recording rule is named by the series it writes; without a name, by its key."""
    pointer, name = ("/key", layer.key) if layer.name is None else ("/name", layer.name)
    if (layer.name is None and layer.query is None) or not isinstance(name, str) or is_metric_name(name):
        return []
    hint = "use letters, digits, _ and :, not a digit first, as in job:requests:rate5m"
    return [Finding("metric_name", f"{shown(name)} is not a name for a recorded series", pointer, hint)]


def _check_without_query(layer: Layer) -> list[Finding]:
    findings = []
    if layer.strategy == "override":
        hint = 'write one, or use "merge" to change only what the config says'
        findings.append(Finding("query_required", "an override needs a query", "/query_template", hint))
    for field in ("variables", "default_config", "unscoped", "partition_by", "allow_split"):
        if getattr(layer, field):
            message = f"{field} belongs to a query, and this layer has none"
            findings.append(Finding("needs_query", message, f"/{field}", "remove it, or write a query_template"))
    return findings


def _check_unscoped(names: Any) -> list[Finding]:
    pointer = "/unscoped"
    if not isinstance(names, list | tuple):
        return [Finding("type", f"must be an array of metric names, not {json_type(names)}", pointer)]
    if len(names) > MOST_UNSCOPED:
        return [Finding("too_many", f"has {len(names)} metrics, at most {MOST_UNSCOPED} are allowed", pointer)]
    findings = []
    for index, name in enumerate(names):
        if not isinstance(name, str) or not is_metric_name(name) or len(name) > LONGEST_NAME:
            findings.append(Finding("metric_name", f"{shown(name)} is not a metric name", below(pointer, index)))
        elif name in names[:index]:
            findings.append(Finding("duplicate", f"{name!r} is listed twice", below(pointer, index)))
    return findings


def _check_partition(names: Any, topology: Topology) -> list[Finding]:
    pointer = "/partition_by"
    if not isinstance(names, list | tuple):
        return [Finding("type", f"must be an array of namespaces, not {json_type(names)}", pointer)]
    known = topology.namespace_by_name
    findings = []
    for index, name in enumerate(names):
        if not isinstance(name, str) or name not in known:
            hint = f"known are: {', '.join(sorted(known))}"
            findings.append(
                Finding("namespace_unknown", f"there is no namespace {shown(name)}", below(pointer, index), hint)
            )
        elif name in names[:index]:
            findings.append(Finding("duplicate", f"{name!r} is listed twice", below(pointer, index)))
    return findings


def _check_priority(priority: Any) -> list[Finding]:
    if isinstance(priority, bool) or not isinstance(priority, int):
        return [Finding("type", f"must be a whole number, not {json_type(priority)}", "/priority")]
    if abs(priority) > LARGEST_PRIORITY:
        message = f"{shown(priority)} is beyond ±{LARGEST_PRIORITY}"
        return [Finding("out_of_range", message, "/priority")]
    return []


def _check_choice(value: Any, pointer: str, choices: Sequence[str]) -> list[Finding]:
    if value in choices:
        return []
    return [Finding("choice", f"{shown(value)} is not one of {', '.join(choices)}", pointer)]


def _optional(finding: Finding | None) -> list[Finding]:
    return [] if finding is None else [finding]
