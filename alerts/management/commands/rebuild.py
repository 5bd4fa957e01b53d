from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from alerts.actions import servers
from alerts.actions.rebuild import BY_AGENT, Rebuilt, rebuild
from alerts.management.policy_command import PolicyCommand, the_server


class Command(PolicyCommand):
    help = "Writes the rule directories again from the database alone, as the servers were last seen to hold them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("servers", nargs="*", metavar="server", help="default: every enabled one")

    def handle(self, *args: Any, **options: Any) -> None:
        """One that has an agent is not ours to rebuild: that is a failure only where it was asked for by name."""
        named = [the_server(name).name for name in options["servers"]]
        enabled = [] if named else servers.enabled()
        wanted = named or [spec.name for spec in enabled if spec.delivery == "directory"]
        failed = 0
        for done in map(rebuild, wanted):
            if done.problem:
                failed += 1
                self.stderr.write(f"{done.server}: {done.problem}")
            else:
                self.stdout.write(_told(done))
        for spec in enabled:
            if spec.delivery == "agent":
                self.stdout.write(f"{spec.name}: skipped: {BY_AGENT}")
        if failed:
            raise CommandError(f"{failed} of {len(wanted)} servers could not be rebuilt")


def _told(done: Rebuilt) -> str:
    said = (
        f"{done.server}: {done.files} files, {done.rules} rules of release {done.release_id} "
        f"are in place ({done.content_hash[:12]})"
    )
    return f"{said}, compiled anew: it was never seen to hold any" if done.anew else said
