"""Namespaces and groups, kept in memory by every process until one of them changes.

``PolicyState.topology_revision`` says when that was. Only what was committed is kept: a revision that was rolled back
is given out again, for other rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from alerts.actions.layers import topology_of
from alerts.domain import layers
from alerts.domain.layers import Topology
from alerts.models import Group, Namespace, Turn


@dataclass(frozen=True, eq=False)
class Places:
    """The topology, and the living rows it is made of by their ids: shared by all who read them, so never changed."""

    topology: Topology
    namespaces: Mapping[int, Namespace]
    groups: Mapping[int, Group]


@dataclass(frozen=True, eq=False)
class _Kept:
    places: Places
    topology_revision: int
    seen_at: int
    """The policy revision it was read at: should the database go back behind it, other rows may follow."""

    def holds(self, turn: Turn) -> bool:
        topology = self.places.topology
        return (
            self.topology_revision == turn.topology_revision
            and self.seen_at < turn.revision
            and (topology.target_label, topology.scope_label) == (settings.TARGET_LABEL, settings.SCOPE_LABEL)
        )


_kept: _Kept | None = None


def read() -> Places:
    """As they stand in the database now, uncommitted changes of this transaction included."""
    namespaces = list(Namespace.objects.living().order_by("name"))
    # A group that has children lives, and so does the namespace of one.
    groups = list(
        Group.objects.living().select_related("namespace", "parent").order_by("namespace__name", "label_value")
    )
    topology = topology_of(
        tuple(layers.Namespace(row.name, row.label, row.priority) for row in namespaces),
        tuple(
            layers.Group(row.namespace.name, row.label_value, row.parent.label_value if row.parent else None)
            for row in groups
        ),
    )
    return Places(topology, {row.pk: row for row in namespaces}, {row.pk: row for row in groups})


def at(turn: Turn) -> Places:
    """For a writer whose turn it is and who has changed none of them yet."""
    known = _kept
    if known is not None and known.holds(turn):
        return known.places
    found = _Kept(read(), turn.topology_revision, turn.revision - 1)
    transaction.on_commit(lambda: _keep(found))
    return found.places


def _keep(found: _Kept) -> None:
    # Of two that were read at once, whichever comes last: a wrong one is never taken for the right one.
    global _kept
    _kept = found


def forget() -> None:
    """For tests, whose databases begin again at revision 0."""
    global _kept
    _kept = None
