"""Putting the values of variables into queries, label values and annotations.

Only ``{{ .name }}`` of a declared variable is replaced (``{{- .name -}}`` takes the white space beside it along).
In labels and annotations every other action is Prometheus' and passes through; in a query nothing may be left.

In a query a value can never change the structure: the query with the value and the query with a neutral value of the
same type (``1``, ``1m``, a name) must have the same shape. Where a placeholder stands decides what fits there:

| type             | in quotes                        | outside quotes                           |
| ---------------- | -------------------------------- | ---------------------------------------- |
| number, duration | as text                          | as a literal                             |
| string, enum     | backslashes escaped, no quotes   | a name for a metric's or a label's name  |
| regex            | backslashes escaped, no quotes   | never                                    |
| bool             | ``true`` / ``false``             | ``1`` / ``0``: PromQL has no booleans    |
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from alerts.domain import template_text
from alerts.domain.errors import Finding, InvalidPolicy, PromqlError
from alerts.domain.layers import Variable
from alerts.domain.names import check_text, shown
from alerts.domain.promql.expression import Expression, parse
from alerts.domain.promql.shape import shape
from alerts.domain.promql.tree import ParenNode
from alerts.domain.template_text import Part, TemplateText
from alerts.domain.variables import Bound, bind, undeclared, value_pointer

NEVER_RULES = {"matrix": "a range of values", "subquery": "a range of values", "string": "a string"}
"""What Prometheus loads without a word and then cannot evaluate as a rule."""
LONGEST_QUERY = 8192
"""Bytes a person may write; what is compiled from it may be longer."""

_Values = tuple[tuple[str, Any, type], ...]
_STATE_CHANGE = re.compile(r"""["'`#\\\n]""")
_IDENTIFIER = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_UNQUOTABLE = re.compile("[\"'`\n\r]")


def placeholders(text: str) -> tuple[str, ...]:
    """The names of the variables a text uses, in order of first appearance."""
    return template_text.read(text).names if "{{" in text else ()


# --- queries ----------------------------------------------------------------------------------------------------------


def render_query(query: str, variables: Sequence[Variable], values: Mapping[str, Any]) -> str:
    """The query with its values in place. Its shape is the template's, or InvalidPolicy names the culprit."""
    if "{{" not in query and "}}" not in query:
        if variables or values:
            _bound(tuple(variables), values)
        return query
    try:
        return _rendered_query(query, tuple(variables), _remembered(values))
    except TypeError:
        _bound(tuple(variables), values)
        raise


def check_query_template(query: str, variables: Sequence[Variable]) -> list[Finding]:
    """Everything wrong with a query template whatever its values, with offsets into the text as written."""
    finding = check_text(query, layout=True)
    if finding is None and len(query.encode()) > LONGEST_QUERY:
        message = f"the query has {len(query.encode())} bytes, at most {LONGEST_QUERY} are allowed"
        finding = Finding("too_long", message, hint="record a part of it as a rule of its own")
    if finding is None and not query.strip():
        finding = Finding("required", "the query must not be empty")
    if finding is not None:
        return [finding]
    if "{{" in query or "}}" in query:
        return _check_filled(query, tuple(variables))
    try:
        return _check_kind(parse(query))
    except PromqlError as refusal:
        return list(refusal.findings)


def _check_filled(query: str, declared: tuple[Variable, ...]) -> list[Finding]:
    template = template_text.read(query)
    findings = _query_faults(query, template, declared)
    if findings:
        return findings
    try:
        return _check_kind(parse(_fill(query, template, _neutral(declared))))
    except PromqlError as refusal:
        return [_as_written(finding, query, template, declared) for finding in refusal.findings]
    except InvalidPolicy as refusal:
        return list(refusal.findings)


