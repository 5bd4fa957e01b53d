"""The Prometheus servers that policy is delivered to, and how it goes with each."""

from __future__ import annotations

from django.db import models

from alerts.models.delivery import DEFAULT_SERVER, Release
from alerts.models.policy_row import PolicyRow, row_constraints, unique_among_living


class PrometheusServer(PolicyRow):
    """One server that evaluates rules: Prometheus, vmalert or Thanos ruler.

    ``selector`` says which positions' series it holds: namespace name → group label values (each with its subtree), or
    ``{"not_in": [...]}``; an empty one is everything. ``auth`` and ``tls`` name files below
    ``PROMETHEUS_CREDENTIALS_DIR`` or variables ``PROM_AUTH_*``, never secrets themselves. Empty ``url``, ``rule_dir``
    and ``layout`` stand for the settings'.
    """

    class Delivery(models.TextChoices):
        DIRECTORY = "directory", "a folder shared with it, and a reload"
        AGENT = "agent", "an agent beside it fetches its bundle"

    class Layout(models.TextChoices):
        PER_SCOPE = "per-scope"
        CONSOLIDATED = "consolidated"

    name = models.CharField(max_length=100, help_text="Fixed: releases and tokens go by it.")
    description = models.TextField(blank=True, default="")
    url = models.CharField(max_length=500, blank=True, default="")
    delivery = models.CharField(max_length=10, choices=Delivery, default=Delivery.DIRECTORY)
    rule_dir = models.CharField(max_length=500, blank=True, default="")
    layout = models.CharField(max_length=20, choices=Layout, blank=True, default="")
    selector = models.JSONField(default=dict, blank=True)
    auth = models.JSONField(default=dict, blank=True)
    tls = models.JSONField(default=dict, blank=True)
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["name"]
        constraints = [unique_among_living("server_name_taken", "name"), *row_constraints("server")]

    def __str__(self) -> str:
        return self.name


class ServerState(models.Model):
    """What one server should hold, holds, and how it went. Who delivers to it holds its lease.

    ``lease_epoch`` grows whenever the lease changes hands: the number that fences off a holder which slept too long.
    ``offered_release`` is what an agent is told to fetch. ``wanted_since``: when this server was made, enabled or moved
    last, as far as that is known; older changes were not late before.
    """

    name = models.CharField(max_length=100, primary_key=True, default=DEFAULT_SERVER)
    wanted_revision = models.BigIntegerField(default=0)
    wanted_since = models.DateTimeField(null=True, blank=True)
    loaded_revision = models.BigIntegerField(default=0)
    loaded_release = models.ForeignKey(Release, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    pinned_release = models.ForeignKey(Release, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    offered_release = models.ForeignKey(Release, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    lease_holder = models.CharField(max_length=255, blank=True, default="")
    lease_until = models.DateTimeField(null=True, blank=True)
    lease_epoch = models.BigIntegerField(default=0)
    retry_at = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0, help_text="In a row; the next success clears it.")
    last_error = models.JSONField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    flavour = models.CharField(max_length=20, blank=True, default="", help_text="prometheus, vmalert or thanos.")
    prometheus_version = models.CharField(max_length=50, blank=True, default="")
    promtool_version = models.CharField(max_length=50, blank=True, default="")
    agent_seen_at = models.DateTimeField(null=True, blank=True)
    agent_version = models.CharField(max_length=50, blank=True, default="")

    def __str__(self) -> str:
        return self.name


class Tally(models.Model):
    """A counter that outlives processes and is shared by all of them: what ``/metrics`` counts over the whole fleet.

    ``labels`` is canonical JSON; a histogram is one row per bucket, with ``le`` among its labels.
    """

    name = models.CharField(max_length=100)
    labels = models.CharField(max_length=255, default="{}")
    value = models.FloatField(default=0.0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["name", "labels"], name="tally_once")]
        verbose_name_plural = "tallies"

    def __str__(self) -> str:
        return f"{self.name}{self.labels}"
