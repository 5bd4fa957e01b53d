"""``manage.py agent``: delivers to the Prometheus beside it what the control plane offers.

``manage.py`` starts it without Django; this command is here to be listed, and for whoever comes by another way.
"""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Deliver to the Prometheus beside this process what the control plane offers (see docs/agent.md)."
    requires_system_checks: list[str] = []

    def run_from_argv(self, argv: list[str]) -> None:
        from alerts.agent.__main__ import main

        sys.exit(main(argv[2:]))

    def handle(self, *args: Any, **options: Any) -> None:
        self.run_from_argv(["manage.py", "agent", *args])
