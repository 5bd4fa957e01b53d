from __future__ import annotations

import signal
from argparse import ArgumentParser
from typing import Any

from alerts.management.policy_command import PolicyCommand
from alerts.management.worker import RECONCILE_EVERY, Worker


class Command(PolicyCommand):
    help = "Deploys the policy whenever it changes, and heals what drifts. Stops cleanly on SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--reconcile-every", type=float, default=RECONCILE_EVERY, help="seconds between looks for drift"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        worker = Worker(reconcile_every=options["reconcile_every"])
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
        worker.run()
