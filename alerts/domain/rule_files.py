"""Reads rule files back: what a set of files on disk or in the database means."""

from __future__ import annotations

import re
from typing import Any

import yaml

from alerts.domain.planner import DeployedRule

_GROUP = re.compile(rb"^- name:", re.MULTILINE)
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is ten times faster


def read(file: str, content: bytes) -> list[tuple[str, list[DeployedRule]]]:
    """The groups of one file in order, with their rules in order; ValueError when it is not a rule file."""
    try:
        data = yaml.load(content, Loader=_Loader) or {}  # noqa: S506 - both are safe loaders
        return [
            (group["name"], [_rule(file, group, rule) for rule in group.get("rules") or ()])
            for group in data.get("groups") or ()
        ]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is not a rule file: {error}") from error


def pieces(content: bytes) -> list[bytes]:
    """A rule file as several with one group each, in order; as one where it is not written as the renderer does.

    A line that begins so begins a group: what is inside of one is indented, and texts of several lines are, too.
    """
    starts = [match.start() for match in _GROUP.finditer(content)]
    head = content[: starts[0]] if starts else b""
    if not head.endswith(b"\ngroups:\n") and head != b"groups:\n":
        return [content]
    return [head + content[start:end] for start, end in zip(starts, [*starts[1:], len(content)], strict=True)]


def rules(file: str, content: bytes) -> list[DeployedRule]:
    """All rules of one file."""
    return [rule for _, group in read(file, content) for rule in group]


def _rule(file: str, group: dict[str, Any], rule: dict[str, Any]) -> DeployedRule:
    alerting = "alert" in rule
    return DeployedRule(
        file=file,
        group=group["name"],
        kind="alerting" if alerting else "recording",
        name=rule["alert"] if alerting else rule["record"],
        expr=rule["expr"],
        for_duration=rule.get("for"),
        keep_firing_for=rule.get("keep_firing_for"),
        labels=tuple(sorted((rule.get("labels") or {}).items())),
        annotations=tuple(sorted((rule.get("annotations") or {}).items())),
        interval=group.get("interval"),
    )
