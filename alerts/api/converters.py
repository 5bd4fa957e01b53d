"""Ids in paths: what is no id of ours is not found, before any database is asked."""

from __future__ import annotations


class RowId:
    regex = "[1-9][0-9]{0,17}"

    def to_python(self, value: str) -> int:
        return int(value)

    def to_url(self, value: int) -> str:
        return str(value)
