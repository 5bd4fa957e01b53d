"""Many rows at once, all or nothing: picked by id, buried, brought back, and purged for good."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeVar

from django.utils import timezone

from alerts.actions.errors import Held, Holder, NotFound, words_of
from alerts.actions.writing import LARGEST_ID, Write, expect, rows_of, type_name
from alerts.domain.errors import Finding, InvalidPolicy, PolicyConflict
from alerts.models import PolicyRow

Row = TypeVar("Row", bound=PolicyRow)
MOST_IDS = 1000


def pick_all(model: type[Row], ids: Sequence[int], *related: str) -> list[Row]:
    """All of them, dead or alive, each once, in the order of ids; or ``NotFound`` with all that are missing."""
    wanted = list(dict.fromkeys(ids))
    if len(wanted) > MOST_IDS:
        raise InvalidPolicy(Finding("too_many", f"has {len(wanted)} ids, at most {MOST_IDS} are allowed", "/ids"))
    possible = [row_id for row_id in wanted if 0 < row_id <= LARGEST_ID]
    found: dict[int, Row] = {row.pk: row for row in rows_of(model).select_related(*related).filter(pk__in=possible)}
    missing = [row_id for row_id in wanted if row_id not in found]
    if missing:
        raise NotFound(type_name(model), missing, ids)
    return [found[row_id] for row_id in wanted]


def condemned(model: type[Row], ids: Sequence[int], version: int | None, *related: str) -> list[Row]:
    """The rows to delete; to this end a deleted one is unknown. ``version`` is what the caller last saw."""
    rows = pick_all(model, ids, *related)
    gone = [row.pk for row in rows if not row.living]
    if gone:
        raise NotFound(type_name(model), gone, ids)
    for row in rows:
        expect(row, version)
    return rows


def hold(holders: Sequence[Holder]) -> None:
    if holders:
        # One rule may need a thing twice.
        raise Held(list(dict.fromkeys(holders)))


def bury(write: Write, rows: Sequence[PolicyRow]) -> None:
    write.update_all(rows, deleted_at=timezone.now())


def raise_dead(write: Write, model: type[Row], ids: Sequence[int], *related: str) -> list[Row]:
    """Bring back those of ``ids`` that are deleted; the others are alive already and stay as they are."""
    rows = [row for row in pick_all(model, ids, *related) if not row.living]
    write.update_all(rows, deleted_at=None)
    return rows


def refuse_deleted(model: type[PolicyRow], ids: Collection[int | None]) -> None:
    """Nothing comes back below something that is deleted."""
    dead = rows_of(model).filter(pk__in=[row_id for row_id in ids if row_id], deleted_at__isnull=False)
    words = words_of(type_name(model))
    found = [
        Finding("deleted_reference", f"The {words} {row} ({row.pk}) is deleted.", hint="Restore it first.")
        for row in dead.order_by("id")
    ]
    if found:
        raise PolicyConflict(found)


def doomed(model: type[Row], ids: Sequence[int]) -> list[Row]:
    """The rows to purge: every one must be deleted already."""
    rows = pick_all(model, ids)
    living = [
        Finding("not_deleted", f"{row} ({row.pk}) is not deleted.", f"/ids/{place}", hint="Delete it first.")
        for place, row in enumerate(rows)
        if row.living
    ]
    if living:
        raise PolicyConflict(living)
    return rows
