"""What was given to Prometheus: releases, the files in them, and how their keys were compiled."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from alerts.models.rules import RuleKind

DEFAULT_SERVER = "default"


class Release(models.Model):
    """One attempt to give one Prometheus server a set of rule files."""

    class State(models.TextChoices):
        PENDING = "pending", "asked for, not yet compiled"
        STAGED = "staged", "written beside the current set"
        CHECKED = "checked", "promtool accepts it"
        ACTIVE = "active", "in place, not yet read back"
        VERIFIED = "verified", "Prometheus holds exactly this"
        REJECTED = "rejected", "promtool refused it"
        ROLLED_BACK = "rolled_back", "Prometheus refused it or held something else"
        FAILED = "failed", "could not be written or delivered"
        SUPERSEDED = "superseded", "another one took its place"

    server = models.CharField(max_length=100, default=DEFAULT_SERVER)
    revision = models.BigIntegerField(help_text="The policy revision it was compiled from.")
    state = models.CharField(max_length=12, choices=State, default=State.PENDING)
    trigger = models.CharField(max_length=50, blank=True, default="", help_text="What asked for it.")
    content_hash = models.CharField(max_length=64, blank=True, default="")
    layout = models.CharField(max_length=20, blank=True, default="")
    manifest = models.JSONField(default=dict, blank=True, help_text="File name to SHA-256 of its content.")
    rule_count = models.PositiveIntegerField(default=0)
    changed = models.BooleanField(default=True, help_text="False: Prometheus already held this content.")
    changes = models.JSONField(default=dict, blank=True)
    errors = models.JSONField(default=list, blank=True)
    warnings = models.JSONField(default=list, blank=True)
    timings = models.JSONField(default=dict, blank=True)
    last_good = models.JSONField(default=list, blank=True, help_text="Keys that stay as last compiled, and why.")
    committed_at = models.DateTimeField(null=True, blank=True, help_text="When its policy revision was committed.")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    activated_at = models.DateTimeField(null=True, blank=True)
    verified_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            # The last release of a server in some state: asked at every reconcile.
            models.Index(fields=["server", "state", "-id"], name="release_by_state"),
            # Which releases hold this content: asked before a set is pruned.
            models.Index(fields=["content_hash"], name="release_by_content"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    state__in=[
                        "pending",
                        "staged",
                        "checked",
                        "active",
                        "verified",
                        "rejected",
                        "rolled_back",
                        "failed",
                        "superseded",
                    ]
                ),
                name="release_state_known",
            )
        ]

    def __str__(self) -> str:
        return f"release {self.pk} ({self.state})"


class FileContent(models.Model):
    """The bytes of a rule file, by their hash; a set on disk can be made whole from here."""

    sha256 = models.CharField(max_length=64, primary_key=True)
    content = models.BinaryField()
    size = models.PositiveIntegerField()

    def __str__(self) -> str:
        return self.sha256


class CompiledKey(models.Model):
    """A key as it was compiled for the last verified release: what stays when it compiles no more."""

    server = models.CharField(max_length=100, default=DEFAULT_SERVER)
    kind = models.CharField(max_length=10, choices=RuleKind)
    key = models.CharField(max_length=255)
    release = models.ForeignKey(Release, on_delete=models.SET_NULL, null=True, related_name="+")
    payload = models.JSONField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["server", "kind", "key"], name="compiled_key_once")]

    def __str__(self) -> str:
        return f"{self.key} on {self.server}"
