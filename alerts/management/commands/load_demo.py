"""Load the demo's policy."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from alerts.demo.loading import load
from alerts.domain.errors import PolicyError
from alerts.management import OWN_CHECKS


def address(text: str) -> tuple[str, int]:
    """``host:port``, an IPv6 host in brackets."""
    try:
        parts = urlsplit(f"//{text}")
        if parts.hostname and parts.port and not parts.path:
            return parts.hostname, parts.port
    except ValueError:
        pass
    raise ArgumentTypeError(f"{text!r} is not host:port")


class Command(BaseCommand):
    help = "Load a small policy of real alerts to look at. Again and again: only what differs is written."
    requires_system_checks = OWN_CHECKS

    def add_arguments(self, parser: CommandParser) -> None:
        prometheus = urlsplit(settings.PROMETHEUS_URL)
        parser.add_argument(
            "--prometheus-address",
            type=address,
            default=(prometheus.hostname or "127.0.0.1", prometheus.port or 9090),
            metavar="HOST:PORT",
            help="where Prometheus itself is scraped (default: as in PROMETHEUS_URL)",
        )
        parser.add_argument(
            "--web-address",
            type=address,
            default=("127.0.0.1", 8000),
            metavar="HOST:PORT",
            help="where this control plane is scraped (default: 127.0.0.1:8000)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            done = load({"prometheus": options["prometheus_address"], "web": options["web_address"]})
        except PolicyError as error:
            raise CommandError(f"the demo policy cannot be loaded: {error}") from error
        self.stdout.write(", ".join(f"{count} {word}" for word, count in done.items()))
