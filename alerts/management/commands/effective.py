from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.core.serializers.json import DjangoJSONEncoder

from alerts.actions import effective
from alerts.actions.errors import NotFound
from alerts.management.policy_command import PolicyCommand


class Command(PolicyCommand):
    help = "The rules in force for one target: exactly what Prometheus evaluates for it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("host", help="hostname of a target")
        parser.add_argument("--format", choices=("text", "json"), default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = effective.effective(effective.place_of_host(options["host"]))
        except NotFound as error:
            raise CommandError(f"there is no target {options['host']!r}") from error
        if options["format"] == "json":
            self.stdout.write(json.dumps(found, indent=2, cls=DjangoJSONEncoder))
            return
        state = "in sync" if found["in_sync"] else f"Prometheus holds revision {found['loaded_revision']}"
        self.stdout.write(f"{found['target']}: revision {found['revision']}, {state}")
        for server in found["servers"]:
            if server["why"]:
                self.stdout.write(f"  {server['name']}: {server['why']}")
        self.stdout.write("  " + ", ".join(f"{label}={value or '-'}" for label, value in found["position"].items()))
        for rule in found["rules"]:
            waits = f" for {rule['for_duration']}" if rule["for_duration"] else ""
            kept = "  (last good)" if rule["in_force"] == "last_good" else ""
            self.stdout.write(f"\n{rule['name']}  [{rule['severity'] or rule['kind']}]{waits}{kept}")
            self.stdout.write(f"  {rule['expr']}")
            where = f", on {', '.join(rule['servers'])}" if len(found["servers"]) > 1 else ""
            source = rule["source"]
            self.stdout.write(f"  from {source['scope']} (rule {source['rule_id']}), {rule['file']}{where}")
