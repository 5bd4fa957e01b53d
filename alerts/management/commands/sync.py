from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError

from alerts.actions import releases
from alerts.actions.deploy_waiting import deploy_and_wait
from alerts.management.policy_command import PolicyCommand, the_server
from alerts.models import DEFAULT_SERVER


class Command(PolicyCommand):
    help = "Compiles and deploys once, to one server. Exit code 1 when Prometheus does not hold the policy afterwards."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("server", nargs="?", default=DEFAULT_SERVER, help="default: default")
        parser.add_argument("--timeout", type=float, default=60.0, help="seconds to wait for another writer")
        parser.add_argument("--format", choices=("text", "json"), default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        spec = the_server(options["server"])
        if not spec.enabled:
            raise CommandError(f"{spec.name} is disabled: nothing is delivered to it")
        outcome = deploy_and_wait("sync", server=spec.name, timeout=options["timeout"])
        release = outcome.release
        if release is None:
            raise CommandError("another process is writing to this server; try again")
        if options["format"] == "json":
            fields = ("id", "state", "revision", "content_hash", "rule_count", "errors", "warnings", "timings")
            data = {name: getattr(release, name) for name in fields} | {"changed": outcome.changed}
            self.stdout.write(json.dumps(data, indent=2))
        else:
            happened = "nothing to do" if not outcome.changed else "delivered" if outcome.good else "not delivered"
            state = releases.state_of(spec.name)
            # Revisions that change no rule are loaded without a release of their own.
            revision = state.loaded_revision if state.loaded_release_id == release.pk else release.revision
            self.stdout.write(
                f"release {release.pk} {release.state}: {release.rule_count} rules, revision {revision} ({happened})"
            )
            for warning in release.warnings:
                self.stderr.write(f"warning: {warning['message']}")
        if spec.delivery == "agent" and release.state == "staged":
            raise CommandError(f"it is offered; the agent of {spec.name} has not yet said what became of it")
        if not outcome.good:
            raise CommandError("; ".join(map(_said, release.errors)) or release.state)


def _said(error: Mapping[str, Any]) -> str:
    return f"{error['message']} ({error['hint']})" if error.get("hint") else str(error["message"])
