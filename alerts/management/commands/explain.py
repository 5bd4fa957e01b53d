from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from alerts.actions import effective
from alerts.actions.errors import NotFound
from alerts.management.policy_command import PolicyCommand

STRUCK = "\u0336"


class Command(PolicyCommand):
    help = "Why a target has the rules it has: every layer, every value, and what each one beat."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("host", help="hostname of a target")
        parser.add_argument("key", nargs="?", help="only this key")
        parser.add_argument("--format", choices=("text", "json"), default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = effective.traced(effective.place_of_host(options["host"]), key=options["key"])
        except NotFound as error:
            raise CommandError(f"there is no target {options['host']!r}") from error
        if options["key"] and not found["keys"]:
            raise CommandError(f"no rule with the key {options['key']!r} applies to {options['host']!r}")
        if options["format"] == "json":
            self.stdout.write(json.dumps(found, indent=2))
            return
        for key in found["keys"]:
            self._explain(key)

    def _explain(self, key: dict[str, Any]) -> None:
        self.stdout.write(self.style.MIGRATE_HEADING(f"{key['key']} ({key['kind']})"))
        if key["in_force"] == "last_good":
            self.stdout.write(f"  stays as last compiled: {'; '.join(key['last_good']['why'])}")
        if key["dropped"]:
            self.stdout.write(f"  not evaluated here: {key['dropped']}")
        for layer in key["layers"]:
            line = f"{layer['scope']} (rule {layer['rule_id']}, {layer['merge_strategy']})"
            if layer["status"] == "applied":
                self.stdout.write(f"  {line}")
            else:
                self.stdout.write(f"  {self._struck(line)}  {layer['status']}")
            for name in layer["unused_variables"]:
                self.stdout.write(f"      {name}: unused, the query in force does not declare it")
        width = max((len(path) for path in key["fields"]), default=0)
        for path, field in key["fields"].items():
            winner = field["set_by"]
            by = f"{winner['scope']} (rule {winner['rule_id']})" if winner else "a stronger layer forgot it"
            value = "-" if field["value"] is None else _text(field["value"])
            self.stdout.write(f"    {path:<{width}}  {self.style.SUCCESS(value)}  <- {by}")
            for loser in field["over"]:
                text = self._struck(_text(loser["value"]))
                self.stdout.write(f"    {'':<{width}}  {text}  {loser['set_by']['scope']}, beaten by {by}")
        self.stdout.write("")

    def _struck(self, text: str) -> str:
        return "".join(char + STRUCK for char in text)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
