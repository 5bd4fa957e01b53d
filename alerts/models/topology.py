"""Where things are: namespaces, their groups, and the targets that sit in them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from alerts.models.policy_row import PolicyRow, row_constraints, unique_among_living


class Namespace(PolicyRow):
    """A dimension of classification, carried on series by ``label``."""

    name = models.CharField(max_length=255)
    priority = models.IntegerField(default=0, help_text="Of two namespaces that both say something, the higher wins.")
    label = models.CharField(max_length=255, help_text="The Prometheus label that carries it.")
    description = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["-priority", "name", "id"]
        constraints = [
            unique_among_living("namespace_name_taken", "name"),
            unique_among_living("namespace_label_taken", "label"),
            *row_constraints("namespace"),
        ]

    def __str__(self) -> str:
        return self.name


class Group(PolicyRow):
    """A place in one namespace; the groups of a namespace form a tree."""

    name = models.CharField(max_length=255)
    namespace = models.ForeignKey(Namespace, on_delete=models.PROTECT, related_name="groups")
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="children")
    label_value = models.CharField(max_length=255, help_text="Fixed at creation; a new name does not touch it.")
    description = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            unique_among_living("group_name_taken", "namespace", "name"),
            unique_among_living("group_label_value_taken", "namespace", "label_value"),
            *row_constraints("group"),
        ]

    def __str__(self) -> str:
        return self.name


class Target(PolicyRow):
    """A monitored machine or service."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        DISABLED = "disabled"

    hostname = models.CharField(max_length=255)
    address = models.CharField(max_length=255, blank=True, default="", help_text="Empty: the hostname.")
    labels = models.JSONField(default=dict, blank=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.ACTIVE)
    endpoints = models.JSONField(default=list, blank=True)
    groups = models.ManyToManyField(Group, through="Membership", related_name="targets")

    class Meta:
        ordering = ["hostname", "id"]
        constraints = [
            unique_among_living("target_hostname_taken", "hostname"),
            models.CheckConstraint(condition=Q(status__in=["active", "disabled"]), name="target_status_known"),
            *row_constraints("target"),
        ]

    def __str__(self) -> str:
        return self.hostname

    def group_ids(self) -> list[int]:
        """The ids of its groups, ascending; a prefetch of ``memberships`` saves the query."""
        return sorted(membership.group_id for membership in self.memberships.all())


class Membership(models.Model):
    """A target's place in one namespace. ``namespace`` repeats the group's, so that the database can count to one."""

    target = models.ForeignKey(Target, on_delete=models.CASCADE, related_name="memberships")
    group = models.ForeignKey(Group, on_delete=models.PROTECT, related_name="memberships")
    namespace = models.ForeignKey(Namespace, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["target", "namespace"], name="membership_one_group_per_namespace")
        ]

    def __str__(self) -> str:
        return f"{self.target} in {self.group}"
