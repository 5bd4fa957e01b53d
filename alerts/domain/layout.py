"""Names of files and groups. They never depend on counts or on other rules, so a rule stays where it is (DESIGN 4).

A rule that moves to another group starts its ``for`` again, so names follow from the rule's own scope, key and interval
alone, and from the recording it reads.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import Literal
from urllib.parse import quote

from alerts.domain.layers import Scope

Layout = Literal["per-scope", "consolidated"]
LAYOUTS: tuple[Layout, ...] = ("per-scope", "consolidated")

FILE_BUCKETS = 64
"""Files of the ``consolidated`` layout."""

GROUP_BUCKETS = 8
"""Groups that share the rules of a scope which may hold very many: global and whole namespaces."""

_MAX_PART = 100


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


@lru_cache(maxsize=16_384)
def file_part(text: str) -> str:
    """A name as part of a file name: percent-encoded outside ``[A-Za-z0-9_-]``.

    A hash is added where two names could meet: very long ones, and those with capitals (some file systems fold case).
    """
    part = "".join(char if char in "_-" or (char.isascii() and char.isalnum()) else _encode(char) for char in text)
    if len(part) > _MAX_PART:
        return f"{part[:_MAX_PART]}-{_digest(text)[:12]}"
    return f"{part}-{_digest(text)[:12]}" if text != text.lower() else part


def _encode(char: str) -> str:
    return f"%{ord(char):02X}" if char.isascii() else quote(char)


def scope_file(scope: Scope) -> str:
    """``global.yml``, ``namespace-<ns>.yml``, ``group-<ns>.<group>.yml`` or ``target-<host>.yml``."""
    if scope.level == "global":
        return "global.yml"
    if scope.level == "group":
        return f"group-{file_part(scope.namespace)}.{file_part(scope.value)}.yml"
    return f"{scope.level}-{file_part(scope.value or scope.namespace)}.yml"


def place(layout: Layout, scope: Scope, affinity: str, interval: str | None) -> tuple[str, str]:
    """(file, group) of a rule. ``affinity`` brings a recording and the alerts that read it into one group."""
    if layout == "consolidated":
        return _bucket(_number(affinity) % FILE_BUCKETS, interval)
    if scope.level in ("global", "namespace"):
        return _own_file(scope, f"-{_number(affinity) % GROUP_BUCKETS}", interval)
    return _own_file(scope, "", interval)


@lru_cache(maxsize=16_384)
def _number(affinity: str) -> int:
    return int(_digest(affinity)[:8], 16)


@lru_cache(maxsize=1024)
def _bucket(number: int, interval: str | None) -> tuple[str, str]:
    bucket = f"policy-{number:02d}"
    return f"{bucket}.yml", f"{bucket}{_at(interval)}"


@lru_cache(maxsize=16_384)
def _own_file(scope: Scope, part: str, interval: str | None) -> tuple[str, str]:
    return scope_file(scope), f"{scope.text}{part}{_at(interval)}"


def _at(interval: str | None) -> str:
    return f"@{interval}" if interval else ""