def _check_kind(expression: Expression) -> list[Finding]:
    found = expression.tree
    while isinstance(found, ParenNode):
        found = found.expr
    if found.kind in NEVER_RULES:
        message = f"it gives {NEVER_RULES[found.kind]}: Prometheus loads such a rule and then fails at every evaluation"
        return [Finding("no_vector", message, hint="a rule's query gives a value per series, or one number")]
    return []


def neutral_query(query: str, variables: Sequence[Variable]) -> str:
    """The query with a neutral value of the right type in every place: what a judge can read of a sound template."""
    declared = tuple(variables)
    return _fill(query, template_text.read(query), _neutral(declared))


def check_query_value(query: str, variables: Sequence[Variable], variable: Variable, text: str) -> list[Finding]:
    """The objections to one value of a sound query template, the other variables being neutral."""
    if variable.name not in placeholders(query):
        return []
    bound = tuple((v, text if v.name == variable.name else neutral) for v, neutral in _neutral(tuple(variables)))
    try:
        fault = _filled(query, bound)[1]
    except InvalidPolicy as refusal:
        return list(refusal.findings)
    return [] if fault is None else [_changes_structure(variable, text, fault)]


@lru_cache(maxsize=8192)
def _rendered_query(query: str, variables: tuple[Variable, ...], values: _Values) -> str:
    _prepared(query, variables)
    bound = _remembered_bound(variables, values)
    rendered, fault = _filled(query, bound)
    if fault is not None:
        raise InvalidPolicy(_culprits(query, bound, fault))
    return rendered


def _filled(query: str, bound: Bound) -> tuple[str, str | None]:
    """The query with these texts in place, and what is wrong with it."""
    template = template_text.read(query)
    rendered = _fill(query, template, bound)
    try:
        if shape(rendered) == _expected_shape(query, template, bound):
            return rendered, None
        return rendered, "would change the structure of the query"
    except PromqlError as refusal:
        return rendered, f"makes a query that cannot be read: {refusal.findings[0].message}"


@lru_cache(maxsize=2048)
def _prepared(query: str, variables: tuple[Variable, ...]) -> Hashable:
    """The shape every rendering of a template must have; InvalidPolicy where the template itself is at fault."""
    findings = check_query_template(query, variables)
    if findings:
        raise InvalidPolicy(findings)
    return shape(_fill(query, template_text.read(query), _neutral(variables)))


def _query_faults(query: str, template: TemplateText, variables: tuple[Variable, ...]) -> list[Finding]:
    if template.broken is not None:
        return [template.broken]
    declared = {variable.name: variable for variable in variables}
    findings = []
    for part, quote in zip(template.parts, _quotes(query), strict=True):
        if part.kind == "action":
            message = f"{shown(part.text)} is not a variable"
            hint = "in a query only {{ .name }} of a declared variable can stand"
            findings.append(Finding("template_broken", message, offset=part.start, hint=hint))
        elif part.kind == "text" and "}}" in part.text:
            offset = part.start + part.text.index("}}")
            findings.append(Finding("template_broken", "a }} closes nothing", offset=offset, hint="open it with {{"))
        elif part.kind == "placeholder" and part.text not in declared:
            findings.append(replace(undeclared(part.text, variables), offset=part.start))
        elif part.kind == "placeholder" and declared[part.text].type == "regex" and not quote:
            message = f"variable {part.text!r}: a regex can only stand in quotes"
            findings.append(Finding("variable_position", message, offset=part.start))
        elif part.kind == "placeholder" and quote == "\\":
            message = f"variable {part.text!r}: a backslash before it would take its first character away"
            findings.append(Finding("variable_position", message, offset=part.start))
    return findings


