from typing import Any

import pytest

from alerts.domain.errors import Finding
from alerts.domain.layers import Layer, Namespace, Scope, Topology, Variable
from alerts.domain.validation import check_config, check_layer, check_template

TOPOLOGY = Topology(namespaces=(Namespace("environment", "env", 100), Namespace("logical", "logical", 50)))
THRESHOLD = Variable("threshold", "number", default=80, min=0, max=100)


def layer(**fields: Any) -> Layer:
    """A sound layer with a query, changed as a row of a table says."""
    sound: dict[str, Any] = {
        "rule_id": 1,
        "kind": "alerting",
        "key": "HighCPU",
        "scope": Scope(),
        "name": "High CPU",
        "query": "cpu > {{ .threshold }}",
        "severity": "warning",
        "variables": (THRESHOLD,),
        "config": {
            "for_duration": "5m",
            "keep_firing_for": "0s",
            "interval": "30s",
            "severity": "critical",
            "labels": {"team": "{{ $labels.owner }}"},
            "annotations": {"summary": "over {{ .threshold }} %"},
            "template_vars": {"threshold": 90},
        },
    }
    return Layer(**{**sound, **fields})


def merging(**fields: Any) -> Layer:
    """A sound layer without a query."""
    plain: dict[str, Any] = {"query": None, "strategy": "merge", "variables": (), "severity": None}
    return layer(**{**plain, **fields})


def recording(**fields: Any) -> Layer:
    sound = {"kind": "recording", "key": "cpu", "name": "job:cpu:rate5m", "config": {}}
    return layer(**{**sound, **fields})


def found(findings: list[Finding]) -> list[tuple[str, str]]:
    for finding in findings:
        assert finding.message
        (finding.message + finding.hint + finding.pointer).encode()
    return [(finding.pointer, finding.code) for finding in findings]


