from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alerts.domain.errors import Finding, InvalidPolicy
from alerts.domain.layers import Variable
from alerts.domain.promql.expression import parse
from alerts.domain.promql.shape import shape
from alerts.domain.templating import (
    check_query_template,
    check_text_template,
    placeholders,
    render_query,
    render_text,
)

VARIABLES = (
    Variable("threshold", "number", default=80),
    Variable("window", "duration", default="5m"),
    Variable("text", "string", default="x"),
    Variable("pattern", "regex", default="x"),
    Variable("flag", "bool", default=True),
    Variable("mode", "enum", default="idle", values=("idle", "user", 'a"b', "two words")),
)


def objections(template: str, values: dict[str, Any], render: Any = render_query) -> list[Finding]:
    with pytest.raises(InvalidPolicy) as refusal:
        render(template, VARIABLES, values)
    return list(refusal.value.findings)


@pytest.mark.parametrize(
    ("query", "values", "rendered"),
    [
        ("up == 0", {}, "up == 0"),
        ("x > {{ .threshold }}", {}, "x > 80"),
        ("x > {{.threshold}}", {"threshold": 0.5}, "x > 0.5"),
        ("x > (  {{- .threshold -}}\n) or y", {}, "x > (80) or y"),
        ("x > {{ .threshold }}", {"threshold": -5}, "x > -5"),
        ("x - {{ .threshold }}", {"threshold": -5}, "x - -5"),
        ("({{ .threshold }}) ^ 2 < x", {"threshold": -5}, "(-5) ^ 2 < x"),
        ("x > {{ .threshold }}", {"threshold": 10**21}, "x > 1e+21"),
        ("rate(x[{{ .window }}]) > {{ .threshold }}", {"window": "1h30m"}, "rate(x[1h30m]) > 80"),
        ("x offset {{ .window }}", {}, "x offset 5m"),
        ("rate(x[{{ .threshold }}m])", {"threshold": 15}, "rate(x[15m])"),
        ('x{a="{{ .text }}"}', {"text": "C:\\dir"}, 'x{a="C:\\\\dir"}'),
        ("x{a='{{ .text }}'}", {"text": "C:\\dir"}, "x{a='C:\\\\dir'}"),
        ("x{a=`{{ .text }}`}", {"text": "C:\\dir"}, "x{a=`C:\\dir`}"),
        ('x{a="it\'s \\" {{ .text }}"}', {"text": "\\"}, 'x{a="it\'s \\" \\\\"}'),
        ('x{a=~"{{ .pattern }}"}', {"pattern": r"\d+|a{2}"}, r'x{a=~"\\d+|a{2}"}'),
        ('x{a=~"{{ .text }}-{{ .pattern }}"}', {"text": "{}"}, 'x{a=~"{}-x"}'),
        ('x{mode="{{ .mode }}"}', {"mode": "user"}, 'x{mode="user"}'),
        ('x{mode="{{ .mode }}"}', {"mode": "two words"}, 'x{mode="two words"}'),
        ("node_{{ .mode }}_total > 1", {}, "node_idle_total > 1"),
        ("sum by (job, {{ .text }}) (x)", {"text": "instance"}, "sum by (job, instance) (x)"),
        ('x{enabled="{{ .flag }}"}', {"flag": False}, 'x{enabled="false"}'),
        ("x == {{ .flag }}", {"flag": False}, "x == 0"),
        ("x # not {{ .text }}\n> {{ .threshold }}", {"text": "a b"}, "x # not a b\n> 80"),
        ('x # "\n> {{ .threshold }}', {}, 'x # "\n> 80'),
    ],
)
def test_values_take_the_place_of_variables_in_a_query(query: str, values: dict[str, Any], rendered: str) -> None:
    assert check_query_template(query, VARIABLES) == []
    assert render_query(query, VARIABLES, values) == rendered
    parse(rendered)


