from __future__ import annotations

import signal
from argparse import ArgumentParser
from typing import Any

from alerts.management.policy_command import PolicyCommand
from alerts.management.worker import POLL, Worker
from alerts.management.worker_options import add_worker_options, require_at_least_one, require_seconds
from config_server.database import without_pool


class Command(PolicyCommand):
    help = "Delivers to every server whenever the policy changes, and heals what drifts. Stops cleanly on SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_worker_options(parser)
        parser.add_argument("--poll", type=float, default=POLL, help="seconds between looks at the database")

    def handle(self, *args: Any, **options: Any) -> None:
        require_at_least_one(options, "parallel")
        require_seconds(options, "reconcile_every", "poll")
        without_pool()
        worker = Worker(reconcile_every=options["reconcile_every"], parallel=options["parallel"], poll=options["poll"])
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
        worker.run()
