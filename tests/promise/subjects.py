"""Firing alerts, each under a key of its own, and what is done to its policy while they fire."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.promise.plane import Plane
from tests.promise.queries import Query, above, value_of

INSIDE, OUTSIDE, MOVER = "host-5", "host-12", "host-6"
"""A target in production, one that is not, and one in production that moves to staging."""

WATCHED = Query(
    f'disk{{target=~"{INSIDE}|{OUTSIDE}"}} > {{{{ .t }}}}',
    above("disk", lambda own: value_of(own, "target") in (INSIDE, OUTSIDE)),
)
Edit = Callable[[Plane, dict[str, int]], None]


@dataclass(frozen=True)
class Subject:
    """``begin`` is written before; ``edit`` and ``undo`` happen to alerts that fire. Rules go by name in a dictionary.

    ``silent``: layouts in which nobody sees the edit, not even Prometheus' own `activeAt`.
    ``host``: whose alerts it is about. ``is_local``: whether nothing may change for targets outside production.
    """

    name: str
    begin: Edit
    edit: Edit
    undo: Edit
    silent: tuple[str, ...] = ()
    host: str = INSIDE
    is_local: bool = True


def base(key: str, **config: Any) -> Edit:
    """One rule everywhere, firing for the watched targets."""

    def write(plane: Plane, rules: dict[str, int]) -> None:
        rules[key] = plane.rule(
            name=key,
            query_template=WATCHED.template,
            t=3,
            severity="warning",
            config={"labels": {"subject": key}, **config},
        )

    return write


def write(key: str, level: str = "group", place: str = "production", **fields: Any) -> Edit:
    """One more layer."""

    def edit(plane: Plane, rules: dict[str, int]) -> None:
        rules[f"{key} more"] = plane.rule(level, place, key=key, **fields)

    return edit


def remove(key: str) -> Edit:
    return lambda plane, rules: plane.call("DELETE", f"alert-rules/{rules[f'{key} more']}")


def change(key: str, **fields: Any) -> Edit:
    return lambda plane, rules: plane.call("PATCH", f"alert-rules/{rules[key]}", fields)


def rename_group(name: str) -> Edit:
    return lambda plane, _: plane.call("PATCH", f"groups/{plane.ids['group', 'production']}", {"name": name})


def move(**position: str) -> Edit:
    return lambda plane, _: plane.move(MOVER, position)


def both(*edits: Edit) -> Edit:
    def edit(plane: Plane, rules: dict[str, int]) -> None:
        for one in edits:
            one(plane, rules)

    return edit


def moving(key: str, query: str) -> Edit:
    """A rule that production has its own threshold for."""

    def write_both(plane: Plane, rules: dict[str, int]) -> None:
        config = {"labels": {"subject": key}}
        rules[key] = plane.rule(name=key, query_template=query, t=1, config=config)
        plane.rule("group", "production", key=key, config={"template_vars": {"t": 2}})

    return write_both


def higher_threshold(key: str, level: str = "group", place: str = "production") -> Edit:
    return write(key, level, place, config={"template_vars": {"t": 5}})


CONSOLIDATED = ("consolidated",)
ALWAYS = ("per-scope", "consolidated")
NOTHING: Edit = lambda plane, rules: None  # noqa: E731

SUBJECTS = [
    Subject("Threshold", base("Threshold"), higher_threshold("Threshold"), remove("Threshold"), CONSOLIDATED),
    Subject(
        "TargetsOwn",
        base("TargetsOwn"),
        higher_threshold("TargetsOwn", "target", INSIDE),
        remove("TargetsOwn"),
        CONSOLIDATED,
    ),
    Subject(
        "Override",
        base("Override"),
        write("Override", query_template="disk > 4", severity="warning", config={"labels": {"subject": "Override"}}),
        remove("Override"),
        CONSOLIDATED,
    ),
    Subject("Slow", base("Slow", for_duration="2s"), higher_threshold("Slow"), remove("Slow"), CONSOLIDATED),
    Subject("Labels", base("Labels"), write("Labels", config={"labels": {"team": "x"}}), remove("Labels")),
    Subject(
        "Severity",
        base("Severity"),
        write("Severity", severity=None, config={"severity": "critical"}),
        remove("Severity"),
    ),
    Subject("Slower", base("Slower"), write("Slower", config={"for_duration": "2s"}), remove("Slower")),
    Subject("Rarely", base("Rarely"), write("Rarely", config={"interval": "2s"}), remove("Rarely")),
    Subject("Mute", base("Mute"), write("Mute", enabled=False), remove("Mute")),
    Subject(
        "Described",
        base("Described"),
        change("Described", config={"labels": {"subject": "Described"}, "annotations": {"a": "b"}}),
        change("Described", config={"labels": {"subject": "Described"}}),
        ALWAYS,
    ),
    Subject(
        "Rename", base("Rename"), change("Rename", name="Renamed"), change("Rename", name="Rename"), is_local=False
    ),
    Subject(
        "Priority",
        both(base("Priority"), higher_threshold("Priority")),
        change("Priority", priority=200),
        change("Priority", priority=100),
        CONSOLIDATED,
    ),
    Subject("GroupName", base("GroupName"), rename_group("live"), rename_group("production"), ALWAYS),
    Subject(
        "Move",
        moving("Move", "disk > {{ .t }}"),
        move(environment="staging", logical="web|api"),
        move(environment="production", logical="web|api"),
        host=MOVER,
    ),
    Subject("MoveSum", moving("MoveSum", "sum by (target) (cpu) > {{ .t }}"), NOTHING, NOTHING, CONSOLIDATED, MOVER),
]
