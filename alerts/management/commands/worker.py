from __future__ import annotations

import signal
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from alerts.management.policy_command import PolicyCommand
from alerts.management.worker import PARALLEL, POLL, RECONCILE_EVERY, Worker
from config_server.database import without_pool

LONGEST = 86_400


class Command(PolicyCommand):
    help = "Delivers to every server whenever the policy changes, and heals what drifts. Stops cleanly on SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--reconcile-every", type=float, default=RECONCILE_EVERY, help="seconds between looks for drift"
        )
        parser.add_argument("--parallel", type=int, default=PARALLEL, help="servers delivered to at the same time")
        parser.add_argument("--poll", type=float, default=POLL, help="seconds between looks at the database")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["parallel"] < 1:
            raise CommandError("--parallel is at least 1")
        for name in ("reconcile_every", "poll"):
            if not 0 < options[name] <= LONGEST:
                raise CommandError(f"--{name.replace('_', '-')} is more than 0 and at most {LONGEST} seconds")
        without_pool()
        worker = Worker(reconcile_every=options["reconcile_every"], parallel=options["parallel"], poll=options["poll"])
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
        worker.run()
