"""What every row of a policy has: a version, the revision that last touched it, and a soft death.

Rows with ``deleted_at`` keep their content and can be restored; every uniqueness counts only among the living.
"""

from __future__ import annotations

from typing import Any, Self

from django.db import models
from django.db.models import Q

LIVING = Q(deleted_at__isnull=True)


class PolicyQuerySet(models.QuerySet):
    def living(self) -> Self:
        return self.filter(deleted_at__isnull=True)

    def deleted(self) -> Self:
        return self.filter(deleted_at__isnull=False)


class PolicyRow(models.Model):
    """``version`` counts the changes of this row; ``revision`` is the policy revision of the last one."""

    version = models.PositiveIntegerField(default=1, editable=False)
    # Indexed: "what changed since revision R" is asked on every load of the policy.
    revision = models.BigIntegerField(default=0, db_index=True, editable=False)
    external_id = models.CharField(  # noqa: DJ001  (null: none, and any number of rows have none)
        max_length=255, null=True, blank=True, help_text="Your own id for it; unique among what is not deleted."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: Any = PolicyQuerySet.as_manager()

    class Meta:
        abstract = True

    @property
    def living(self) -> bool:
        return self.deleted_at is None


def unique_among_living(name: str, *fields: str) -> models.UniqueConstraint:
    """A partial unique index: a deleted row gives its name free at once."""
    return models.UniqueConstraint(fields=fields, condition=LIVING, name=name)


def row_constraints(model: str) -> list[models.BaseConstraint]:
    """The constraints every policy row shares, under names of their own."""
    return [
        unique_among_living(f"{model}_external_id_taken", "external_id"),
        models.CheckConstraint(condition=Q(version__gte=1), name=f"{model}_version_from_1"),
    ]
