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

from alerts.actions.asides import begun

AT_ONCE = 1_000
"""Rows in one statement."""
MOST_BYTES = 8_000_000
"""Of JSON in one statement, or one row; PostgreSQL takes a quarter of a gigabyte."""


Part = tuple[list[models.Model], str]
"""As many rows as one statement takes, and they as JSON."""


def store_new(rows: Sequence[models.Model]) -> None:
    """Insert these rows, all of one model; each gets its id."""
    if not rows:
        return
    if connection.vendor != "postgresql":
        _manager(rows).bulk_create(rows)
        return
    fields = [field for field in _fields(rows) if not field.primary_key]
    columns = ", ".join(map(_column, fields))
    new = f"INSERT INTO {_table(rows)} ({columns}) SELECT {columns} FROM {{given}} RETURNING id"  # noqa: S608  (own names)
    for some, text in _texts(rows, fields, adding=True):
        for row, (row_id,) in zip(some, _send(new, rows, text), strict=True):
            row.pk = row_id
            row._state.adding, row._state.db = False, connection.alias


def store_changed(rows: Sequence[models.Model], names: Collection[str]) -> None:
    """Write these fields of rows, all of one model, that are there already."""
    if not rows:
        return
    if connection.vendor != "postgresql":
        _manager(rows).bulk_create(rows, update_conflicts=True, unique_fields=["id"], update_fields=names)
        return
    named = [field for field in _fields(rows) if field.name in names]
    written = ", ".join(f"{column} = given.{column}" for column in map(_column, named))
    changed = f"UPDATE {_table(rows)} AS row SET {written} FROM {{given}} WHERE row.id = given.id"  # noqa: S608  (own names)
    for _, text in _texts(rows, [rows[0]._meta.pk, *named], adding=False):
        _send(changed, rows, text)


def _texts(rows: Sequence[models.Model], fields: Sequence[Any], *, adding: bool) -> Iterator[Part]:
    parts = _parts(rows, fields, adding=adding)
    return _ahead(parts) if len(rows) > AT_ONCE else parts


def _ahead(parts: Iterator[Part]) -> Iterator[Part]:
    """Each is made while PostgreSQL is busy with the one before."""
    part = next(parts, None)
    while part is not None:
        following = begun(lambda: next(parts, None), name="next rows")
        yield part
        part = following.result()


def _parts(rows: Sequence[models.Model], fields: Sequence[Any], *, adding: bool) -> Iterator[Part]:
    values = [(field.column, field.pre_save) for field in fields]
    encode = json.JSONEncoder(default=datetime.isoformat).encode
    some: list[models.Model] = []
    texts: list[str] = []
    room = MOST_BYTES
    for row in rows:
        text = encode({column: value(row, adding) for column, value in values})
        if some and (len(some) == AT_ONCE or len(text) > room):
            yield some, f"[{','.join(texts)}]"
            some, texts, room = [], [], MOST_BYTES
        some.append(row)
        texts.append(text)
        room -= len(text)
    if some:
        yield some, f"[{','.join(texts)}]"


def _send(statement: str, rows: Sequence[models.Model], text: str) -> Iterable[Any]:
    """What the statement answers. All names in it are our own; the values go as the one parameter."""
    given = f"jsonb_populate_recordset(NULL::{_table(rows)}, %s::jsonb) AS given"
    with connection.cursor() as cursor:
        cursor.execute(statement.format(given=given), [text])
        return cursor.fetchall() if cursor.description else []


def comes_back(value: Any) -> bool:
    """Whether JSON is read as it was stored: PostgreSQL writes 1e22 out, which then is an integer, and has no -0.0."""
    if isinstance(value, dict):
        return all(map(comes_back, value.values()))
    if isinstance(value, list | tuple):
        return all(map(comes_back, value))
    return not isinstance(value, float) or ("e+" not in (written := repr(value)) and written != "-0.0")


def _manager(rows: Sequence[models.Model]) -> Any:
    return type(rows[0])._default_manager


def _fields(rows: Sequence[models.Model]) -> Sequence[Any]:
    return rows[0]._meta.concrete_fields


def _table(rows: Sequence[models.Model]) -> str:
    return connection.ops.quote_name(rows[0]._meta.db_table)


def _column(field: Any) -> str:
    return connection.ops.quote_name(field.column)