@pytest.mark.parametrize(
    ("sound", "what"),
    [
        (layer(), "a layer with everything"),
        (layer(name="Größe: 100 % – ja"), "an alert named in any language"),
        (layer(name=None), "a name that another layer sets, or the key"),
        (layer(config={}, default_config={"labels": {"team": "a"}}), "a default config"),
        (layer(config={"for_duration": None, "labels": {"team": None}, "annotations": None}), "null, which removes"),
        (layer(enabled=None), "inherited"),
        (layer(enabled=False), "muted"),
        (
            layer(unscoped=("maintenance", "job:up:sum"), partition_by=("logical",), allow_split=True),
            "all ways to split",
        ),
        (layer(severity=None), "no severity"),
        (layer(strategy="merge"), "a query that is merged"),
        (layer(priority=-5), "a low priority"),
        (merging(), "only a config"),
        (merging(config={}), "nothing at all"),
        (
            merging(config={"template_vars": {"of_the_query": [0, "x", True][1]}}),
            "values for another layer's variables",
        ),
        (merging(config={"annotations": {"a": "{{ .of_the_query }}"}}), "another layer's variables"),
        (merging(name=None), "no name"),
        (recording(), "a recording rule"),
        (recording(name=None, key="job:cpu:rate5m"), "a series named by its key"),
        (recording(config={"interval": "1m", "labels": {"a": "{{ .threshold }}"}}), "a recording rule's config"),
        (recording(name=None, key="a b", query=None, strategy="merge", variables=()), "a recording rule's merge"),
        (recording(config={"annotations": {}, "for_duration": None}), "nothing that Prometheus would refuse"),
    ],
)
def test_a_sound_layer_has_no_findings(sound: Layer, what: str) -> None:
    assert found(check_layer(sound, TOPOLOGY)) == [], what


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"key": ""}, "/key", "required"),
        ({"key": "a\x00"}, "/key", "text_invalid"),
        ({"key": "x" * 256}, "/key", "too_long"),
        ({"name": ""}, "/name", "required"),
        ({"name": "a\ud800"}, "/name", "text_invalid"),
        ({"name": "two\nlines"}, "/name", "text_invalid"),
        ({"kind": "logging"}, "/kind", "choice"),
        ({"strategy": "replace"}, "/merge_strategy", "choice"),
        ({"severity": "catastrophic"}, "/severity", "severity_unknown"),
        ({"priority": True}, "/priority", "type"),
        ({"priority": 2**40}, "/priority", "out_of_range"),
        ({"enabled": "yes"}, "/enabled", "type"),
        ({"enabled": 1}, "/enabled", "type"),
        ({"allow_split": None}, "/allow_split", "type"),
        ({"query": "cpu >> 1"}, "/query_template", "invalid_promql"),
        ({"query": ""}, "/query_template", "required"),
        ({"query": "cpu > {{ .limit }}"}, "/query_template", "variable_undeclared"),
        ({"query": "cpu > {{ .threshold"}, "/query_template", "template_broken"),
        ({"query": "cpu > 1 # {{ $value }}"}, "/query_template", "template_broken"),
        ({"query": "a" * 20_000}, "/query_template", "too_long"),
        ({"query": "(" * 5000 + "a" + ")" * 3000}, "/query_template", "too_deep"),
        ({"query": "{{ .threshold }} ^ 2 < cpu", "config": {"template_vars": {"threshold": -5}}},
         "/config/template_vars/threshold", "variable_range"),
        ({"unscoped": ("a-b",)}, "/unscoped/0", "metric_name"),
        ({"unscoped": ("a", 5)}, "/unscoped/1", "metric_name"),
        ({"unscoped": ("a", "a")}, "/unscoped/1", "duplicate"),
        ({"unscoped": "abc"}, "/unscoped", "type"),
        ({"partition_by": ("logical", "nowhere")}, "/partition_by/1", "namespace_unknown"),
        ({"partition_by": ("logical", "logical")}, "/partition_by/1", "duplicate"),
        ({"default_config": {"for": "5m"}}, "/default_config/for", "unknown_field"),
    ],
)  # fmt: skip
def test_a_fault_of_a_layer_is_found_where_it_is(fields: dict[str, Any], pointer: str, code: str) -> None:
    assert found(check_layer(layer(**fields), TOPOLOGY)) == [(pointer, code)]


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"strategy": "override"}, "/query_template", "query_required"),
        ({"variables": (THRESHOLD,)}, "/variables", "needs_query"),
        ({"default_config": {"interval": "1m"}}, "/default_config", "needs_query"),
        ({"unscoped": ("a",)}, "/unscoped", "needs_query"),
        ({"partition_by": ("logical",)}, "/partition_by", "needs_query"),
        ({"allow_split": True}, "/allow_split", "needs_query"),
        ({"config": {"template_vars": {"a": [1]}}}, "/config/template_vars/a", "variable_type"),
        ({"config": {"template_vars": {"a": "{{ .b }}"}}}, "/config/template_vars/a", "variable_value"),
        ({"config": {"template_vars": {"a": float("inf")}}}, "/config/template_vars/a", "variable_type"),
        ({"config": {"template_vars": {"A": 1}}}, "/config/template_vars/A", "name_invalid"),
    ],
)
def test_a_layer_without_a_query_has_nothing_that_belongs_to_one(
    fields: dict[str, Any], pointer: str, code: str
) -> None:
    assert found(check_layer(merging(**fields), TOPOLOGY)) == [(pointer, code)]


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"name": "cpu usage"}, "/name", "metric_name"),
        ({"name": "cpu.usage"}, "/name", "metric_name"),
        ({"name": None, "key": "cpu usage"}, "/key", "metric_name"),
        ({"config": {"for_duration": "5m"}}, "/config/for_duration", "not_for_recording"),
        ({"config": {"keep_firing_for": "5m"}}, "/config/keep_firing_for", "not_for_recording"),
        ({"config": {"annotations": {"a": "b"}}}, "/config/annotations", "not_for_recording"),
        ({"default_config": {"annotations": {"a": "b"}}}, "/default_config/annotations", "not_for_recording"),
        ({"config": {"labels": {"a": "{{ $labels.b }}"}}}, "/config/labels/a", "not_for_recording"),
    ],
)
def test_a_recording_rule_has_only_what_prometheus_takes(fields: dict[str, Any], pointer: str, code: str) -> None:
    assert found(check_layer(recording(**fields), TOPOLOGY)) == [(pointer, code)]


