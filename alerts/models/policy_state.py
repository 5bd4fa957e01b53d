"""The policy revision: one number that every change of the policy moves on."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.db import connection, models, transaction
from django.db.models import Q
from django.utils import timezone


class Turn(NamedTuple):
    """What a writer finds when its turn has come; ``revision`` is the one it may give to its rows.

    ``topology_revision`` is also told by the rows themselves: the release before this one did not note it.
    """

    revision: int
    topology_revision: int
    purged_revision: int


class Commit(NamedTuple):
    """The last committed change: ``revision``, when it was, and the last revisions at which places changed, and at
    which rows went for good."""

    revision: int = 0
    topology_revision: int = 0
    purged_revision: int = 0
    at: datetime | None = None


class PolicyState(models.Model):
    """The only row holds the revision; who wants to write takes this row first, so writers follow one another."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    revision = models.BigIntegerField(default=0)
    topology_revision = models.BigIntegerField(
        default=0, help_text="The revision that last touched a namespace or a group."
    )
    purged_revision = models.BigIntegerField(default=0, help_text="The revision at which rows last went for good.")
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="policy_state_single")]

    def __str__(self) -> str:
        return f"revision {self.revision}"

    @classmethod
    def current(cls) -> int:
        """The revision of the last committed change; 0 before the first."""
        return cls.objects.filter(pk=1).values_list("revision", flat=True).first() or 0

    @classmethod
    def last_commit(cls) -> Commit:
        """All a reader needs to tell what it has to read again."""
        columns = ("revision", "topology_revision", "purged_revision", "changed_at")
        found = cls.objects.filter(pk=1).values_list(*columns).first()
        return Commit(*found) if found else Commit()

    @classmethod
    def lock(cls) -> int:
        """Wait for every other writer, then the revision. Only inside a transaction."""
        _require_transaction()
        # SQLite has the lock since BEGIN IMMEDIATE and ignores the clause.
        row = cls.objects.select_for_update().filter(pk=1).values_list("revision", flat=True).first()
        if row is None:
            cls.objects.get_or_create(pk=1)
            return cls.lock()
        return row

    @classmethod
    def advance(cls) -> Turn:
        """Wait for every other writer and move the revision on, in one statement.

        Who then writes nothing rolls back, and the revision is as it was.
        """
        _require_transaction()
        now = connection.ops.adapt_datetimefield_value(timezone.now())
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE alerts_policystate SET revision = revision + 1, changed_at = %s WHERE id = 1"
                " RETURNING revision, topology_revision, purged_revision,"
                " (SELECT MAX(revision) FROM alerts_namespace), (SELECT MAX(revision) FROM alerts_group)",
                [now],
            )
            found = cursor.fetchone()
        if found is None:
            cls.objects.get_or_create(pk=1)
            return cls.advance()
        revision, noted, purged, *written = found
        return Turn(revision, max(noted, *(row or 0 for row in written)), purged)

    @classmethod
    def bump(cls) -> int:
        """The revision for the rows this transaction writes."""
        return cls.advance().revision


def _require_transaction() -> None:
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("the policy is written inside a transaction")
