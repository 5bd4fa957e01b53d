from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from alerts.actions.plan import plan
from alerts.management.policy_command import PolicyCommand, the_server
from alerts.models import DEFAULT_SERVER


class Command(PolicyCommand):
    help = "What a deploy would change now. Exit code 2 when there is a difference, 0 when there is none."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("server", nargs="?", default=DEFAULT_SERVER, help="default: default")
        parser.add_argument("--format", choices=("text", "json"), default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        found = plan(the_server(options["server"]).name)
        if options["format"] == "json":
            self.stdout.write(json.dumps(found, indent=2))
        else:
            self._print(found)
        if not found["empty"]:
            sys.exit(2)

    def _print(self, found: dict[str, Any]) -> None:
        if found["pinned"]:
            self.stdout.write(f"pinned to release {found['pinned']}: this is what resuming would change")
        if found["empty"]:
            self.stdout.write("no changes")
        for sign, name in (("+", "added"), ("~", "changed"), ("-", "removed")):
            for file in found["files"][name]:
                self.stdout.write(f"{sign} file {file}")
            for rule in found["rules"][name]:
                labels = ", ".join(f'{label}="{value}"' for label, value in rule["labels"].items())
                self.stdout.write(f"{sign} {rule['name']}{{{labels}}} in {rule['file']}")
                for field, values in rule.get("fields", {}).items():
                    self.stdout.write(f"    {field}: {values['before']} -> {values['after']}")
        for identity in found["identities"]:
            self.stdout.write(f"! {identity['name']} changes identity: {identity['before']} -> {identity['after']}")
        for rule in found["timers"]:
            self.stdout.write(f"! {rule['name']} starts its `for` ({rule['for_duration']}) again")
        for key in found["last_good"]:
            self.stdout.write(f"! {key['key']} stays as last compiled: {'; '.join(key['why'])}")
