"""What the worker can be told on the command line; ``manage.py up`` takes the same and hands it on."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError

from alerts.management.worker import PARALLEL, RECONCILE_EVERY

LONGEST = 86_400


def add_worker_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--reconcile-every", type=float, default=RECONCILE_EVERY, help="seconds between looks for drift"
    )
    parser.add_argument("--parallel", type=int, default=PARALLEL, help="servers delivered to at the same time")


def require_at_least_one(options: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if options[name] < 1:
            raise CommandError(f"--{name} is at least 1")


def require_seconds(options: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if not 0 < options[name] <= LONGEST:  # nan is neither
            raise CommandError(f"--{name.replace('_', '-')} is more than 0 and at most {LONGEST} seconds")
