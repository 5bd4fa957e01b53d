"""JSON as the API writes it, and texts of it that are made once and filled in many times.

Most of what is said about a rule is the same wherever its layers are written. A ``Form`` is that text with blanks for
the rest: filling one in is a join of bytes, where building it would be dozens of objects.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import orjson

OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS
# No JSON text has a control character in it: in strings they are escaped.
_MARK = b"\x00"


def json_bytes(data: Any) -> bytes:
    try:
        return orjson.dumps(data, option=OPTIONS)
    except orjson.JSONEncodeError:
        return orjson.dumps(_within_64_bits(data), option=OPTIONS)


def _within_64_bits(value: Any) -> Any:
    """PostgreSQL's jsonb writes 1e22 out in full; it was a float when it came."""
    if isinstance(value, dict):
        return {name: _within_64_bits(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_within_64_bits(item) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return float(value)
    return value


def blank(number: int) -> orjson.Fragment:
    """Stands in a form's data for the text with this number."""
    return orjson.Fragment(_MARK + str(number).encode() + _MARK)


class Form:
    """JSON text with blanks, made of data in which ``blank``s stand."""

    __slots__ = ("_blanks", "_parts", "size")

    def __init__(self, data: Any) -> None:
        text = json_bytes(data)
        self._parts = text.split(_MARK)
        self._blanks = [int(number) for number in self._parts[1::2]]
        self.size = len(text)

    def filled(self, words: Sequence[bytes]) -> bytes:
        """The text with ``words`` (JSON, too) in its blanks, by their numbers."""
        parts = self._parts.copy()
        parts[1::2] = [words[number] for number in self._blanks]
        return b"".join(parts)


class Forms:
    """Forms kept in memory, ``room`` bytes of text at most; then it begins anew. Thread-safe."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._left = room
        self._known: dict[Hashable, tuple[Form, object]] = {}
        self._lock = threading.Lock()

    def form(self, key: Hashable, owners: object, data: Callable[[], Any]) -> Form:
        """The form with this key, made of ``data()`` if it is not known.

        ``owners`` stay in memory with it: whose ids are in the key, so that nobody else gets them.
        """
        known = self._known.get(key)
        if known is not None:
            return known[0]
        form = Form(data())
        with self._lock:
            if form.size > self._left:
                self._known, self._left = {}, self._room
            self._known[key] = (form, owners)
            self._left -= form.size
        return form
