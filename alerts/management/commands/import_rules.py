from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

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
        # The API's own reading and wording, loaded only when somebody asks for them.
        from rest_framework.exceptions import ValidationError

        from alerts.api import bulk, parsers
        from alerts.api.errors import problem_of
        from alerts.api.problems import ApiProblem

        try:
            items, faults = bulk.read(parsers.parse_object(_bytes_of(options["file"], parsers.MAX_BULK_BODY)))
            done = bulk_rules.write_all(items, faults=faults, dry_run=options["dry_run"])
        except (ApiProblem, ValidationError, PolicyError) as refused:
            problem = problem_of(refused)
            for one in problem.errors[:SHOWN]:
                self.stderr.write(": ".join(filter(None, (one["pointer"], one["message"], one.get("hint")))))
            count = problem.extra.get("error_count", len(problem.errors))
            raise CommandError(f"nothing was written: {count} objections, first {problem.detail}") from None
        self.stdout.write(f"{done.created} created, {done.updated} updated, {done.unchanged} unchanged")


def _bytes_of(file: Path, limit: int) -> bytes:
    """What the API takes as a body is taken here, and no more."""
    try:
        with file.open("rb") as stream:
            found = stream.read(limit + 1)
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}") from None
    if len(found) > limit:
        raise CommandError(f"{file} has more than {limit // 2**20} MiB; write its rules in several parts")
    return found
