"""Who may speak to the API, and what was already answered."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q


class Role(models.TextChoices):
    """``viewer`` reads, ``editor`` writes, ``admin`` purges and configures, ``discovery`` reads targets and metrics.

    ``agent`` is for tokens only: it opens one server's bundle and takes that agent's reports, nothing else.
    """

    VIEWER = "viewer"
    EDITOR = "editor"
    ADMIN = "admin"
    DISCOVERY = "discovery"
    AGENT = "agent"


class ApiToken(models.Model):
    """A bearer token. Only its SHA-256 is kept: the token has 256 random bits, so nothing slower is needed."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100, blank=True, default="")
    role = models.CharField(max_length=10, choices=Role)
    server = models.ForeignKey(  # an agent's: the one whose bundle it opens
        "PrometheusServer", on_delete=models.CASCADE, null=True, blank=True, related_name="tokens"
    )
    digest = models.CharField(max_length=64, unique=True, editable=False)
    prefix = models.CharField(max_length=12, editable=False, help_text="Its first characters, to tell tokens apart.")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="To within a minute.")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(role__in=["viewer", "editor", "admin", "discovery", "agent"]), name="token_role_known"
            ),
            models.CheckConstraint(
                condition=Q(role="agent", server__isnull=False) | (~Q(role="agent") & Q(server__isnull=True)),
                name="token_of_an_agent_has_a_server",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.role} of {self.user})"


class IdempotencyRecord(models.Model):
    """The answer to a POST under an ``Idempotency-Key``; ``status`` is null while it is still being worked out."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    method = models.CharField(max_length=10)
    path = models.CharField(max_length=2000)
    body_hash = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    response = models.TextField(blank=True, default="")
    headers = models.JSONField(default=dict, blank=True)
    # Indexed: old answers are thrown away by age.
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return self.key
