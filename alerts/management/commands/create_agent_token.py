"""Make the token of a server's agent and print it, and nothing else."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from alerts.actions import tokens
from alerts.domain.errors import PolicyError
from alerts.management import OWN_CHECKS
from alerts.management.commands.create_api_token import expiry


class Command(BaseCommand):
    help = (
        "Make the token of the agent beside a Prometheus server and print it; it is shown this once. "
        "It opens that server's bundle and takes its agent's reports, nothing else."
    )
    requires_system_checks = OWN_CHECKS

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("server", help="the server's name; its delivery is agent")
        parser.add_argument("--name", default="", help="what it is for, to tell tokens apart")
        parser.add_argument("--expires", help="a duration from now (90d) or a time; default: never")

    def handle(self, *args: Any, **options: Any) -> None:
        expires_at = expiry(options["expires"]) if options["expires"] else None
        try:
            token, _ = tokens.create_for_agent(options["server"], name=options["name"], expires_at=expires_at)
        except PolicyError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(token)
