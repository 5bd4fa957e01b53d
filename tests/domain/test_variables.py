import math
from typing import Any

import pytest

from alerts.domain.errors import Finding, InvalidPolicy
from alerts.domain.layers import Variable
from alerts.domain.variables import bind, check_value, variables_from_json


def objections(call: Any, *args: Any) -> list[Finding]:
    with pytest.raises(InvalidPolicy) as refusal:
        call(*args)
    return list(refusal.value.findings)


NUMBER = Variable("threshold", "number", min=0, max=100)
WINDOW = Variable("window", "duration", min="1m", max="2h")
TEXT = Variable("text", "string")
REGEX = Variable("pattern", "regex")
FLAG = Variable("flag", "bool")
CHOICE = Variable("mode", "enum", values=("idle", "user"))
ANY_NUMBER = Variable("n", "number")


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        (NUMBER, 80, "80"),
        (NUMBER, 80.0, "80"),
        (NUMBER, 0.5, "0.5"),
        (NUMBER, 0, "0"),
        (NUMBER, 100, "100"),
        (ANY_NUMBER, -0.0, "0"),
        (ANY_NUMBER, -5, "-5"),
        (ANY_NUMBER, 1e-5, "1e-05"),
        (ANY_NUMBER, 10**20, "100000000000000000000"),
        (ANY_NUMBER, 1e21, "1e+21"),
        (ANY_NUMBER, 10**300, "1e+300"),
        (WINDOW, "5m", "5m"),
        (WINDOW, "90s", "90s"),
        (WINDOW, "120m", "120m"),
        (Variable("w", "duration"), "0", "0s"),
        (TEXT, "", ""),
        (TEXT, 'any "text" {1}', 'any "text" {1}'),
        (REGEX, r"\d+|a{2}", r"\d+|a{2}"),
        (FLAG, True, "true"),
        (FLAG, False, "false"),
        (CHOICE, "user", "user"),
    ],
)
def test_a_value_of_the_type_becomes_its_text(variable: Variable, value: Any, text: str) -> None:
    assert check_value(variable, value) == text


@pytest.mark.parametrize(
    ("variable", "value", "code", "what"),
    [
        (NUMBER, "80", "variable_type", "a number in quotes"),
        (NUMBER, "80 or vector(1)", "variable_type", "an expression for a number"),
        (NUMBER, True, "variable_type", "a boolean for a number"),
        (NUMBER, None, "variable_type", "null"),
        (NUMBER, [80], "variable_type", "an array"),
        (ANY_NUMBER, math.nan, "variable_type", "not a number"),
        (ANY_NUMBER, math.inf, "variable_type", "infinity"),
        (ANY_NUMBER, 10**400, "variable_type", "a number no float holds"),
        (NUMBER, -1, "variable_range", "below the minimum"),
        (NUMBER, 100.5, "variable_range", "above the maximum"),
        (WINDOW, 300, "variable_type", "a number for a duration"),
        (WINDOW, "5 minutes", "variable_type", "not a Prometheus duration"),
        (WINDOW, "59s", "variable_range", "shorter than the minimum, though longer as a text"),
        (WINDOW, "1d", "variable_range", "longer than the maximum"),
        (TEXT, 5, "variable_type", "a number for a string"),
        (TEXT, "{{ .other }}", "variable_value", "a template as a value"),
        (TEXT, "}}", "variable_value", "half a template"),
        (TEXT, "\x00", "variable_value", "NUL"),
        (TEXT, "\ud800", "variable_value", "a lone surrogate"),
        (TEXT, "x" * 5000, "variable_value", "an endless text"),
        (REGEX, "(", "variable_value", "an open group"),
        (REGEX, "a)|(b", "variable_value", "a pattern that leaves the group Prometheus puts it in"),
        (REGEX, "(?=a)", "variable_value", "a look-ahead, which RE2 has not"),
        (REGEX, r"\C", "variable_value", "a byte, which Go has not"),
        (REGEX, "(a{999}){999}", "variable_value", "a pattern that grows without end"),
        (FLAG, "true", "variable_type", "a boolean in quotes"),
        (FLAG, 1, "variable_type", "one for true"),
        (CHOICE, "nice", "variable_value", "a choice nobody declared"),
        (CHOICE, 1, "variable_type", "a number for a choice"),
    ],
)
def test_any_other_value_is_refused_naming_the_variable(variable: Variable, value: Any, code: str, what: str) -> None:
    (finding,) = objections(check_value, variable, value)
    assert finding.code == code, what
    assert f"'{variable.name}'" in finding.message
    assert finding.pointer == f"/template_vars/{variable.name}"
    finding.message.encode()


def test_a_backtracking_bomb_is_just_a_regex() -> None:
    assert check_value(REGEX, "(a*)*b" * 20)


