"""The rows that rules point to: namespaces and groups from memory, targets and templates from the database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from alerts.actions.places import Places
from alerts.actions.writing import LARGEST_ID, refer, referred, rows_of
from alerts.models import Group, Namespace, PolicyRow

Row = TypeVar("Row", bound=PolicyRow)
RELATED: dict[type[PolicyRow], tuple[str, ...]] = {Group: ("namespace",)}


class References:
    """Within one write, where they cannot change."""

    def __init__(self, places: Places) -> None:
        self._rows: dict[type[PolicyRow], dict[int, Any]] = {
            Namespace: dict(places.namespaces),
            Group: dict(places.groups),
        }
        self._complete: set[type[PolicyRow]] = set()

    def read(self, model: type[PolicyRow], ids: Iterable[Any]) -> None:
        """All that will be asked for of a type, at once."""
        rows = self._rows.setdefault(model, {})
        unknown = {row_id for row_id in ids if type(row_id) is int and 0 < row_id <= LARGEST_ID} - rows.keys()
        if unknown:
            found = rows_of(model).select_related(*RELATED.get(model, ())).filter(pk__among=unknown)
            rows |= {row.pk: row for row in found}
        self._complete.add(model)

    def to(self, model: type[Row], row_id: Any, pointer: str) -> Row:
        """An unknown one is the caller's fault, a deleted one a conflict."""
        rows: dict[int, Row] = self._rows.get(model, {})
        row = rows.get(row_id) if type(row_id) is int else None
        if row is not None and row.living:
            return row
        if row is not None or model in self._complete:
            return referred(model, rows, [row_id], [pointer])[0]
        return refer(model, row_id, pointer, *RELATED.get(model, ()))