@pytest.mark.parametrize(
    ("query", "values", "code", "name", "what"),
    [
        ("x > {{ .text }}", {"text": "80 or vector(1)"}, "variable_changes_structure", "text", "an expression"),
        ("x > {{ .threshold }}", {"threshold": "80 or vector(1)"}, "variable_type", "threshold", "one for a number"),
        ('x{a="{{ .text }}"}', {"text": '"} or up{'}, "variable_changes_structure", "text", "a way out of the quotes"),
        ("x{a='{{ .text }}'}", {"text": "' or '"}, "variable_changes_structure", "text", "the same in single ones"),
        ("x{a=`{{ .text }}`}", {"text": "` or `"}, "variable_changes_structure", "text", "the same in backticks"),
        ('x{a="{{ .text }}"}', {"text": "a\nb"}, "variable_changes_structure", "text", "a line end"),
        ('x{a="{{ .mode }}"}', {"mode": 'a"b'}, "variable_changes_structure", "mode", "a choice with a quote"),
        ("{{ .mode }} > 1", {"mode": "two words"}, "variable_changes_structure", "mode", "a choice that is no name"),
        ("x # {{ .text }}\n> 1", {"text": "a\r+ 1"}, "variable_changes_structure", "text", "an end of a comment"),
        (
            "{{ .threshold }} ^ 2 < x",
            {"threshold": -5},
            "variable_changes_structure",
            "threshold",
            "a sign that binds less",
        ),
        (
            "x{{ .threshold }}",
            {"threshold": -5},
            "variable_changes_structure",
            "threshold",
            "a sign that becomes a minus",
        ),
        ("rate(x[{{ .threshold }}m])", {"threshold": 0.5}, "variable_changes_structure", "threshold", "half a minute"),
        ("rate(x[{{ .window }}])", {"window": "0"}, "variable_changes_structure", "window", "no time at all"),
        ("{{ .text }} > 1", {"text": "inf"}, "variable_changes_structure", "text", "a name that is a number"),
        ("x * {{ .text }}", {"text": "on"}, "variable_changes_structure", "text", "a name that is a keyword"),
        (
            '{a=~"{{ .pattern }}"}',
            {"pattern": ".*"},
            "variable_changes_structure",
            "pattern",
            "a selector of everything",
        ),
        ('x{a="{{ .text }}"}', {"text": "{{ .mode }}"}, "variable_value", "text", "a template"),
        ("x > {{ .threshold }}", {"nope": 1}, "variable_undeclared", "nope", "a value for nobody"),
        ("up", {"nope": 1}, "variable_undeclared", "nope", "the same without placeholders"),
        ("up", {"threshold": [1]}, "variable_type", "threshold", "an array"),
        ("x > {{ .threshold }}", {"threshold": {"a": 1}}, "variable_type", "threshold", "an object"),
    ],
)
def test_a_value_that_could_change_the_query_is_refused(
    query: str, values: dict[str, Any], code: str, name: str, what: str
) -> None:
    assert check_query_template(query, VARIABLES) == []
    (finding,) = objections(query, values)
    assert (finding.code, finding.pointer) == (code, f"/template_vars/{name}"), what
    assert f"'{name}'" in finding.message


def test_the_guilty_one_of_several_variables_is_named() -> None:
    query = 'x{a="{{ .text }}"} > {{ .threshold }} ^ 2'
    findings = objections(query, {"text": "fine", "threshold": -1})
    assert [finding.pointer for finding in findings] == ["/template_vars/threshold"]


def test_all_are_named_where_only_together_they_are_guilty() -> None:
    variables = (Variable("a", "string"), Variable("b", "string"))
    with pytest.raises(InvalidPolicy) as refusal:
        render_query("x * {{ .a }}{{ .b }}", variables, {"a": "b", "b": "ool"})
    assert [finding.pointer for finding in refusal.value.findings] == ["/template_vars/a", "/template_vars/b"]


def test_a_value_must_come_from_somewhere() -> None:
    with pytest.raises(InvalidPolicy) as refusal:
        render_query("x > {{ .limit }}", (Variable("limit", "number"),), {})
    (finding,) = refusal.value.findings
    assert (finding.code, finding.pointer) == ("variable_missing", "/template_vars/limit")


def test_one_and_true_are_told_apart_when_remembered() -> None:
    assert render_query("x == {{ .threshold }}", VARIABLES, {"threshold": 1}) == "x == 1"
    assert [finding.code for finding in objections("x == {{ .threshold }}", {"threshold": True})] == ["variable_type"]
    assert render_query("x == {{ .threshold }}", VARIABLES, {"threshold": 1.0}) == "x == 1"