def test_values_come_from_the_layer_then_from_the_default() -> None:
    variables = (Variable("a", "number", default=1), Variable("b", "number", default=2))
    assert bind(variables, {"b": 3}) == ((variables[0], "1"), (variables[1], "3"))


def test_binding_reports_every_fault_at_once() -> None:
    variables = (NUMBER, WINDOW, TEXT)
    findings = objections(bind, variables, {"threshold": 101, "text": None, "nope": 1})
    assert sorted((f.code, f.pointer) for f in findings) == [
        ("variable_missing", "/template_vars/window"),
        ("variable_range", "/template_vars/threshold"),
        ("variable_type", "/template_vars/text"),
        ("variable_undeclared", "/template_vars/nope"),
    ]


def test_a_declaration_keeps_all_it_says() -> None:
    written = {
        "name": "threshold",
        "type": "number",
        "default": 80,
        "min": 0,
        "max": 100,
        "unit": "%",
        "description": "how full",
    }
    assert variables_from_json([written, {"name": "mode", "type": "enum", "values": ["a", "b"], "default": None}]) == (
        Variable("threshold", "number", 80, 0, 100, (), "%", "how full"),
        Variable("mode", "enum", values=("a", "b")),
    )


@pytest.mark.parametrize(
    ("declaration", "pointer", "code"),
    [
        ({"name": "a", "type": "number", "foo": 1}, "/variables/0/foo", "unknown_field"),
        ({"name": "A", "type": "number"}, "/variables/0/name", "name_invalid"),
        ({"name": "a\n", "type": "number"}, "/variables/0/name", "name_invalid"),
        ({"name": "a" * 65, "type": "number"}, "/variables/0/name", "name_invalid"),
        ({"type": "number"}, "/variables/0/name", "name_invalid"),
        ({"name": "a"}, "/variables/0/type", "variable_type"),
        ({"name": "a", "type": "int"}, "/variables/0/type", "variable_type"),
        ({"name": "a", "type": ["number"]}, "/variables/0/type", "variable_type"),
        ({"name": "a", "type": "number", "default": "80"}, "/variables/0/default", "variable_type"),
        ({"name": "a", "type": "number", "default": 5, "max": 4}, "/variables/0/default", "variable_range"),
        ({"name": "a", "type": "number", "min": "1"}, "/variables/0/min", "variable_type"),
        ({"name": "a", "type": "number", "min": True}, "/variables/0/min", "variable_type"),
        ({"name": "a", "type": "number", "min": 2, "max": 1}, "/variables/0/min", "variable_range"),
        ({"name": "a", "type": "duration", "min": "1h", "max": "5m"}, "/variables/0/min", "variable_range"),
        ({"name": "a", "type": "duration", "max": 5}, "/variables/0/max", "variable_type"),
        ({"name": "a", "type": "string", "max": 5}, "/variables/0/max", "variable_range"),
        ({"name": "a", "type": "string", "values": ["x"]}, "/variables/0/values", "variable_value"),
        ({"name": "a", "type": "enum"}, "/variables/0/values", "variable_value"),
        ({"name": "a", "type": "enum", "values": []}, "/variables/0/values", "variable_value"),
        ({"name": "a", "type": "enum", "values": ["x", "x"]}, "/variables/0/values", "variable_value"),
        ({"name": "a", "type": "enum", "values": ["x", 1]}, "/variables/0/values", "variable_value"),
        ({"name": "a", "type": "enum", "values": ["{{"]}, "/variables/0/values", "variable_value"),
        ({"name": "a", "type": "enum", "values": ["x"], "default": "y"}, "/variables/0/default", "variable_value"),
        ({"name": "a", "type": "regex", "default": "("}, "/variables/0/default", "variable_value"),
        ({"name": "a", "type": "number", "unit": 5}, "/variables/0/unit", "type"),
        ({"name": "a", "type": "number", "description": "\x00"}, "/variables/0/description", "text_invalid"),
        ("threshold", "/variables/0", "type"),
        (None, "/variables/0", "type"),
    ],
)
def test_a_bad_declaration_is_refused_where_it_is_bad(declaration: Any, pointer: str, code: str) -> None:
    assert [(f.pointer, f.code) for f in objections(variables_from_json, [declaration])] == [(pointer, code)]


def test_the_list_itself_is_checked() -> None:
    good = {"name": "a", "type": "number"}
    assert [f.code for f in objections(variables_from_json, [good, good])] == ["duplicate"]
    assert [f.code for f in objections(variables_from_json, {"a": "number"})] == ["type"]
    assert [f.code for f in objections(variables_from_json, [good] * 65)] == ["too_many"]
    assert len(objections(variables_from_json, [{"name": "A", "type": "number"}, {"name": "b", "type": "c"}])) == 2
