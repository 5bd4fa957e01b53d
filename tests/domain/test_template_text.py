"""Go's template syntax, as far as it shows without running it. promtool was asked about every row."""

import json
from pathlib import Path

import pytest

from alerts.domain import template_text
from alerts.domain.templating import check_text_template, render_text

CORPUS = json.loads((Path(__file__).parent.parent / "corpora" / "annotations.json").read_text())
REAL_TEXTS = [text for source in CORPUS["sources"] for text in source["texts"]]


def test_every_real_annotation_passes_and_stays_as_it_is() -> None:
    assert len(REAL_TEXTS) > 300
    for text in REAL_TEXTS:
        assert check_text_template(text, ()) == [], text
        assert render_text(text, (), {}) == text


def test_real_annotations_that_cannot_work_are_refused() -> None:
    for text in CORPUS["refused"] + CORPUS["accepted_by_promtool_only"]:
        assert check_text_template(text, ()), text


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{{ $value | humanize }} of {{ $labels.instance }}", "Prometheus' own variables"),
        ("{{ .Labels.instance }} {{ .Value }}", "fields of the data"),
        ('{{ printf "%.1f a .b" $value }}', "a lower-case word after a dot in a string"),
        ("{{ printf `.raw {{ .x }}` }}", "braces in a raw string"),
        ('{{ "{{" }} and {{ "}}" }}', "braces in strings"),
        ('{{ "a \\" }} b" }}', "an escaped quote"),
        ("{{ '}' }}", "a character"),
        ("{{/* a comment with .field and }} in it */}}", "a comment"),
        ("{{- /* trimmed */ -}}", "a trimmed comment"),
        ("{{ if gt $value 0.5 }}a{{ else if .Labels.x }}b{{ else }}c{{ end }}", "blocks that are closed"),
        ('{{ range $i, $e := query "up" }}{{ $i }}{{ $e.Labels.job }}{{ end }}', "variables it defines"),
        ('{{ with query "up" }}{{ . | first | value | humanize }}{{ end }}', "the dot alone"),
        ("{{ $x := 5 }}{{ $x }}", "a variable it defines"),
        ("{{\n  $value\n}}", "lines in an action"),
        ('{"a": {"b": {{ $value }}}}', "JSON around an action"),
        ("a } b { c", "single braces"),
        ("{{ (index $labels 0).foo }}", "a field of something in parentheses"),
        ("{{ .5 }}", "a number that begins with a dot"),
    ],
)
def test_what_belongs_to_prometheus_passes(text: str, what: str) -> None:
    assert check_text_template(text, ()) == [], what
    assert render_text(text, (), {}) == text


@pytest.mark.parametrize(
    ("text", "code", "offset", "what"),
    [
        ("at {{ $value", "template_broken", 3, "an action without an end"),
        ("{{ $value }", "template_broken", 0, "one brace short"),
        ('{{ "a }}', "template_broken", 0, "a string without an end"),
        ("{{ `a }}", "template_broken", 0, "a raw string without an end"),
        ("{{ '' }} {{ $value }} {{", "template_broken", 22, "a late one"),
        ("{ $value }}", "template_broken", 9, "an action without a beginning"),
        ("$value }}", "template_broken", 7, "only an end"),
        ("{{ }}", "template_broken", 0, "nothing in it"),
        ("{{/* no end }}", "template_broken", 0, "a comment without an end"),
        ("{{ {{ $value }} }}", "template_broken", 0, "one in another"),
        ("{{ $vlaue }}", "template_broken", 0, "a name nobody knows"),
        ("{{ if $value }}yes", "template_broken", 0, "a block without an end"),
        ("yes{{ end }}", "template_broken", 3, "an end without a block"),
        ("{{ else }}", "template_broken", 0, "else without a block"),
        ("{{ .threshold | humanize }}", "template_field", 0, "a field in a pipeline"),
        ("{{ if .foo }}x{{ end }}", "template_field", 0, "a field in a condition"),
        ("{{ humanize .threshold }}", "template_field", 0, "a field as an argument"),
        ("{{ printf `%v` (.threshold) }}", "template_field", 0, "a field in parentheses"),
        ("{{ $.threshold }}", "template_field", 0, "a field of the root"),
        ("over {{ .threshold }}", "variable_undeclared", 5, "a variable nobody declared"),
        ("over {{.threshold}}", "variable_undeclared", 5, "the same without spaces"),
    ],
)
def test_what_can_only_be_a_mistake_is_refused(text: str, code: str, offset: int, what: str) -> None:
    assert [(finding.code, finding.offset) for finding in check_text_template(text, ())][:1] == [(code, offset)], what


def test_all_faults_of_a_text_are_reported() -> None:
    findings = check_text_template("{{ .a | b }} {{ $nope }} {{ .c }}", ())
    assert {finding.code for finding in findings} == {"template_field", "template_broken", "variable_undeclared"}


def test_without_declarations_any_variable_may_be_meant() -> None:
    assert check_text_template("over {{ .threshold }}", None) == []
    assert check_text_template("over {{ .threshold | humanize }}", None) != []


@pytest.mark.parametrize(
    "text",
    [
        "{{" * 20_000,
        '{{ "' + "\\" * 20_000,
        "{{ " + "'" * 20_001,
        "{{/*" * 10_000,
        "{{/* }}" * 6000,
        "}}" * 20_000,
        "{{ a }" * 9000,
    ],
)
def test_hostile_texts_are_read_in_no_time(text: str) -> None:
    template_text.read.cache_clear()
    assert check_text_template(text, ())