@lru_cache(maxsize=2048)
def _quotes(query: str) -> tuple[str, ...]:
    """For each part the kind of quote it begins in: ``"``, ``'``, a backtick, ``#`` (a comment), or "" for none.

    A backslash says that the quote is a bad place to begin in: the text before ends in an escape.
    """
    found = []
    state = ""
    for part in template_text.read(query).parts:
        found.append(state)
        if part.kind != "text":
            continue
        state = "" if state == "\\" else state
        skip = -1
        for match in _STATE_CHANGE.finditer(part.text):
            character = match[0]
            if match.start() == skip:
                continue
            if character == "\\" and state in ('"', "'"):
                skip = match.end()
                if skip == len(part.text):
                    state = "\\"
            elif state == "" and character in "\"'`#":
                state = character
            elif character == state or (state == "#" and character == "\n"):
                state = ""
    return tuple(found)


def _fill(query: str, template: TemplateText, bound: Bound) -> str:
    """The text with each placeholder replaced as its place demands."""
    values = {variable.name: (variable, text) for variable, text in bound}
    pieces = [
        _fitting(*values[part.text], quote) if part.kind == "placeholder" else part.text
        for part, quote in zip(template.parts, _quotes(query), strict=True)
    ]
    return "".join(pieces)


def _fitting(variable: Variable, text: str, quote: str) -> str:
    if variable.type in ("number", "duration"):
        return text
    if variable.type == "bool":
        return text if quote in ('"', "'", "`") else str(int(text == "true"))
    if _UNQUOTABLE.search(text):
        message = f"variable {variable.name!r}: {shown(text)} has a quote or a line end in it"
        hint = "in a query a value holds no quotes; a dot matches one in a regex"
        raise InvalidPolicy(Finding("variable_changes_structure", message, value_pointer(variable.name), hint))
    if quote in ('"', "'"):
        return text.replace("\\", "\\\\")
    if quote == "" and not _IDENTIFIER.fullmatch(text):
        message = f"variable {variable.name!r}: {shown(text)} is not a name, and it stands outside quotes"
        raise InvalidPolicy(Finding("variable_changes_structure", message, value_pointer(variable.name)))
    return text


_NEUTRAL = {"number": "1", "duration": "1m", "regex": "x", "bool": "true"}


def _neutral(variables: tuple[Variable, ...]) -> Bound:
    """A value of each type that fits everywhere its type does. A name is recognised again in the shape."""
    return tuple((variable, _NEUTRAL.get(variable.type) or _neutral_name(variable)) for variable in variables)


def _neutral_name(variable: Variable) -> str:
    return f"A_{variable.name}_Z"  # variables are lower-case: none of these contains another


def _expected_shape(query: str, template: TemplateText, bound: Bound) -> Hashable:
    """The template's shape, with the names that stand outside quotes."""
    expected = _prepared(query, tuple(variable for variable, _ in bound))
    outside = {
        part.text
        for part, quote in zip(template.parts, _quotes(query), strict=True)
        if part.kind == "placeholder" and quote == ""
    }
    for variable, text in bound:
        if variable.name in outside and variable.type in ("string", "enum"):
            expected = _renamed(expected, _neutral_name(variable), text)
    return expected


def _renamed(shape_part: Any, old: str, new: str) -> Any:
    if isinstance(shape_part, str):
        return shape_part.replace(old, new)
    if isinstance(shape_part, tuple):
        return tuple([_renamed(member, old, new) for member in shape_part])
    return shape_part


def _culprits(query: str, bound: Bound, fault: str) -> list[Finding]:
    """The variables whose value alone already changes the shape; all that are used, when only together they do."""
    variables = tuple(variable for variable, _ in bound)
    alone = [finding for variable, text in bound for finding in check_query_value(query, variables, variable, text)]
    used = placeholders(query)
    return alone or [_changes_structure(variable, text, fault) for variable, text in bound if variable.name in used]


def _changes_structure(variable: Variable, text: str, fault: str) -> Finding:
    hint = "put the placeholder in parentheses" if text.startswith("-") and variable.type == "number" else ""
    message = f"variable {variable.name!r}: {shown(text)} {fault}"
    return Finding("variable_changes_structure", message, value_pointer(variable.name), hint)


