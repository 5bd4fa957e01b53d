from typing import Any

import pytest

from alerts.domain.errors import Finding
from alerts.domain.layers import Namespace, Topology
from alerts.domain.validation import check_group, check_namespace, check_target

TOPOLOGY = Topology(namespaces=(Namespace("environment", "env", 100),))


def found(findings: list[Finding]) -> list[tuple[str, str]]:
    for finding in findings:
        (finding.message + finding.hint + finding.pointer).encode()
    return [(finding.pointer, finding.code) for finding in findings]


@pytest.mark.parametrize(
    ("name", "label", "priority"),
    [("infrastructure", "infrastructure", 10), ("Team Größe", "team", -5), ("a-b", "a_b", 0)],
)
def test_a_sound_namespace_has_no_findings(name: str, label: str, priority: int) -> None:
    assert found(check_namespace(name, label, priority, TOPOLOGY)) == []


@pytest.mark.parametrize(
    ("name", "label", "priority", "pointer", "code"),
    [
        ("", "a", 0, "/name", "required"),
        ("a\x00", "a", 0, "/name", "text_invalid"),
        ("a/b", "a", 0, "/name", "name_invalid"),
        ("global", "a", 0, "/name", "name_reserved"),
        ("Target", "a", 0, "/name", "name_reserved"),
        ("a-b", "a-b", 0, "/label", "label_name"),
        ("a", "", 0, "/label", "label_name"),
        ("a", None, 0, "/label", "label_name"),
        ("a", "größe", 0, "/label", "label_name"),
        ("a", "__a", 0, "/label", "label_reserved"),
        ("a", "alertname", 0, "/label", "label_reserved"),
        ("a", "severity", 0, "/label", "label_reserved"),
        ("a", "job", 0, "/label", "label_reserved"),
        ("a", "instance", 0, "/label", "label_reserved"),
        ("a", "target", 0, "/label", "label_reserved"),
        ("a", "policy_scope", 0, "/label", "label_reserved"),
        ("a", "a", "10", "/priority", "type"),
        ("a", "a", True, "/priority", "type"),
        ("a", "a", 2**31, "/priority", "out_of_range"),
    ],
)
def test_a_fault_of_a_namespace_is_found_where_it_is(
    name: Any, label: Any, priority: Any, pointer: str, code: str
) -> None:
    assert found(check_namespace(name, label, priority, TOPOLOGY)) == [(pointer, code)]


@pytest.mark.parametrize(
    ("name", "label_value", "expected"),
    [
        ("production", "production", []),
        ("Production, EU", 'a/b .*|"quoted" \\ größe', []),
        ("", "x", [("/name", "required")]),
        ("x", "", [("/label_value", "required")]),
        ("x", "a\nb", [("/label_value", "text_invalid")]),
        ("x", "\ud800", [("/label_value", "text_invalid")]),
        ("x", 5, [("/label_value", "type")]),
        ("x" * 256, "y" * 256, [("/name", "too_long"), ("/label_value", "too_long")]),
    ],
)
def test_a_group_s_value_is_any_text_a_label_can_carry(
    name: Any, label_value: Any, expected: list[tuple[str, str]]
) -> None:
    assert found(check_group(name, label_value)) == expected


SOUND: dict[str, Any] = {
    "hostname": "web-1",
    "address": "10.0.0.1",
    "labels": {"rack": "r1"},
    "endpoints": [{"job": "node", "port": 9100, "path": "/metrics", "scheme": "https"}, {"job": "node", "port": 80}],
}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"address": "2001:db8::1"},
        {"address": "web-1.example.org"},
        {"address": "web_1"},
        {"address": "web-1.example.org."},
        {"address": ""},
        {"address": "", "endpoints": [], "hostname": "a host that is only a name"},
        {"labels": {"severity_hint": "größer {{ x }}"}},
        {"labels": {}, "endpoints": []},
    ],
)
def test_a_sound_target_has_no_findings(fields: dict[str, Any]) -> None:
    assert found(check_target(**{**SOUND, **fields}, topology=TOPOLOGY)) == []


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"hostname": ""}, "/hostname", "required"),
        ({"hostname": "a\x00"}, "/hostname", "text_invalid"),
        ({"address": "10.0.0.1:9100"}, "/address", "address_invalid"),
        ({"address": "[2001:db8::1]"}, "/address", "address_invalid"),
        ({"address": "fe80::1%eth0"}, "/address", "address_invalid"),
        ({"address": "http://web"}, "/address", "address_invalid"),
        ({"address": "a b"}, "/address", "address_invalid"),
        ({"address": "-a"}, "/address", "address_invalid"),
        ({"address": "a." * 200}, "/address", "address_invalid"),
        ({"address": None}, "/address", "type"),
        ({"address": "", "hostname": "not a host"}, "/address", "address_invalid"),
        ({"labels": {"env": "x"}}, "/labels/env", "label_reserved"),
        ({"labels": {"target": "x"}}, "/labels/target", "label_reserved"),
        ({"labels": {"policy_scope": "x"}}, "/labels/policy_scope", "label_reserved"),
        ({"labels": {"job": "x"}}, "/labels/job", "label_reserved"),
        ({"labels": {"instance": "x"}}, "/labels/instance", "label_reserved"),
        ({"labels": {"__address__": "x"}}, "/labels/__address__", "label_reserved"),
        ({"labels": {"a-b": "x"}}, "/labels/a-b", "label_name"),
        ({"labels": {"a": 5}}, "/labels/a", "type"),
        ({"labels": {"a": "\ud800"}}, "/labels/a", "text_invalid"),
        ({"labels": []}, "/labels", "type"),
        ({"endpoints": {}}, "/endpoints", "type"),
        ({"endpoints": ["node"]}, "/endpoints/0", "type"),
        ({"endpoints": [{"port": 1}]}, "/endpoints/0/job", "required"),
        ({"endpoints": [{"job": "a"}]}, "/endpoints/0/port", "port_invalid"),
        ({"endpoints": [{"job": "a", "port": 0}]}, "/endpoints/0/port", "port_invalid"),
        ({"endpoints": [{"job": "a", "port": 65_536}]}, "/endpoints/0/port", "port_invalid"),
        ({"endpoints": [{"job": "a", "port": True}]}, "/endpoints/0/port", "port_invalid"),
        ({"endpoints": [{"job": "a", "port": "80"}]}, "/endpoints/0/port", "port_invalid"),
        ({"endpoints": [{"job": "a", "port": 1, "path": "metrics"}]}, "/endpoints/0/path", "path_invalid"),
        ({"endpoints": [{"job": "a", "port": 1, "path": "/a?b=c"}]}, "/endpoints/0/path", "path_invalid"),
        ({"endpoints": [{"job": "a", "port": 1, "path": "/a\n"}]}, "/endpoints/0/path", "path_invalid"),
        ({"endpoints": [{"job": "a", "port": 1, "scheme": "ftp"}]}, "/endpoints/0/scheme", "scheme_invalid"),
        ({"endpoints": [{"job": "a", "port": 1, "url": "x"}]}, "/endpoints/0/url", "unknown_field"),
        ({"endpoints": [{"job": "a", "port": 1}, {"job": "a", "port": 1, "path": "/metrics"}]},
         "/endpoints/1", "duplicate"),
        ({"endpoints": [{"job": "a", "port": 1}] * 65}, "/endpoints", "too_many"),
    ],
)  # fmt: skip
def test_a_fault_of_a_target_is_found_where_it_is(fields: dict[str, Any], pointer: str, code: str) -> None:
    assert found(check_target(**{**SOUND, **fields}, topology=TOPOLOGY)) == [(pointer, code)]