@pytest.mark.parametrize(
    ("query", "code", "offset", "what"),
    [
        ("", "required", None, "nothing"),
        ("  ", "required", None, "white space"),
        ("x > {{ .nope }}", "variable_undeclared", 4, "a variable nobody declared"),
        ("x > {{ .threshold", "template_broken", 4, "no end"),
        ("x > .threshold }}", "template_broken", 15, "no beginning"),
        ("x > {{ $value }}", "template_broken", 4, "what only annotations know"),
        ("x > {{ .threshold | humanize }}", "template_broken", 4, "a pipeline"),
        ("x > {{ .Threshold }}", "template_broken", 4, "a capital"),
        ("x > {{ }}", "template_broken", 4, "nothing in braces"),
        ('x{a="{{"}', "template_broken", 5, "braces in a string"),
        ("x >> {{ .threshold }}", "invalid_promql", 3, "two operators"),
        ("x > {{ .threshold }} {{ .threshold }} )", "invalid_promql", 21, "two numbers: the offset is the template's"),
        ("{{ .mode }}(x)", "invalid_promql", 0, "a variable for a function"),
        ("x{{ .mode }}y > {{ .threshold }} )", "invalid_promql", 33, "an error after placeholders of other lengths"),
        ("x =~ {{ .pattern }}", "variable_position", 5, "a regex outside quotes"),
        ('x{a=~"\\{{ .pattern }}"}', "variable_position", 7, "a backslash before a placeholder"),
        ("x > {{ .threshold }} \x00", "text_invalid", None, "NUL"),
        ("\ud800", "text_invalid", None, "a lone surrogate"),
        ("x + " * 2500 + "x", "too_long", None, "ten kilobytes"),
        ("ü" * 5000, "too_long", None, "ten kilobytes in five thousand characters"),
        ("(" * 100 + "x" + ")" * 100, "too_deep", 64, "too many parentheses"),
        ("+".join("x" * 600), "too_many_operators", None, "too many terms"),
    ],
)
def test_a_bad_template_is_refused_with_its_place(query: str, code: str, offset: int | None, what: str) -> None:
    findings = check_query_template(query, VARIABLES)
    assert findings, what
    assert findings[0].code == code, (what, findings)
    assert offset is None or findings[0].offset == offset, (what, findings)
    if "{{" in query:
        with pytest.raises(InvalidPolicy):
            render_query(query, VARIABLES, {})


def test_line_and_column_are_those_of_the_template() -> None:
    (finding,) = check_query_template("x{{ .mode }}\n  > {{ .threshold }} )", VARIABLES)
    assert (finding.line, finding.column) == (2, 22)


@pytest.mark.parametrize(
    ("text", "values", "rendered"),
    [
        ("plain", {}, "plain"),
        ("over {{ .threshold }} % on {{ $labels.instance }}", {}, "over 80 % on {{ $labels.instance }}"),
        ("{{ $value | humanize }}/{{.threshold}}", {"threshold": 5}, "{{ $value | humanize }}/5"),
        ("a  {{- .threshold -}}\n b", {}, "a80b"),
        ("a {{ .threshold -}} b", {}, "a 80b"),
        ('{{ printf "{{ .threshold }}" }} {{ .threshold }}', {}, '{{ printf "{{ .threshold }}" }} 80'),
        ("{{ .mode }}", {"mode": 'a"b'}, 'a"b'),
        ("{{ .text }}", {"text": 'lines\nand "quotes" \\ {}'}, 'lines\nand "quotes" \\ {}'),
        ("{{ .flag }} {{ .window }}", {}, "true 5m"),
        ("{ {{ .text }} }", {"text": "}"}, "{ } }"),
    ],
)
def test_only_our_variables_are_replaced_in_texts(text: str, values: dict[str, Any], rendered: str) -> None:
    assert check_text_template(text, VARIABLES) == []
    assert render_text(text, VARIABLES, values) == rendered


