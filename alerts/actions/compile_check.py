"""What a write has to pass before it is committed: the keys it touches still compile, and promtool agrees."""

from __future__ import annotations

from collections.abc import Sequence

from alerts.models import AlertRule


def check_rules(changed: Sequence[AlertRule]) -> None:
    """Refuse (``InvalidPolicy``, ``PolicyConflict``) what these rules, already written in this transaction, would break."""


def check_policy() -> None:
    """The same after a change of the topology, which may touch any key."""