@pytest.mark.parametrize(
    ("config", "pointer", "code"),
    [
        ([], "", "type"),
        ({"for": "5m"}, "/for", "unknown_field"),
        ({"for_duration": 300}, "/for_duration", "duration_invalid"),
        ({"for_duration": "5 minutes"}, "/for_duration", "duration_invalid"),
        ({"keep_firing_for": "-1m"}, "/keep_firing_for", "duration_invalid"),
        ({"interval": "0s"}, "/interval", "duration_invalid"),
        ({"interval": "0"}, "/interval", "duration_invalid"),
        ({"severity": "page"}, "/severity", "severity_unknown"),
        ({"severity": ["critical"]}, "/severity", "severity_unknown"),
        ({"labels": []}, "/labels", "type"),
        ({"labels": {"team": 5}}, "/labels/team", "type"),
        ({"labels": {"team": True}}, "/labels/team", "type"),
        ({"labels": {"team": {"a": "b"}}}, "/labels/team", "type"),
        ({"labels": {"a-b": "x"}}, "/labels/a-b", "label_name"),
        ({"labels": {"": "x"}}, "/labels/", "label_name"),
        ({"labels": {"a/b~c": "x"}}, "/labels/a~1b~0c", "label_name"),
        ({"labels": {"größe": "x"}}, "/labels/größe", "label_name"),
        ({"labels": {"severity": "critical"}}, "/labels/severity", "label_reserved"),
        ({"labels": {"severity": None}}, "/labels/severity", "label_reserved"),
        ({"labels": {"alertname": "x"}}, "/labels/alertname", "label_reserved"),
        ({"labels": {"target": "x"}}, "/labels/target", "label_reserved"),
        ({"labels": {"env": "x"}}, "/labels/env", "label_reserved"),
        ({"labels": {"logical": "x"}}, "/labels/logical", "label_reserved"),
        ({"labels": {"policy_scope": "x"}}, "/labels/policy_scope", "label_reserved"),
        ({"labels": {"__name__": "x"}}, "/labels/__name__", "label_reserved"),
        ({"labels": {"team": "a\x00"}}, "/labels/team", "text_invalid"),
        ({"labels": {"team": "\udfff"}}, "/labels/team", "text_invalid"),
        ({"labels": {"team": "x" * 5000}}, "/labels/team", "too_long"),
        ({"labels": {"team": "{{ $labels.x"}}, "/labels/team", "template_broken"),
        ({"labels": {"team": "{{ .nope }}"}}, "/labels/team", "variable_undeclared"),
        ({"labels": {f"l{n}": "x" for n in range(65)}}, "/labels", "too_many"),
        ({"annotations": {"a.b": "x"}}, "/annotations/a.b", "annotation_name"),
        ({"annotations": {"a": 5}}, "/annotations/a", "type"),
        ({"annotations": {"a": "{{ .threshold | humanize }}"}}, "/annotations/a", "template_field"),
        ({"annotations": {"a": "x" * 20_000}}, "/annotations/a", "too_long"),
        ({"annotations": "x"}, "/annotations", "type"),
        ({"template_vars": {"nope": 5}}, "/template_vars/nope", "variable_undeclared"),
        ({"template_vars": {"threshold": "80"}}, "/template_vars/threshold", "variable_type"),
        ({"template_vars": {"threshold": 101}}, "/template_vars/threshold", "variable_range"),
        ({"template_vars": {"\ud800": 1}}, "/template_vars/\\ud800", "name_invalid"),
        ({"template_vars": [1]}, "/template_vars", "type"),
        ({"template_vars": {"threshold": "x" * 5000}}, "/template_vars/threshold", "variable_value"),
    ],
)
def test_a_fault_of_a_config_is_found_where_it_is(config: Any, pointer: str, code: str) -> None:
    findings = check_config(config, "/config", kind="alerting", topology=TOPOLOGY, variables=(THRESHOLD,))
    assert found(findings) == [(f"/config{pointer}", code)]


