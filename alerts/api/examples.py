"""What the OpenAPI document shows: a small policy whose objects refer to one another (a test creates it)."""

from __future__ import annotations

from typing import Any

_STAMPS = {
    "version": 1,
    "created_at": "2026-01-31T12:00:00Z",
    "updated_at": "2026-01-31T12:00:00Z",
    "deleted_at": None,
    "external_id": None,
}
_VARIABLES = [{"name": "threshold", "type": "number", "default": 80, "min": 0, "max": 100, "unit": "%"}]
_QUERY = "100 - avg by (target) (rate(node_cpu_seconds_total{mode='idle'}[5m])) * 100 > {{ .threshold }}"
_CONFIG = {
    "for_duration": "10m",
    "labels": {"team": "platform"},
    "annotations": {"summary": "CPU of {{ $labels.target }} above {{ .threshold }} %"},
    "template_vars": {"threshold": 90},
}

_NAMESPACE = {"name": "region", "priority": 30, "label": "region", "description": "Where the machine stands."}
_GROUP = {"name": "frankfurt", "namespace": 1, "parent": None, "label_value": "frankfurt", "description": ""}
_TARGET = {
    "hostname": "web-1",
    "address": "10.0.0.11",
    "groups": [1],
    "labels": {"rack": "b4"},
    "status": "active",
    "endpoints": [{"job": "node", "port": 9100, "path": "/metrics", "scheme": "http"}],
}
_TEMPLATE = {
    "name": "HighCpu",
    "description": "The CPU is busy for too long.",
    "severity": "warning",
    "query_template": _QUERY,
    "default_config": {"for_duration": "5m"},
    "variables": _VARIABLES,
    "kind": "alerting",
    "unscoped": [],
}
_RULE = {
    "key": "HighCpu",
    "name": "HighCpu",
    "kind": "alerting",
    "group_id": 1,
    "query_template": _QUERY,
    "severity": "warning",
    "default_config": {"for_duration": "5m"},
    "variables": _VARIABLES,
    "config": _CONFIG,
}
_RULE_SHOWN = {
    **_RULE,
    "scope": "region/frankfurt",
    "namespace_id": None,
    "target_id": None,
    "unscoped": [],
    "merge_strategy": "override",
    "priority": 100,
    "enabled": None,
    "partition_by": [],
    "allow_split": False,
    "created_from_template_id": None,
    "created_from_template_name": None,
}

EXAMPLES: dict[str, dict[str, dict[str, Any]]] = {
    "namespace": {"request": _NAMESPACE, "response": {"id": 4, **_NAMESPACE, **_STAMPS}},
    "group": {"request": _GROUP, "response": {"id": 1, **_GROUP, **_STAMPS}},
    "target": {"request": _TARGET, "response": {"id": 1, **_TARGET, **_STAMPS}},
    "alert-template": {"request": _TEMPLATE, "response": {"id": 1, **_TEMPLATE, **_STAMPS}},
    "alert-rule": {"request": _RULE, "response": {"id": 1, **_RULE_SHOWN, **_STAMPS}},
}
