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
_QUERY = "avg by (target) (rate(node_cpu_seconds_total{mode!='idle'}[5m])) * 100 > {{ .threshold }}"
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
    "enabled": True,
    "partition_by": [],
    "allow_split": False,
    "created_from_template_id": None,
    "created_from_template_name": None,
}

_SERVER = {
    "name": "frankfurt",
    "description": "Scrapes everything in Frankfurt.",
    "url": "http://127.0.0.1:9091",
    "delivery": "agent",
    "rule_dir": "",
    "layout": "per-scope",
    "selector": {"region": ["frankfurt"]},
    "auth": {},
    "tls": {},
    "enabled": True,
}
_STANDING = {
    "revision": 12,
    "loaded_revision": 0,
    "loaded_since": None,
    "loaded_release": None,
    "in_sync": False,
    "why": "Its agent was never seen.",
    "silent_since": None,
    "pinned": None,
    "failures": 0,
    "error": None,
    "checked_at": None,
    "retry_at": None,
    "agent_seen_at": None,
    "agent_version": None,
}

EXAMPLES: dict[str, dict[str, dict[str, Any]]] = {
    "namespace": {"request": _NAMESPACE, "response": {"id": 4, **_NAMESPACE, **_STAMPS}},
    "group": {"request": _GROUP, "response": {"id": 1, **_GROUP, **_STAMPS}},
    "target": {"request": _TARGET, "response": {"id": 1, **_TARGET, **_STAMPS}},
    "alert-template": {"request": _TEMPLATE, "response": {"id": 1, **_TEMPLATE, **_STAMPS}},
    "alert-rule": {"request": _RULE, "response": {"id": 1, **_RULE_SHOWN, **_STAMPS}},
    "prometheus-server": {
        "request": _SERVER,
        "response": {
            "id": 2,
            **_SERVER,
            "flavour": None,
            "prometheus_version": None,
            "status": _STANDING,
            **_STAMPS,
        },
    },
}

_HEAD = {
    "target": "web-1",
    "position": {"target": "web-1", "region": "frankfurt"},
    "revision": 12,
    "loaded_revision": 12,
    "in_sync": True,
    "pinned": None,
    "servers": [
        {
            "name": "default",
            "loaded_revision": 12,
            "in_sync": True,
            "why": None,
            "silent_since": None,
            "pinned": None,
        }
    ],
}
EFFECTIVE = {
    **_HEAD,
    "rules": [
        {
            "key": "HighCpu",
            "name": "HighCpu",
            "kind": "alerting",
            "severity": "warning",
            "expr": "avg by (target) (rate(node_cpu_seconds_total{mode!='idle',region=\"frankfurt\"}[5m])) * 100 > 90",
            "for_duration": "10m",
            "keep_firing_for": None,
            "labels": {"policy_scope": "region/frankfurt", "severity": "warning", "team": "platform"},
            "annotations": {"summary": "CPU of {{ $labels.target }} above 90 %"},
            "source": {"rule_id": 1, "scope": "region/frankfurt"},
            "file": "group-region.frankfurt.yml",
            "group": "group-region.frankfurt",
            "in_force": "current",
            "servers": ["default"],
        }
    ],
}
TRACE = {
    **_HEAD,
    "keys": [
        {
            "key": "HighCpu",
            "kind": "alerting",
            "layers": [{"rule_id": 1, "scope": "region/frankfurt", "status": "applied"}],
            "fields": {
                "template_vars.threshold": {
                    "value": 90,
                    "set_by": {"rule_id": 1, "scope": "region/frankfurt"},
                    "over": [],
                }
            },
        }
    ],
}
RELEASE = {
    "id": 7,
    "server": "default",
    "revision": 12,
    "state": "verified",
    "trigger": "api",
    "content_hash": "5e1f" * 16,
    "layout": "per-scope",
    "rule_count": 1,
    "changed": True,
    "changes": {
        "files": {"added": ["global.yml"], "changed": [], "removed": []},
        "counts": {"added": 1, "changed": 0, "removed": 0, "identities": 0, "timers": 0},
    },
    "errors": [],
    "warnings": [],
    "timings": {"compile": 0.004, "stage": 0.003, "promtool": 0.05, "reload": 0.02, "read_back": 0.01},
    "last_good": [],
    "created_at": "2026-01-31T12:00:00Z",
    "finished_at": "2026-01-31T12:00:01Z",
    "activated_at": "2026-01-31T12:00:01Z",
    "verified_at": "2026-01-31T12:00:01Z",
}
_PLANNED = {
    "file": "global.yml",
    "group": "global",
    "kind": "alerting",
    "name": "HighCpu",
    "expr": "avg by (target) (rate(node_cpu_seconds_total{mode!='idle'}[5m])) * 100 > 90",
    "for_duration": "10m",
    "labels": {"severity": "warning"},
}
PLAN: dict[str, Any] = {
    "revision": 13,
    "loaded_revision": 12,
    "loaded_release": 7,
    "pinned": None,
    "empty": False,
    "files": {"added": ["global.yml"], "changed": [], "removed": []},
    "rules": {"added": [_PLANNED], "changed": [], "removed": []},
    "identities": [],
    "timers": [],
    "counts": {"added": 1, "changed": 0, "removed": 0, "identities": 0, "timers": 0},
    "last_good": [],
}
STATUS = {
    "server": "default",
    "url": "http://127.0.0.1:9090",
    "delivery": "directory",
    "rule_dir": "/var/lib/config-server/rules",
    "layout": "per-scope",
    "revision": 12,
    "loaded_revision": 12,
    "in_sync": True,
    "why": None,
    "silent_since": None,
    "loaded_release": 7,
    "rule_count": 1,
    "pinned": None,
    "last_good": [],
    "reachable": True,
    "drift": [],
    "warnings": [],
    "error": None,
    "failures": 0,
    "prometheus_version": "3.5.3",
    "promtool_version": "3.5.3",
}
BUNDLE = {
    "server": "frankfurt",
    "release": 7,
    "revision": 12,
    "content_hash": "5e1f" * 16,
    "files": {"global.yml": "groups: []\n"},
    "scope": None,
}
REPORT = {
    "release": 7,
    "content_hash": "5e1f" * 16,
    "state": "verified",
    "errors": [],
    "warnings": [],
    "refusals": [],
    "drift": [],
    "timings": {"stage": 0.003, "promtool": 0.05, "reload": 0.02, "read_back": 0.01},
    "loaded_hash": "5e1f" * 16,
    "flavour": "prometheus",
    "prometheus_version": "3.5.3",
    "promtool_version": "3.5.3",
    "agent_version": "0.1.0",
}
FLEET_FINDINGS = {
    "revision": 12,
    "servers": ["berlin", "frankfurt"],
    "needs_several_servers": [
        {
            "kind": "alerting",
            "key": "TooFewTargets",
            "rule_id": 3,
            "name": "TooFewTargets",
            "region": "everywhere",
            "servers": ["berlin", "frankfurt"],
            "label": "region",
            "code": "needs_several_servers",
            "message": "'TooFewTargets' (everywhere) is evaluated by berlin, frankfurt, each for itself",
            "hint": "keep the label 'region' in its grouping, set partition_by, or send the series to one server",
        }
    ],
    "gaps": [{"region": 'region="munich"'}],
}
