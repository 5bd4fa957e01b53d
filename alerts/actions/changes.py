"""What going from one set of rule files to another changes, for people and programs."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from alerts.actions.file_contents import contents
from alerts.actions.wanted import WantedSet
from alerts.adapters.release_store import content_hash
from alerts.domain import planner, rule_files
from alerts.domain.planner import DeployedRule, Plan
from alerts.domain.renderer import RuleFile

LISTED = 200
REMEMBERED = 16

_told: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()
"""By the two contents: many servers go from the same files to the same files."""


def told_briefly(before: dict[str, str], wanted: WantedSet) -> dict[str, Any]:
    """What going from a manifest to a wanted set changes, with long lists cut: as it is kept with a release.

    Not to be changed: others are given the same.
    """
    between = (content_hash(before), wanted.content_hash)
    known = _told.get(between)
    if known is None:
        known = _told[between] = plan_json(plan_from(before, wanted), brief=True)
        while len(_told) > REMEMBERED:
            _told.popitem(last=False)
    return known


def plan_from(before: dict[str, str], wanted: WantedSet) -> Plan:
    """What going from a manifest to a wanted set changes; only files that differ are looked into."""
    after = dict(wanted.manifest)
    gone = {name for name in before if after.get(name) != before[name]}
    fresh = {name for name in after if before.get(name) != after[name]}
    known = {name: file for name, file in wanted.former.items() if name in gone and file.sha256 == before[name]}
    old = [rule for file in known.values() for rule in _deployed(file)]
    for name, content in contents(before, gone - known.keys()).items():
        old += rule_files.rules(name, content)
    return planner.plan(old, [rule for name in fresh for rule in _rules(wanted, name)], before, after)


def _rules(wanted: WantedSet, name: str) -> list[DeployedRule]:
    file = wanted.files.get(name)
    return rule_files.rules(name, wanted.contents[name]) if file is None else _deployed(file)


def _deployed(file: RuleFile) -> list[DeployedRule]:
    return [planner.deployed(rule) for group in file.groups for rule in group.rules]


def plan_json(plan: Plan, *, brief: bool = False) -> dict[str, Any]:
    """A plan for people and programs; ``brief`` cuts long lists, as kept with a release."""

    def cut(items: list[Any]) -> list[Any]:
        return items[:LISTED] if brief else items

    return {
        "files": {
            "added": list(plan.files_added),
            "changed": list(plan.files_changed),
            "removed": list(plan.files_removed),
        },
        "rules": {
            "added": cut([rule_json(rule) for rule in plan.added]),
            "changed": cut(
                [
                    {
                        **rule_json(change.after),
                        "fields": {
                            name: {"before": _plain(before), "after": _plain(after)}
                            for name, (before, after) in change.fields.items()
                        },
                    }
                    for change in plan.changed
                ]
            ),
            "removed": cut([rule_json(rule) for rule in plan.removed]),
        },
        "identities": cut(
            [
                {"name": old.name, "kind": old.kind, "before": dict(old.labels), "after": dict(new.labels)}
                for old, new in plan.identities
            ]
        ),
        "timers": cut([rule_json(rule) for rule in plan.timers]),
        "counts": {
            "added": len(plan.added),
            "changed": len(plan.changed),
            "removed": len(plan.removed),
            "identities": len(plan.identities),
            "timers": len(plan.timers),
        },
    }


def rule_json(rule: DeployedRule) -> dict[str, Any]:
    return {
        "file": rule.file,
        "group": rule.group,
        "kind": rule.kind,
        "name": rule.name,
        "expr": rule.expr,
        "for_duration": rule.for_duration,
        "labels": dict(rule.labels),
    }


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, tuple) else value
