"""``key__among=words``: as ``in``, for thousands of words."""

from __future__ import annotations

import json
from typing import Any

from django.db.models import Field
from django.db.models.lookups import In


@Field.register_lookup
class Among(In):
    """PostgreSQL is told the words as one JSON text: each a parameter, to write and read them would take most of the
    time, and to plan for them more. They must be texts or whole numbers."""

    lookup_name = "among"

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        column, parameters = self.process_lhs(compiler, connection)
        _, words = self.process_rhs(compiler, connection)
        kind = self.lhs.output_field.db_type(connection).partition("(")[0]
        given = f"SELECT word::{kind} FROM jsonb_array_elements_text(%s::jsonb) AS word"  # noqa: S608  (a type of ours)
        return f"{column} IN ({given})", (*parameters, json.dumps([*words]))
