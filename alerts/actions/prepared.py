"""Query sets whose SQL is written once. Django writes it anew at every use, which costs more than the answer does:
half of a request that asks four short questions. For what every request asks, and for nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import connection, models
from django.db.models import QuerySet

from alerts.actions import planned

Value = str | int
Row = TypeVar("Row", bound=models.Model)

MOST_FORMS = 64
"""Of one question: it has another form for each number of values."""


@dataclass(frozen=True)
class _Written:
    """``slots``: which of the caller's values stands at which place of ``parameters``."""

    sql: str
    parameters: tuple[Any, ...]
    slots: Mapping[int, int]
    converters: Mapping[int, tuple[Sequence[Callable[..., Any]], Any]]

    def bound(self, values: Sequence[Value]) -> list[Any]:
        return [values[self.slots[at]] if at in self.slots else said for at, said in enumerate(self.parameters)]

    def read(self, row: Sequence[Any]) -> list[Any]:
        found = list(row)
        for column, (converters, expression) in self.converters.items():
            for convert in converters:
                found[column] = convert(found[column], expression, connection)
        return found


class Prepared:
    """``make`` gives a ``values_list`` of what is asked about its values, each of which it compares as it is."""

    def __init__(self, make: Callable[..., QuerySet[Any, Any]]) -> None:
        self._make = make
        self._forms: dict[tuple[Any, ...], _Written] = {}

    def rows(self, *values: Value) -> list[list[Any]]:
        form = (connection.vendor, *map(type, values))
        written = self._forms.get(form)
        if written is None:
            if len(self._forms) >= MOST_FORMS:
                self._forms.clear()
            written = self._forms[form] = self._write(values)
        with connection.cursor() as cursor:
            planned.execute(cursor, written.sql, written.bound(values))
            found = cursor.fetchall()
        return [written.read(row) for row in found]

    def _write(self, values: Sequence[Value]) -> _Written:
        stand_ins = list(_stand_ins(values))
        compiler = self._make(*stand_ins).query.get_compiler(connection=connection)
        sql, parameters = compiler.as_sql()
        slots = {at: stand_ins.index(said) for at, said in enumerate(parameters) if said in stand_ins}
        if set(slots.values()) != set(range(len(values))):
            raise ValueError("a value does not come into the statement as it is")
        columns = [column for column, *_ in compiler.select[: compiler.col_count]]
        return _Written(sql, tuple(parameters), slots, compiler.get_converters(columns))


def _stand_ins(values: Sequence[Value]) -> Iterator[Value]:
    """Other values of the same types, which nothing else in a statement equals."""
    for place, value in enumerate(values):
        yield f"stand-in {place} \x01" if isinstance(value, str) else 2**62 + place


def columns_of(model: type[models.Model], *, without: Collection[str] = ()) -> list[str]:
    """A model's columns in the order in which ``stored`` takes them."""
    return [column.attname for column in model._meta.concrete_fields if column.attname not in without]


def stored(model: type[Row], columns: Sequence[str], values: Sequence[Any]) -> Row:
    """A row as it was read; a column that is not among ``columns`` is read when somebody asks for it."""
    row: Row = model.from_db(connection.alias, columns, values)
    return row
