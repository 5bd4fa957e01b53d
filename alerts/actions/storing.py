"""Many rows of one table in few statements.

PostgreSQL takes them as one JSON text each time and makes them rows of the table's own type: as parameters, column by
column, they would cost this process several times as much.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, models

AT_ONCE = 1_000
"""Rows in one statement: of the longest rules some ten megabytes."""


def store_new(rows: Sequence[models.Model]) -> None:
    """Insert these rows, all of one model; each gets its id."""
    for some in _parts(rows):
        if connection.vendor == "postgresql":
            fields = [field for field in some[0]._meta.concrete_fields if not field.primary_key]
            columns = ", ".join(map(_column, fields))
            new = f"INSERT INTO {_table(some)} ({columns}) SELECT {columns} FROM {{given}} RETURNING id"  # noqa: S608
            for row, (row_id,) in zip(some, _send(new, some, fields, adding=True), strict=True):
                row.pk = row_id
                row._state.adding, row._state.db = False, connection.alias
        else:
            type(some[0])._default_manager.bulk_create(some)


def store_changed(rows: Sequence[models.Model], names: Collection[str]) -> None:
    """Write these fields of rows, all of one model, that are there already."""
    for some in _parts(rows):
        if connection.vendor == "postgresql":
            fields = [some[0]._meta.get_field(name) for name in names]
            written = ", ".join(f"{column} = given.{column}" for column in map(_column, fields))
            changed = f"UPDATE {_table(some)} AS row SET {written} FROM {{given}} WHERE row.id = given.id"  # noqa: S608
            _send(changed, some, [some[0]._meta.pk, *fields], adding=False)
        else:
            type(some[0])._default_manager.bulk_create(
                some, update_conflicts=True, unique_fields=["id"], update_fields=names
            )


def _send(statement: str, rows: Sequence[models.Model], fields: Sequence[Any], *, adding: bool) -> Iterable[Any]:
    """What the statement answers. All names in it are our own; the values go as the one parameter."""
    values = [(field.column, field.pre_save) for field in fields]
    text = json.dumps(
        [{column: value(row, adding) for column, value in values} for row in rows], default=datetime.isoformat
    )
    given = f"jsonb_populate_recordset(NULL::{_table(rows)}, %s::jsonb) AS given"
    with connection.cursor() as cursor:
        cursor.execute(statement.format(given=given), [text])
        return cursor.fetchall() if cursor.description else []


def _table(rows: Sequence[models.Model]) -> str:
    return connection.ops.quote_name(rows[0]._meta.db_table)


def _column(field: Any) -> str:
    return connection.ops.quote_name(field.column)


def _parts(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(rows), AT_ONCE):
        yield rows[start : start + AT_ONCE]
