"""Statements that PostgreSQL plans once for each connection (PREPARE, EXECUTE). Of a short question that is asked over
and over, reading and planning it is most of the work.

A statement's name is the hash of its text. So whoever shares a connection through a pooler can meet a missing name, but
never another statement under it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

from django.db import Error, connection

MOST_PLANS = 128
"""On one connection, whose memory they take on the server; what comes later is planned each time."""
MOST_LOSSES = 20
"""Plans that are gone, or made by somebody else: then a pooler gives connections away, and each of these is an error
in PostgreSQL's log."""
NAME_IS_TAKEN, NAME_IS_GONE, COLUMNS_CHANGED = "42P05", "26000", "0A000"  # SQLSTATEs of PREPARE and EXECUTE

_names: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()
_losses = 0


def execute(cursor: Any, sql: str, parameters: Sequence[Any]) -> None:
    """As ``cursor.execute``; by a plan that is kept, where that can be had.

    Not inside a transaction, which would be over with a plan that turns out to be gone.
    """
    if connection.vendor != "postgresql" or connection.in_atomic_block or not _execute_planned(cursor, sql, parameters):
        cursor.execute(sql, parameters)


def _execute_planned(cursor: Any, sql: str, parameters: Sequence[Any]) -> bool:
    names = _names.setdefault(connection.connection, set())
    name, prepare, ask = _written(sql)
    if (name not in names and len(names) >= MOST_PLANS) or _losses >= MOST_LOSSES:
        return False
    try:
        if name not in names:
            _prepare(cursor, prepare)
            names.add(name)
        cursor.execute(ask, parameters)
    except Error as error:
        if _state(error) == COLUMNS_CHANGED:
            names.discard(name)
            with suppress(Error):  # another connection's by now; the statement itself tells what matters
                cursor.execute(f"DEALLOCATE {name}")
        elif _state(error) == NAME_IS_GONE:
            names.clear()
            _lose()
        else:
            raise
        return False
    return True


def _lose() -> None:
    global _losses
    _losses += 1


def _prepare(cursor: Any, prepare: str) -> None:
    try:
        cursor.execute(prepare)
    except Error as error:
        if _state(error) != NAME_IS_TAKEN:
            raise
        _lose()


@lru_cache(maxsize=1024)
def _written(sql: str) -> tuple[str, str, str]:
    """A statement's name, what prepares it and what asks it."""
    name = f"cs_{hashlib.sha256(sql.encode()).hexdigest()[:32]}"
    pieces = sql.split("%s")
    numbered = "".join(f"{piece}${number}" for number, piece in enumerate(pieces[:-1], 1)) + pieces[-1]
    return name, f"PREPARE {name} AS {numbered}", f"EXECUTE {name} ({', '.join(['%s'] * (len(pieces) - 1))})"


def _state(error: Error) -> str | None:
    return getattr(error.__cause__, "sqlstate", None)