@pytest.mark.parametrize(
    ("text", "values", "code"),
    [
        ("{{ .text }}{ $labels }", {"text": "{"}, "variable_value"),
        ("{{ .text }}{ .mode }}", {"text": "{"}, "template_broken"),
        ("{{ .text }}{ .Value }{{ .pattern }}", {"text": "{", "pattern": "}"}, "variable_value"),
        ("{{ .text }}{{ .pattern }} .Value", {"text": "a{", "pattern": "{"}, "variable_value"),
        ("{{ .threshold | humanize }} {{ .threshold }}", {}, "template_field"),
        ("{{ .nope }}", {}, "variable_undeclared"),
        ("{{ .threshold }} {{", {}, "template_broken"),
        ("{{ .threshold }}", {"threshold": "80"}, "variable_type"),
        ("{{ .threshold }}", {"threshold": ["80"]}, "variable_type"),
    ],
)
def test_no_value_becomes_a_template(text: str, values: dict[str, Any], code: str) -> None:
    assert {finding.code for finding in objections(text, values, render_text)} == {code}


def test_placeholders_are_listed_once_and_in_order() -> None:
    assert placeholders("{{ .b }} {{.a}} {{ .b }} {{ $c }} {{ printf `{{ .d }}` }}") == ("b", "a")
    assert placeholders("none") == ()


# --- no value can change the structure --------------------------------------------------------------------------------

PLACES = (
    'x{{a="{0}"}} > 1',
    "x{{a='{0}'}} > 1",
    "x{{a=`{0}`}} > 1",
    'x{{a="pre \\\\ \\" {0} \' post", b="{0}"}} > 1',
    'label_replace(x, "a", "{0}", "b", "c")',
    "{0} > 1",
    "sum by ({0}) (x)",
    "x * on({0}) y",
    "x # {0}\n> 1",
    "pre_{0}_post > 1",
    'x{{ {0} ="1"}}',
)
BITS = (
    '"',
    "'",
    "`",
    "\\",
    "{",
    "}",
    "(",
    ")",
    "[5m]",
    ",",
    "\n",
    "\r",
    "#",
    " or ",
    "x",
    "by",
    "bool",
    "inf",
    "=~",
    "1",
    "é",
)
NASTY = st.one_of(st.lists(st.sampled_from(BITS), max_size=6).map("".join), st.text(max_size=12))


@settings(max_examples=600)
@given(template=st.sampled_from(PLACES), value=NASTY)
@example(template=PLACES[0], value='"} or up{')
@example(template=PLACES[0], value="\\")
@example(template=PLACES[2], value="\\")
@example(template=PLACES[5], value="x or y")
@example(template=PLACES[8], value="\n or vector(1)")
def test_a_string_is_refused_or_stays_one_string(template: str, value: str) -> None:
    query = template.replace("{{", "{").replace("}}", "}").replace("{0}", "{{ .v }}")
    variables = (Variable("v", "string"),)
    assert check_query_template(query, variables) == []
    try:
        rendered = render_query(query, variables, {"v": value})
    except InvalidPolicy as refusal:
        assert all("'v'" in finding.message for finding in refusal.findings)  # noqa: PT017
        return
    name = value if value.isidentifier() else "other"
    assert shape(rendered) == shape(query.replace("{{ .v }}", name))
    if template in PLACES[:3]:
        (selector,) = parse(rendered).selectors
        assert [matcher.value for matcher in selector.matchers] == [value]


@settings(max_examples=300)
@given(
    template=st.sampled_from(
        ("x > {0}", "x - {0} * 2", "x ^ {0} ^ 2", "{0} ^ 2 > x", "clamp_min(x, {0})", "topk({0}, x)")
    ),
    value=st.one_of(st.integers(), st.floats()),
)
def test_a_number_is_refused_or_stays_one_number(template: str, value: float) -> None:
    variables = (Variable("v", "number"),)
    try:
        rendered = render_query(template.replace("{0}", "{{ .v }}"), variables, {"v": value})
    except InvalidPolicy as refusal:
        assert all("'v'" in finding.message for finding in refusal.findings)  # noqa: PT017
        return
    assert shape(rendered) == shape(template.replace("{0}", "1"))
    assert shape(rendered) == shape(template.replace("{0}", repr(abs(float(value)))))
