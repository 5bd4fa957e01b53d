from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from alerts.actions import servers
from alerts.actions.rebuild import rebuild
from alerts.management.policy_command import PolicyCommand, the_server


class Command(PolicyCommand):
    help = "Writes the rule directories again from the database alone, as the servers were last seen to hold them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("servers", nargs="*", metavar="server", help="default: every enabled one")

    def handle(self, *args: Any, **options: Any) -> None:
        named = [the_server(name).name for name in options["servers"]]
        wanted = named or [spec.name for spec in servers.enabled() if spec.delivery == "directory"]
        failed = 0
        for done in map(rebuild, wanted):
            if done.problem:
                failed += 1
                self.stderr.write(f"{done.server}: {done.problem}")
            else:
                self.stdout.write(
                    f"{done.server}: {done.files} files, {done.rules} rules of release {done.release_id} "
                    f"are in place ({done.content_hash[:12]})"
                )
        if failed:
            raise CommandError(f"{failed} of {len(wanted)} servers could not be rebuilt")
