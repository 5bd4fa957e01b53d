"""What a Prometheus says it has loaded: groups of rules by file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple


class LoadedRule(NamedTuple):
    """``query`` is printed anew by Prometheus; durations are seconds, None where this Prometheus does not tell."""

    type: str
    name: str
    query: str
    duration: float | None
    keep_firing_for: float | None
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    health: str
    last_error: str


@dataclass(frozen=True, eq=False)
class LoadedGroup:
    """``file`` is the path as Prometheus opened it. Rules are taken apart only when somebody looks at them.

    ``outlined``: how many rules there are, where it was asked for no more; then they cannot be looked at.
    """

    file: str
    name: str
    interval: float
    raw: tuple[Mapping[str, Any], ...] = ()
    outlined: int | None = None

    @property
    def size(self) -> int:
        return len(self.raw) if self.outlined is None else self.outlined

    @cached_property
    def rules(self) -> tuple[LoadedRule, ...]:
        return tuple(_rule(raw) for raw in self._known())

    @property
    def failing(self) -> Iterator[LoadedRule]:
        """The rules whose last evaluation went wrong, as far as they were asked for."""
        return (_rule(raw) for raw in self.raw if raw.get("health") == "err")

    def _known(self) -> tuple[Mapping[str, Any], ...]:
        if self.outlined is not None:
            raise LookupError(f"of group {self.name} only the outline was asked for")
        return self.raw


@dataclass(frozen=True, eq=False)
class LoadedRules:
    """``in_order``: rules stand as they were written. vmalert puts new ones behind those it had; Thanos sorts them.

    ``labels_added``: a Thanos ruler adds labels of its own to each rule.
    """

    groups: tuple[LoadedGroup, ...]
    in_order: bool = True
    labels_added: bool = False

    def under(self, rule_dir: str | Path) -> dict[str, list[LoadedGroup]]:
        """The groups that come from ``<rule_dir>/current/``, by file name.

        Prometheus may see the directory under another path, so a path counts that ends the way ours does; where several
        installations do, the one whose path has most in common with ours, read from the end.
        """
        wanted = (*Path(rule_dir).parts, "current")
        common_with = cache(lambda directory: _common_ending(wanted, Path(directory).parts))  # many files share one
        best, found = 1, dict[str, list[LoadedGroup]]()
        for group in self.groups:
            directory, _, name = group.file.rpartition("/")
            common = common_with(directory)
            if common < best or common == 0:
                continue
            if common > best:
                best, found = common, {}
            found.setdefault(name, []).append(group)
        return found


def _common_ending(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    count = 0
    for left, right in zip(reversed(one), reversed(other), strict=False):
        if left != right:
            break
        count += 1
    return count


def _rule(raw: Mapping[str, Any]) -> LoadedRule:
    """What is missing or misshapen is taken for empty: read-back will find that it is not what was written."""
    return LoadedRule(
        type=str(raw.get("type", "")),
        name=str(raw.get("name", "")),
        query=str(raw.get("query", "")),
        duration=_seconds(raw.get("duration")),
        keep_firing_for=_seconds(raw.get("keepFiringFor", raw.get("keep_firing_for"))),  # vmalert's spelling
        labels=_mapping(raw.get("labels")),
        annotations=_mapping(raw.get("annotations")),
        health=str(raw.get("health", "unknown")),
        last_error=str(raw.get("lastError", "")),
    )


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _mapping(value: object) -> Mapping[str, str]:
    return value if isinstance(value, dict) else {}
