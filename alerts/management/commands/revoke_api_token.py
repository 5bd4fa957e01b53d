"""Revoke API tokens."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from alerts.actions import tokens
from alerts.management import OWN_CHECKS
from alerts.models import ApiToken


class Command(BaseCommand):
    help = "Revoke API tokens, at once and for good."
    requires_system_checks = OWN_CHECKS

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tokens", nargs="+", help="ids or prefixes, as list_api_tokens shows them")

    def handle(self, *args: Any, **options: Any) -> None:
        found = [_find(word) for word in options["tokens"]]
        for row in found:
            changed = tokens.revoke(row.pk)
            self.stdout.write(f"{row.prefix} {'is revoked' if changed else 'was revoked before'}")


def _find(word: str) -> ApiToken:
    rows = list(ApiToken.objects.filter(pk=int(word)) if word.isdecimal() else ApiToken.objects.filter(prefix=word))
    if len(rows) != 1:
        raise CommandError(f"{word!r} names {'no token' if not rows else 'several tokens: use the id'}.")
    return rows[0]
