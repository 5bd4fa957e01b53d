from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import CommandError

from alerts.actions import bulk_rules
from alerts.domain.errors import PolicyError
from alerts.management.policy_command import PolicyCommand

SHOWN = 100


class Command(PolicyCommand):
    help = 'Writes the rules of a file ({"rules": [...]}), by their external_id; all or nothing.'

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="what POST /api/v1/alert-rules/bulk takes")
        parser.add_argument("--dry-run", action="store_true", help="validate and compile, store nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        rules = _rules_of(options["file"])
        try:
            done = bulk_rules.write_all(rules, dry_run=options["dry_run"])
        except PolicyError as refused:
            for finding in refused.findings[:SHOWN]:
                self.stderr.write(f"{finding.pointer}: {finding}")
            raise CommandError(f"nothing was written: {len(refused.findings)} objections") from None
        self.stdout.write(f"{done.created} created, {done.updated} updated, {done.unchanged} unchanged")


def _rules_of(file: Path) -> list[dict[str, Any]]:
    try:
        rules = orjson.loads(file.read_bytes())["rules"]
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError):
        raise CommandError(f'{file} is not JSON with an array "rules"') from None
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise CommandError(f'{file}: "rules" must be an array of objects')
    return rules
