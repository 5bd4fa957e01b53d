"""Versions on the wire: strong ``ETag: "v<version>"``, ``If-Match``, ``If-None-Match``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rest_framework.request import Request

from alerts.api.problems import ApiProblem

_TAG = re.compile(r'(W/)?"([^"]*)"')
_VERSION = re.compile(r"v([1-9][0-9]{0,9})")


def etag(version: int) -> str:
    return f'"v{version}"'


@dataclass(frozen=True)
class IfMatch:
    """The versions a writer is willing to overwrite; None: any."""

    versions: frozenset[int] | None

    @property
    def is_open(self) -> bool:
        return self.versions is None

    def expected(self, current: int | None) -> int | None:
        """The version an action shall insist on. 0 is no row's version, so it never matches."""
        if self.versions is None:
            return None
        return current if current in self.versions else 0


def if_match(request: Request) -> IfMatch:
    """Weak tags never match (RFC 9110, 13.1.1)."""
    header = request.META.get("HTTP_IF_MATCH")
    if header is None or header.strip() == "*":
        return IfMatch(None)
    return IfMatch(_versions(header, weak=False))


def refuse_lost_update(matched: IfMatch, current: int) -> None:
    if matched.versions is not None and current not in matched.versions:
        raise ApiProblem(412, "version_mismatch", f"the version is {current} now", headers={"ETag": etag(current)})


def not_modified(request: Request, version: int) -> bool:
    """Whether ``If-None-Match`` already names this version (weak comparison)."""
    header = request.META.get("HTTP_IF_NONE_MATCH")
    if header is None:
        return False
    return header.strip() == "*" or version in _versions(header, weak=True)


def _versions(header: str, *, weak: bool) -> frozenset[int]:
    found = (_VERSION.fullmatch(text) for is_weak, text in _TAG.findall(header) if weak or not is_weak)
    return frozenset(int(match[1]) for match in found if match)
