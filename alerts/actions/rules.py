"""Writing alert rules."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings

from alerts.actions import compile_check
from alerts.actions.layers import layer_of
from alerts.actions.lifecycle import bury, condemned, doomed, raise_dead, refuse_deleted
from alerts.actions.metrics import note, note_again, noted_of
from alerts.actions.references import References
from alerts.actions.writing import expect, only, pick, refuse, settle, writing
from alerts.domain import validation
from alerts.domain.errors import Finding, InvalidPolicy, PolicyConflict
from alerts.domain.layers import Topology
from alerts.models import AlertRule, AlertTemplate, Group, Namespace, PolicyRow, Target

SCOPES: dict[str, type[PolicyRow]] = {"namespace": Namespace, "group": Group, "target": Target}
SCOPE_IDS = frozenset(f"{level}_id" for level in SCOPES)
RELATED = ("namespace", "group__namespace", "target")
# What a rule made from a template has from there.
COPIED = ("query_template", "severity", "default_config", "variables", "unscoped", "kind")
FIELDS = frozenset(
    (
        *COPIED,
        *SCOPE_IDS,
        "key",
        "name",
        "config",
        "merge_strategy",
        "priority",
        "enabled",
        "partition_by",
        "allow_split",
        "external_id",
    )
)

UNSAID: Any = object()
"""For ``enabled``, where null says something: whatever suits the strategy."""


def unsaid() -> Any:
    return UNSAID


def defaults() -> dict[str, Any]:
    """What a rule has where nothing is said."""
    return {
        **dict.fromkeys((*SCOPE_IDS, "key", "name", "query_template", "severity", "merge_strategy")),
        "kind": "alerting",
        "priority": 100,
        "enabled": UNSAID,
        "allow_split": False,
        "default_config": {},
        "variables": [],
        "unscoped": [],
        "config": {},
        "partition_by": [],
    }


def create(values: Mapping[str, Any], *, dry_run: bool = False) -> AlertRule:
    """A rule as written, or with ``template_id`` one that begins as a deep copy of that template."""
    with writing(dry_run=dry_run) as write:
        row = AlertRule()
        begin(row, values, write.topology, References(write.places))
        write.insert(row)
        note({row.pk: noted_of(row)})
        compile_check.check_rules(write.topology, [row])
    return row


def update(
    row_id: int, values: Mapping[str, Any], *, expected_version: int | None = None, dry_run: bool = False
) -> AlertRule:
    with writing(dry_run=dry_run) as write:
        row = pick(AlertRule, row_id, *RELATED)
        expect(row, expected_version)
        former = (row.kind, row.key)
        former_noted = noted_of(row)
        changed = change(row, values, write.topology, References(write.places))
        if changed:
            write.update(row, changed)
            noted = noted_of(row)
            if noted != former_noted:
                note_again({row.pk: noted})
            compile_check.check_rules(write.topology, [row], former_keys=[former])
    return row


def begin(row: AlertRule, values: Mapping[str, Any], topology: Topology, references: References) -> None:
    """Put the values of a new rule on ``row``, which is not stored yet."""
    if values.get("template_id") is not None:
        values = {**values, **_copied(row, values, references)}
    _settle(row, values, topology, references)


def change(row: AlertRule, values: Mapping[str, Any], topology: Topology, references: References) -> set[str]:
    """Put the values on a stored rule; the names of the columns that differ."""
    if values.get("template_id") is not None:
        message = "A rule is made from a template once; afterwards it goes its own way."
        raise InvalidPolicy(Finding("create_only", message, "/template_id"))
    return _settle(row, values, topology, references)


def _copied(row: AlertRule, values: Mapping[str, Any], references: References) -> dict[str, Any]:
    explicit = [name for name in COPIED if values.get(name) is not None]
    refuse(
        Finding("from_template", "comes from the template", f"/{name}", hint="Leave it out, or leave out template_id.")
        for name in explicit
    )
    template = references.to(AlertTemplate, values["template_id"], "/template_id")
    row.created_from_template = template
    row.created_from_template_name = template.name
    copied = {name: copy.deepcopy(getattr(template, name)) for name in COPIED}
    if values.get("name") is None and values.get("key") is None:
        copied["name"] = template.name
    return copied


def _settle(row: AlertRule, values: Mapping[str, Any], topology: Topology, references: References) -> set[str]:
    values = {name: value for name, value in values.items() if name != "template_id"}
    only(values, FIELDS)
    plain = {name: value for name, value in values.items() if name not in SCOPE_IDS}
    _fill_defaults(row, plain)
    changed, findings = settle(row, plain)
    changed |= _place(row, values, references)
    refuse(validation.check_layer(layer_of(row), topology, settings.SEVERITIES), findings)
    return changed


def _fill_defaults(row: AlertRule, values: dict[str, Any]) -> None:
    """The key is the name, and the strategy what suits a rule with or without a query, where nothing else is said."""
    if not row.pk or "key" in values:
        values["key"] = values.get("key") or values.get("name", row.name)
        if values["key"] is None:
            raise InvalidPolicy(Finding("required", "A rule has a name or a key.", "/name"))
    if not row.pk or "merge_strategy" in values:
        has_query = values.get("query_template", row.query_template) is not None
        default = AlertRule.Strategy.OVERRIDE if has_query else AlertRule.Strategy.MERGE
        values["merge_strategy"] = values.get("merge_strategy") or default.value
    if values["enabled"] is UNSAID if "enabled" in values else not row.pk:
        overrides = values.get("merge_strategy", row.merge_strategy) == AlertRule.Strategy.OVERRIDE
        values["enabled"] = True if overrides else None


def _place(row: AlertRule, values: Mapping[str, Any], references: References) -> set[str]:
    """Put the rule at its scope; the names of the columns that differ."""
    wanted = {level: values.get(f"{level}_id", getattr(row, f"{level}_id")) for level in SCOPES}
    named = [level for level, row_id in wanted.items() if row_id is not None]
    if len(named) > 1:
        message = f"A rule has one scope, not {' and '.join(named)}."
        raise InvalidPolicy(Finding("two_scopes", message, f"/{level}_id", hint="Keep one.") for level in named)
    changed = {level for level, row_id in wanted.items() if row_id != getattr(row, f"{level}_id")}
    for level in changed:
        row_id = wanted[level]
        setattr(row, level, None if row_id is None else references.to(SCOPES[level], row_id, f"/{level}_id"))
    if row.scope_key != row.scope_key_now():
        row.scope_key = row.scope_key_now()
        changed.add("scope_key")
    return changed


def delete(ids: Sequence[int], *, expected_version: int | None = None, dry_run: bool = False) -> list[int]:
    with writing(dry_run=dry_run) as write:
        rows = condemned(AlertRule, ids, expected_version, *RELATED)
        bury(write, rows)
        # What they said is gone and needs no judgement; what remains of their keys does.
        compile_check.check_rules(write.topology, [], former_keys={(row.kind, row.key) for row in rows})
    return [row.pk for row in rows]


def restore(ids: Sequence[int], *, dry_run: bool = False) -> list[int]:
    """A restored rule is judged again: what it says may have become somebody else's word meanwhile."""
    with writing(dry_run=dry_run) as write:
        rows = raise_dead(write, AlertRule, ids, *RELATED)
        for level, model in SCOPES.items():
            refuse_deleted(model, {getattr(row, f"{level}_id") for row in rows})
        findings = [
            finding
            for row in rows
            for finding in validation.check_layer(layer_of(row), write.topology, settings.SEVERITIES)
            if finding.level == "error"
        ]
        if findings:
            raise PolicyConflict(findings)
        if rows:
            compile_check.check_rules(write.topology, rows)
    return list(dict.fromkeys(ids))


def purge(ids: Sequence[int], *, dry_run: bool = False) -> list[int]:
    with writing(dry_run=dry_run) as write:
        rows = doomed(AlertRule, ids)
        write.purge(AlertRule.objects.filter(pk__in=[row.pk for row in rows]))
    return [row.pk for row in rows]
