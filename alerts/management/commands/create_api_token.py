"""Make an API token and print it, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from alerts.actions import tokens
from alerts.domain.durations import parse_duration
from alerts.domain.errors import PolicyError
from alerts.management import OWN_CHECKS
from alerts.models import Role


class Command(BaseCommand):
    help = "Make an API token and print it; it is shown this once. A missing user is made, without a password."
    requires_system_checks = OWN_CHECKS

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", required=True, help="whose token it is")
        roles = [role for role in Role.values if role != Role.AGENT]  # those: create_agent_token
        parser.add_argument("--role", required=True, choices=roles)
        parser.add_argument("--name", default="", help="what it is for, to tell tokens apart")
        parser.add_argument(
            "--expires", help="a duration from now (90d) or a time (2030-01-31T12:00:00Z); default: never"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        expires_at = expiry(options["expires"]) if options["expires"] else None
        try:
            token, _ = tokens.create(options["user"], options["role"], name=options["name"], expires_at=expires_at)
        except PolicyError as error:
            raise CommandError(str(error)) from error
        except ValidationError as error:
            raise CommandError(f"{options['user']!r} cannot be a user name: {' '.join(error.messages)}") from error
        self.stdout.write(token)


def expiry(text: str) -> datetime:
    try:
        moment = parse_datetime(text)
        if moment is not None:
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return timezone.now() + timedelta(milliseconds=parse_duration(text))
    except (ValueError, OverflowError, PolicyError) as error:
        raise CommandError(f"--expires {text!r} is neither a duration such as 90d nor a time.") from error