TEXT = Variable("text", "string", default="x")
LIMIT = Variable("limit", "number")


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"config": {"template_vars": {"text": '"} or up{'}}}, "/config/template_vars/text"),
        ({"default_config": {"template_vars": {"text": '"'}}, "config": {}}, "/default_config/template_vars/text"),
        ({"variables": (Variable("text", "string", default="a\nb"), LIMIT), "config": {}}, "/variables/0/default"),
        ({"query": 'x{a="{{ .text }}"} > {{ .limit }} ^ 2', "config": {"template_vars": {"limit": -1}}},
         "/config/template_vars/limit"),
    ],
)  # fmt: skip
def test_a_value_that_changes_the_query_is_found_where_it_was_given(fields: dict[str, Any], pointer: str) -> None:
    sound: dict[str, Any] = {"query": 'x{a="{{ .text }}"} > {{ .limit }}', "variables": (TEXT, LIMIT)}
    assert found(check_layer(layer(**{**sound, **fields}), TOPOLOGY)) == [(pointer, "variable_changes_structure")]


def test_values_that_are_only_together_too_much_are_found_at_the_query() -> None:
    variables = (Variable("a", "string"), Variable("b", "string"))
    config = {"template_vars": {"a": "b", "b": "ool"}}
    findings = check_layer(layer(query="x * {{ .a }}{{ .b }}", variables=variables, config=config), TOPOLOGY)
    assert found(findings) == [("/query_template", "variable_changes_structure")] * 2


def test_a_missing_value_is_left_to_the_layers_above() -> None:
    assert found(check_layer(layer(variables=(Variable("threshold", "number"),), config={}), TOPOLOGY)) == []


def test_all_faults_are_reported_at_once() -> None:
    bad = layer(
        key="",
        severity="page",
        query="cpu >",
        config={"for_duration": 5, "labels": {"severity": "x", "a-b": "c"}, "nope": 1},
        partition_by=("nowhere",),
    )
    assert len(found(check_layer(bad, TOPOLOGY))) == 8


def test_severities_are_the_installation_s() -> None:
    assert found(check_layer(layer(severity="page", config={}), TOPOLOGY, severities=("page", "ticket"))) == []


def test_a_sound_template_has_no_findings() -> None:
    sound = {"name": "CPU", "query_template": "cpu > {{ .threshold }}", "variables": (THRESHOLD,)}
    assert found(check_template(topology=TOPOLOGY, **sound)) == []
    config = {"labels": {"team": "a"}, "template_vars": {"threshold": 5}}
    assert found(check_template(topology=TOPOLOGY, severity="info", default_config=config, **sound)) == []


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"name": " "}, "/name", "required"),
        ({"kind": "x"}, "/kind", "choice"),
        ({"description": "\x00"}, "/description", "text_invalid"),
        ({"severity": "x"}, "/severity", "severity_unknown"),
        ({"query_template": None}, "/query_template", "type"),
        ({"query_template": ""}, "/query_template", "required"),
        ({"query_template": "cpu >"}, "/query_template", "invalid_promql"),
        ({"query_template": "cpu > {{ .x }}"}, "/query_template", "variable_undeclared"),
        ({"default_config": {"labels": {"env": "x"}}}, "/default_config/labels/env", "label_reserved"),
        ({"default_config": {"template_vars": {"x": 1}}}, "/default_config/template_vars/x", "variable_undeclared"),
        ({"unscoped": ["a b"]}, "/unscoped/0", "metric_name"),
    ],
)
def test_a_fault_of_a_template_is_found_where_it_is(fields: dict[str, Any], pointer: str, code: str) -> None:
    sound: dict[str, Any] = {"name": "CPU", "query_template": "cpu > 1"}
    assert found(check_template(topology=TOPOLOGY, **{**sound, **fields})) == [(pointer, code)]
