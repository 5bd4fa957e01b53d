"""How a rule in force and a traced key are told in JSON.

Both are mostly the same at every position that they hold for, so that part is written once and kept (``Form``); what
differs is which rules of the policy it comes from. Nothing here depends on how many targets or groups there are.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import orjson

from alerts.actions.wanted import KeptKey
from alerts.domain.compiled import Branch, CompiledRule, KeyPlan
from alerts.domain.json_text import Form, Forms, blank
from alerts.domain.layers import Layer, Scope
from alerts.domain.resolver import Setting
from alerts.domain.trace import FieldTrace, KeyTrace, explain

KEPT = 32 * 1024 * 1024
"""Bytes of text that a process keeps."""

_forms = Forms(KEPT)
_ON = {"servers": blank(1)}


def words_of(rule_id: int | None, scope: Scope) -> bytes:
    """What goes into the blank of a layer: its id and, as the next member, its scope."""
    return b'%b,"scope":%b' % (orjson.dumps(rule_id), orjson.dumps(scope.text))


def rule_form(rule: CompiledRule, branch: Branch, severity: str | None) -> Form:
    """A rule in force, as compiled; its blanks are the layer it comes from, and the names of its servers."""
    key = (id(rule), id(branch), severity)
    return _forms.form(key, (rule, branch), lambda: {**_rule(rule, branch, severity), **_ON})


def kept_rule_form(key: KeptKey, rule: CompiledRule, branch: Branch) -> Form:
    """The same for a rule that stays as last compiled."""
    return Form({**_rule(rule, branch, dict(rule.labels).get("severity")), **_in_force(key), **_ON})


def _rule(rule: CompiledRule, branch: Branch, severity: str | None) -> dict[str, Any]:
    return {
        "key": rule.key,
        "name": rule.name,
        "kind": rule.kind,
        "severity": severity,
        "expr": branch.expr,
        "for_duration": rule.for_duration,
        "keep_firing_for": rule.keep_firing_for,
        "interval": rule.interval,
        "labels": dict(rule.labels),
        "annotations": dict(rule.annotations),
        "source": {"rule_id": blank(0)},
        "file": rule.file,
        "group": rule.group,
        "compiled_expr": rule.expr,
        "in_force": "current",
    }


def _in_force(key: KeptKey) -> dict[str, Any]:
    return {
        "in_force": "last_good",
        "last_good": {"since_release": key.release_id, "why": [str(finding) for finding in key.why]},
    }


def key_traced(plan: KeyPlan, applying: Sequence[Layer], dropped: str | None, kept: KeptKey | None) -> bytes:
    """A key with all layers that apply at a position, strongest first."""
    words = [words_of(layer.rule_id, layer.scope) for layer in applying]

    def data() -> dict[str, Any]:
        return _trace(explain(plan, applying, dropped), kept)

    if dropped is not None or kept is not None:
        return Form(data()).filled(words)
    key = (plan.key_id, *[_content(layer) for layer in applying])
    return _forms.form(key, applying, data).filled(words)


def _content(layer: Layer) -> Hashable:
    """All of a layer that a trace shows, but not where it is written. Of objects, which: 1, 1.0 and True are equal."""
    return (
        layer.name,
        layer.query,
        layer.severity,
        layer.enabled,
        layer.strategy,
        layer.priority,
        id(layer.default_config),
        id(layer.config),
        id(layer.variables),
    )


def _trace(found: KeyTrace, kept: KeptKey | None) -> dict[str, Any]:
    number = {entry.layer: place for place, entry in enumerate(found.layers)}

    def set_by(setting: Setting) -> dict[str, Any]:
        return {"rule_id": blank(number[setting.layer]), "part": setting.part}

    def field(said: FieldTrace) -> dict[str, Any]:
        return {
            "value": said.value,
            "set_by": set_by(said.set_by) if said.set_by else None,
            "over": [{"value": setting.value, "set_by": set_by(setting)} for setting in said.over],
        }

    return {
        "key": found.plan.key_id[1],
        "kind": found.plan.key_id[0],
        **(_in_force(kept) if kept else {"in_force": "current"}),
        "dropped": found.dropped,
        "layers": [
            {
                "rule_id": blank(number[entry.layer]),
                "status": entry.status,
                "name": entry.layer.name,
                "merge_strategy": entry.layer.strategy,
                "priority": entry.layer.priority,
                "enabled": entry.layer.enabled,
                "unused_variables": list(entry.unused),
            }
            for entry in found.layers
        ],
        "fields": {path: field(said) for path, said in found.fields.items()},
    }
