"""One change of the policy: a transaction that writers enter one after another.

1. Take the policy's row and move the revision on, so that nobody else writes meanwhile and everything read from here
   on stays true.
2. Read, judge and write the rows.
3. Let the compiler and promtool look at the result (``compile_check``), then commit. ``dry_run`` rolls back instead,
   and so does who wrote nothing: the revision then is what it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import IntegrityError, models, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from alerts.actions import places, waking
from alerts.actions.errors import NotFound, VersionMismatch, words_of
from alerts.actions.fields import MISSHAPEN, check_fields
from alerts.actions.places import Places
from alerts.actions.taken import taken
from alerts.domain.errors import Finding, InvalidPolicy, PolicyConflict
from alerts.domain.layers import Topology
from alerts.models import Group, Namespace, PolicyRow, PolicyState, Turn

Row = TypeVar("Row", bound=PolicyRow)
LARGEST_ID = 2**63 - 1
STAMPS = ("version", "revision", "updated_at")


class Write:
    """The transaction under way; its rows get ``revision``."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._places: Places | None = None
        self._touches_topology = False
        self._purges = False
        self._moves = False

    @property
    def revision(self) -> int:
        """Who asks for it writes something."""
        self._moves = True
        return self._turn.revision

    @property
    def places(self) -> Places:
        """Namespaces and groups as they stand in this transaction."""
        if self._places is None:
            self._places = places.read() if self._touches_topology else places.at(self._turn)
        return self._places

    @property
    def topology(self) -> Topology:
        return self.places.topology

    def insert(self, row: PolicyRow) -> None:
        row.revision = self.revision
        row.save(force_insert=True)
        self._touched(type(row))

    def update(self, row: PolicyRow, changed: Collection[str]) -> None:
        """Store ``changed`` fields, with the next version."""
        row.version += 1
        row.revision = self.revision
        row.save(update_fields=[*changed, *STAMPS])
        self._touched(type(row))

    def update_all(self, rows: Sequence[Row], **values: Any) -> None:
        """The same few values for many rows, in one statement."""
        if not rows:
            return
        stamped = {**values, "revision": self.revision, "updated_at": timezone.now()}
        found = rows_of(type(rows[0])).filter(pk__in=[row.pk for row in rows])
        found.update(version=F("version") + 1, **stamped)
        for row in rows:
            row.version += 1
            for name, value in stamped.items():
                setattr(row, name, value)
        self._touched(type(rows[0]))

    def purge(self, rows: QuerySet[Any]) -> None:
        """For good, and not a change of the policy: they were deleted before, so the revision stays."""
        rows.delete()
        self._purges = True
        self._touched(rows.model)

    def _touched(self, model: type[models.Model]) -> None:
        if issubclass(model, Namespace | Group):
            self._touches_topology = True
            self._places = None

    def close(self) -> bool:
        """Note what readers in other processes must know; False when there is nothing to commit."""
        if not self._moves and not self._purges:
            return False
        revision = self._turn.revision if self._moves else self._turn.revision - 1
        noted = {"revision": revision} if not self._moves else {}
        if self._touches_topology:
            noted["topology_revision"] = revision
        if self._purges:
            noted["purged_revision"] = revision
        if noted:
            PolicyState.objects.filter(pk=1).update(**noted)
        return True


@contextmanager
def writing(*, dry_run: bool = False) -> Iterator[Write]:
    """Commit at the end, unless ``dry_run``; the database's own refusal of a taken name becomes ``Taken``."""
    try:
        with transaction.atomic():
            write = Write(PolicyState.advance())
            yield write
            if dry_run or not write.close():
                transaction.set_rollback(True)
            else:
                waking.policy_changed()
    except IntegrityError as error:
        conflict = taken(error)
        if conflict is None:
            raise
        raise conflict from error


def type_name(model: type[PolicyRow]) -> str:
    """A type's word in the API's paths, in the singular."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", model.__name__)
    return words.lower()


def rows_of(model: type[PolicyRow]) -> Any:
    """All rows of a type, dead or alive."""
    return model.objects


def pick(model: type[Row], row_id: int, *related: str) -> Row:
    """A living row, or ``NotFound``."""
    row: Row | None = None
    if 0 < row_id <= LARGEST_ID:
        row = rows_of(model).select_related(*related).filter(pk=row_id, deleted_at__isnull=True).first()
    if row is None:
        raise NotFound(type_name(model), [row_id])
    return row


def refer(model: type[Row], row_id: Any, pointer: str, *related: str) -> Row:
    """The row a value points to: an unknown one is the caller's fault, a deleted one a conflict."""
    return refer_all(model, [row_id], [pointer], *related)[0]


def refer_all(model: type[Row], ids: Sequence[Any], pointers: Sequence[str], *related: str) -> list[Row]:
    """The rows that values point to, all objections at once."""
    usable = [row_id for row_id in ids if type(row_id) is int and 0 < row_id <= LARGEST_ID]
    rows: dict[int, Row] = {row.pk: row for row in rows_of(model).select_related(*related).filter(pk__in=usable)}
    return referred(model, rows, ids, pointers)


def referred(model: type[Row], rows: Mapping[int, Row], ids: Sequence[Any], pointers: Sequence[str]) -> list[Row]:
    """The same for rows that are at hand."""
    words = words_of(type_name(model))
    unknown = [
        Finding("unknown_reference", f"There is no {words} {row_id!r}.", pointer)
        for row_id, pointer in zip(ids, pointers, strict=True)
        if type(row_id) is not int or row_id not in rows
    ]
    if unknown:
        raise InvalidPolicy(unknown)
    deleted = [
        Finding("deleted_reference", f"The {words} {rows[row_id]} is deleted.", pointer, hint="Restore it first.")
        for row_id, pointer in zip(ids, pointers, strict=True)
        if not rows[row_id].living
    ]
    if deleted:
        raise PolicyConflict(deleted)
    return [rows[row_id] for row_id in ids]


def expect(row: PolicyRow, version: int | None) -> None:
    if version is not None and row.version != version:
        raise VersionMismatch(row.version)


def refuse(findings: Iterable[Finding], more: Iterable[Finding] = ()) -> None:
    """Raise if one of them is an error; warnings pass. ``more`` adds what is not objected to at the same place."""
    found = list(findings)
    places = {finding.pointer for finding in found}
    found += [finding for finding in more if finding.pointer not in places]
    if any(finding.level == "error" for finding in found):
        raise InvalidPolicy(found)


def only(values: Mapping[str, Any], allowed: Collection[str]) -> None:
    """No values but these: a misspelt name must not be lost."""
    refuse(
        Finding("unknown_field", "is not a field that can be set", f"/{name}") for name in values if name not in allowed
    )


def settle(row: PolicyRow, values: Mapping[str, Any]) -> tuple[set[str], list[Finding]]:
    """Put the values on the row; the names of those that differ, and what does not fit its column.

    A value of a wrong type is refused at once: nothing further can be said about it.
    """
    findings = check_fields(type(row), values)
    refuse(finding for finding in findings if finding.code in MISSHAPEN)
    changed = {name for name, value in values.items() if _differs(getattr(row, name), value)}
    for name in changed:
        setattr(row, name, values[name])
    return changed, findings


def _differs(before: Any, after: Any) -> bool:
    if isinstance(before, str | None) and isinstance(after, str | None):
        return before != after
    if not before and not after and type(before) is type(after):
        return False
    # Equal to Python, yet written differently: 1, 1.0 and true. PostgreSQL keeps no order of members.
    return before != after or _written(before) != _written(after)


def _written(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
