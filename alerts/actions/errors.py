"""Why an action did not do what it was asked.

::

    PolicyError                    (alerts/domain/errors.py)
    ├── InvalidPolicy              the caller's own input is at fault
    ├── NotFound                   no such thing; lists every id that is missing
    ├── VersionMismatch            somebody else changed it since the caller looked
    └── PolicyConflict             something that exists stands against it
        ├── Taken                  ... a name or an identity
        └── Held                   ... others still need it; lists them

Each carries findings, so that whoever shows them needs to know only one shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from alerts.domain.errors import Finding, InvalidPolicy, PolicyConflict, PolicyError

__all__ = [
    "Held",
    "Holder",
    "InvalidPolicy",
    "NotFound",
    "PolicyConflict",
    "PolicyError",
    "Taken",
    "VersionMismatch",
    "words_of",
]

SHOWN = 100


def words_of(type_name: str) -> str:
    """A type's word in the API's paths as sentences have it."""
    return type_name.replace("-", " ").replace("prometheus", "Prometheus")


class NotFound(PolicyError):
    """``ids`` name nothing of this type. ``asked`` is the list they were found missing in, when there was one."""

    def __init__(self, type_name: str, ids: Iterable[int], asked: Sequence[int] | None = None) -> None:
        self.type = type_name
        self.ids = tuple(ids)
        words = words_of(type_name)
        pointers = {row_id: f"/ids/{asked.index(row_id)}" for row_id in self.ids} if asked and len(asked) > 1 else {}
        super().__init__(
            Finding("not_found", f"There is no {words} {row_id}.", pointers.get(row_id, "")) for row_id in self.ids
        )


class VersionMismatch(PolicyError):
    """The row has ``version`` now."""

    def __init__(self, version: int) -> None:
        self.version = version
        super().__init__(
            Finding("version_mismatch", f"It was changed since: its version is {version} now.", hint="Read it again.")
        )


class Taken(PolicyConflict):
    """A name or identity that another living row has."""


@dataclass(frozen=True)
class Holder:
    """Something that needs what was to be removed. ``type`` is a word of the API's paths: ``alert-rule``."""

    type: str
    id: int
    name: str


class Held(PolicyConflict):
    """The first hundred of those that hold it."""

    def __init__(self, holders: Sequence[Holder]) -> None:
        self.holders = tuple(holders[:SHOWN])
        first = ", ".join(f"{holder.type} {holder.name} ({holder.id})" for holder in self.holders[:3])
        more = f" and {len(holders) - 3} more" if len(holders) > 3 else ""
        super().__init__(Finding("held", f"It is still needed by {first}{more}.", hint="Remove or move those first."))

    @property
    def held_by(self) -> list[dict[str, Any]]:
        return [asdict(holder) for holder in self.holders]
