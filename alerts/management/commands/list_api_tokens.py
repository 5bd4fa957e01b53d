"""List the API tokens."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from alerts.management import OWN_CHECKS
from alerts.models import ApiToken

COLUMNS = ("id", "prefix", "user", "role", "server", "name", "state", "created_at", "expires_at", "last_used_at")


class Command(BaseCommand):
    help = "List the API tokens, newest first. The tokens themselves are not kept."
    requires_system_checks = OWN_CHECKS

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", help="only this user's")
        parser.add_argument("--format", choices=["text", "json"], default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = ApiToken.objects.select_related("user", "server").order_by("-id")
        if options["user"]:
            rows = rows.filter(user__username=options["user"])
        found = [_described(row, timezone.now()) for row in rows]
        if options["format"] == "json":
            self.stdout.write(json.dumps(found, indent=2))
            return
        table = [COLUMNS, *([str(row[column] or "-") for column in COLUMNS] for row in found)]
        widths = [max(len(line[place]) for line in table) for place in range(len(COLUMNS))]
        for line in table:
            self.stdout.write("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip())


def _described(row: ApiToken, now: datetime) -> dict[str, Any]:
    expired = row.expires_at is not None and row.expires_at <= now
    return {
        "id": row.pk,
        "prefix": row.prefix,
        "user": row.user.get_username(),
        "role": row.role,
        "server": row.server.name if row.server else None,
        "name": row.name,
        "state": "revoked" if row.revoked_at else "expired" if expired else "valid",
        "created_at": _time(row.created_at),
        "expires_at": _time(row.expires_at),
        "last_used_at": _time(row.last_used_at),
    }


def _time(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None