def _as_written(finding: Finding, query: str, template: TemplateText, variables: tuple[Variable, ...]) -> Finding:
    """A finding about the filled-in text, placed in the template."""
    if finding.offset is None:
        return finding
    texts = {variable.name: (variable, text) for variable, text in _neutral(variables)}
    message, at, filled = finding.message, len(query), 0
    for part, quote in zip(template.parts, _quotes(query), strict=True):
        length = len(part.text) if part.kind == "text" else len(_fitting(*texts[part.text], quote))
        if finding.offset < filled + length:
            at = part.start + (finding.offset - filled if part.kind == "text" else 0)
            if part.kind == "placeholder":
                shown_name = message.replace(texts[part.text][1], f"{{{{ .{part.text} }}}}")
                message = f"variable {part.text!r} cannot stand here: {shown_name}"
            break
        filled += length
    before = query[:at]
    return replace(finding, message=message, offset=at, line=before.count("\n") + 1, column=at - before.rfind("\n"))


# --- label values and annotations -------------------------------------------------------------------------------------


def render_text(template: str, variables: Sequence[Variable], values: Mapping[str, Any]) -> str:
    """A label value or annotation with our values in place and Prometheus' actions untouched."""
    if "{{" not in template:
        return template
    if not _sound(template).names:
        return template
    try:
        return _rendered_text(template, tuple(variables), _remembered(values))
    except TypeError:
        _bound(tuple(variables), values)
        raise


def check_text_template(text: str, variables: Sequence[Variable] | None) -> list[Finding]:
    """Everything wrong with a label value or annotation. ``variables`` None: any name may be declared."""
    if "{{" not in text and "}}" not in text:
        return []
    template = template_text.read(text)
    findings = list(template.faults)
    if variables is not None:
        declared = {variable.name for variable in variables}
        findings += [
            replace(undeclared(part.text, tuple(variables)), offset=part.start)
            for part in template.parts
            if part.kind == "placeholder" and part.text not in declared
        ]
    return findings


@lru_cache(maxsize=4096)
def _sound(text: str) -> TemplateText:
    template = template_text.read(text)
    if template.faults:
        raise InvalidPolicy(template.faults)
    return template


@lru_cache(maxsize=8192)
def _rendered_text(text: str, variables: tuple[Variable, ...], values: _Values) -> str:
    template = template_text.read(text)
    bound = {variable.name: value for variable, value in _remembered_bound(variables, values)}
    missing = [undeclared(name, variables) for name in template.names if name not in bound]
    if missing:
        raise InvalidPolicy(missing)

    def with_value(part: Part) -> str:
        return bound[part.text] if part.kind == "placeholder" else part.text

    rendered = "".join(map(with_value, template.parts))
    # "{" at the end of a value and "{" after it would open an action
    result = template_text.read(rendered)
    if result.broken or result.names or result.actions != template.actions:
        culprit = next(name for name in template.names if "{" in bound[name] or "}" in bound[name])
        message = f"variable {culprit!r}: {shown(bound[culprit])} would open or close an action where it stands"
        raise InvalidPolicy(Finding("variable_value", message, value_pointer(culprit)))
    return rendered


# --- remembering ------------------------------------------------------------------------------------------------------


def _remembered(values: Mapping[str, Any]) -> _Values:
    """Values as a cache key; the class tells 1, 1.0 and true apart."""
    return tuple([(name, value, value.__class__) for name, value in values.items()])


def _bound(variables: tuple[Variable, ...], values: Mapping[str, Any]) -> Bound:
    try:
        return _remembered_bound(variables, _remembered(values))
    except TypeError:  # a list or an object: no variable may have one
        return bind(variables, values)


@lru_cache(maxsize=4096)
def _remembered_bound(variables: tuple[Variable, ...], values: _Values) -> Bound:
    return bind(variables, {name: value for name, value, _ in values})
