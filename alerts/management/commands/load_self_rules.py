"""Load the rules that watch the control plane."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from alerts.actions import self_rules
from alerts.domain.errors import PolicyError
from alerts.management.policy_command import PolicyCommand


class Command(PolicyCommand):
    help = "Load the alert rules on the control plane itself. Again and again: only what differs is written."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            done = self_rules.load()
        except PolicyError as error:
            raise CommandError(f"the rules cannot be loaded: {error}") from error
        self.stdout.write(", ".join(f"{count} {word}" for word, count in done.items()))
