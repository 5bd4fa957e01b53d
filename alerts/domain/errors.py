"""Everything the domain can object to.

::

    PolicyError                    findings that stop something
    ├── InvalidPolicy              the caller's own input is at fault
    │   └── PromqlError            ... in an expression; findings carry an offset
    └── PolicyConflict             the input is well formed, but something that exists stands against it

A finding says where, what, how to fix it and how bad it is; all of them are reported, not just the first.
The domain knows nothing of HTTP: ``alerts/api/errors.py`` is the one place where these become a status.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Finding:
    """One objection to a policy.

    ``pointer`` is a JSON pointer into the written object (``/config/labels/team``), "" for the whole of it;
    ``offset`` a 0-based character position in the text at ``pointer``; ``rule_id`` and ``key`` name the rule it
    speaks of, which for a conflict is the *other* rule; ``level`` is ``error`` or ``warning``.
    """

    code: str
    message: str
    pointer: str = ""
    hint: str = ""
    level: str = "error"
    offset: int | None = None
    line: int | None = None
    column: int | None = None
    key: str | None = None
    rule_id: int | None = None

    def at(self, pointer: str) -> Finding:
        """The same finding about the text at ``pointer``."""
        return replace(self, pointer=pointer)

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class PolicyError(Exception):
    """One or more findings that stop something."""

    def __init__(self, findings: Finding | Iterable[Finding]) -> None:
        self.findings: tuple[Finding, ...] = (findings,) if isinstance(findings, Finding) else tuple(findings)
        super().__init__("; ".join(str(finding) for finding in self.findings))


class InvalidPolicy(PolicyError):
    """The input itself is wrong."""


class PromqlError(InvalidPolicy):
    """An expression that cannot be read, or must not be."""


class PolicyConflict(PolicyError):
    """The input is well formed but stands against something that exists."""
