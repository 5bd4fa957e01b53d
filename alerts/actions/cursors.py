"""Reading more rows than should be in memory at once."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from django.db import connection, transaction


def reading_by_pieces() -> AbstractContextManager[object]:
    """Around ``QuerySet.iterator()``: what a cursor of PostgreSQL's belongs to.

    Without a transaction PostgreSQL copies all rows first, and a pooler loses the cursor on the way. SQLite takes
    its lock for writing at every BEGIN, and needs none for this.
    """
    return transaction.atomic(savepoint=False) if connection.vendor == "postgresql" else nullcontext()
