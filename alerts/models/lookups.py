"""``key__among=words``: as ``in``, for thousands of words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Field
from django.db.models.lookups import In


@Field.register_lookup
class Among(In):
    """PostgreSQL is told the words as one array: each a parameter, to write and read them would take most of the time.

    An array and no sub-select: before the first ANALYZE a join with that would be planned as if there were one row.
    """

    lookup_name = "among"

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        if not self.rhs_is_direct_value():
            return self.as_sql(compiler, connection)
        column, parameters = self.process_lhs(compiler, connection)
        _, words = self.process_rhs(compiler, connection)
        kind = self.lhs.output_field.db_type(connection).partition("(")[0]
        return f"{column} = ANY(%s::{kind}[])", (*parameters, _array(words))


def _array(words: Iterable[Any]) -> str:
    """As PostgreSQL writes an array; the driver takes many times as long for it, word by word."""
    quoted = [str(word).replace("\\", "\\\\").replace('"', '\\"') for word in words]
    return '{"' + '","'.join(quoted) + '"}'
