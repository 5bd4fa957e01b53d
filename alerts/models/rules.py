"""What people say about alerts: templates to start from, and rules, each one layer at one scope."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from alerts.models.policy_row import PolicyRow, row_constraints, unique_among_living
from alerts.models.topology import Group, Namespace, Target

METRIC_LENGTH = 255


class RuleKind(models.TextChoices):
    ALERTING = "alerting"
    RECORDING = "recording"


class Definition(PolicyRow):
    """What a template and a rule both hold. A text that is null says nothing: a weaker layer's word stands."""

    kind = models.CharField(max_length=10, choices=RuleKind, default=RuleKind.ALERTING)
    severity = models.CharField(max_length=50, null=True, blank=True)  # noqa: DJ001
    default_config = models.JSONField(default=dict, blank=True)
    variables = models.JSONField(default=list, blank=True)
    unscoped = models.JSONField(default=list, blank=True, help_text="Metrics whose series carry no position.")

    class Meta:
        abstract = True


class AlertTemplate(Definition):
    """A reusable definition. Rules made from it copy it, so it holds none of them."""

    name = models.CharField(max_length=255)
    description = models.TextField(blank=True, default="")
    query_template = models.TextField()

    class Meta:
        ordering = ["name", "id"]
        # List of templates of one severity.
        indexes = [models.Index(fields=["severity"], name="template_by_severity")]
        constraints = [
            unique_among_living("template_name_taken", "name"),
            models.CheckConstraint(condition=Q(kind__in=["alerting", "recording"]), name="template_kind_known"),
            *row_constraints("template"),
        ]

    def __str__(self) -> str:
        return self.name


class AlertRule(Definition):
    """One layer: what is said about ``key`` at one scope. No scope set is global."""

    class Strategy(models.TextChoices):
        OVERRIDE = "override"
        MERGE = "merge"

    key = models.CharField(max_length=255)
    name = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001
    namespace = models.ForeignKey(Namespace, on_delete=models.PROTECT, null=True, blank=True, related_name="rules")
    group = models.ForeignKey(Group, on_delete=models.PROTECT, null=True, blank=True, related_name="rules")
    target = models.ForeignKey(Target, on_delete=models.PROTECT, null=True, blank=True, related_name="rules")
    scope_key = models.CharField(max_length=40, editable=False)
    query_template = models.TextField(null=True, blank=True)  # noqa: DJ001
    config = models.JSONField(default=dict, blank=True)
    merge_strategy = models.CharField(max_length=10, choices=Strategy)
    priority = models.IntegerField(default=100)
    enabled = models.BooleanField(null=True, blank=True, default=None)
    partition_by = models.JSONField(default=list, blank=True)
    allow_split = models.BooleanField(default=False)
    created_from_template = models.ForeignKey(
        AlertTemplate, on_delete=models.SET_NULL, null=True, blank=True, related_name="rules", editable=False
    )
    created_from_template_name = models.CharField(  # noqa: DJ001
        max_length=255, null=True, blank=True, editable=False
    )

    class Meta:
        ordering = ["key", "id"]
        indexes = [
            # Lists filtered by name.
            models.Index(fields=["name"], name="rule_by_name"),
            # Lists filtered by severity.
            models.Index(fields=["severity"], name="rule_by_severity"),
            # The rules at exactly one scope.
            models.Index(fields=["scope_key"], name="rule_by_scope"),
        ]
        constraints = [
            # Also the way to all layers of one key: (kind, key) is its prefix.
            unique_among_living("rule_identity_taken", "kind", "key", "scope_key"),
            models.CheckConstraint(
                condition=Q(namespace__isnull=True, group__isnull=True)
                | Q(namespace__isnull=True, target__isnull=True)
                | Q(group__isnull=True, target__isnull=True),
                name="rule_at_most_one_scope",
            ),
            models.CheckConstraint(condition=Q(kind__in=["alerting", "recording"]), name="rule_kind_known"),
            models.CheckConstraint(
                condition=Q(merge_strategy__in=["override", "merge"]), name="rule_merge_strategy_known"
            ),
            *row_constraints("rule"),
        ]

    def __str__(self) -> str:
        return f"{self.key} ({self.scope_key})"

    def scope_key_now(self) -> str:
        """The scope as one comparable word; ``scope_key`` holds it so that the database can refuse a second rule."""
        for level in ("namespace", "group", "target"):
            row_id = getattr(self, f"{level}_id")
            if row_id is not None:
                return f"{level}:{row_id}"
        return "global"


class RuleMetric(models.Model):
    """A metric that a rule's query reads, so that a recording finds its readers. ``*`` stands for any name."""

    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, related_name="metrics")
    # Longer names are cut: a reader too many is only looked at in vain.
    metric = models.CharField(max_length=METRIC_LENGTH)

    class Meta:
        constraints = [
            # The metric first: "who reads it" is the question.
            models.UniqueConstraint(fields=["metric", "rule"], name="rule_metric_once")
        ]

    def __str__(self) -> str:
        return self.metric
