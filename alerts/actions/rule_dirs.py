"""Where a server's rule files may lie: below ``PROMETHEUS_RULE_ROOTS``, in a directory that is its own alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from django.conf import settings

from alerts.actions.servers import spec_of
from alerts.domain.errors import Finding, PolicyConflict
from alerts.models import DEFAULT_SERVER, PrometheusServer

POINTER = "/rule_dir"
LONGEST_PART = 255
AGENT = PrometheusServer.Delivery.AGENT


def check_rule_dir(row: PrometheusServer) -> list[Finding]:
    """Objections to the directory by itself. The settings' own one, of the server ``default``, is not asked about."""
    given = row.rule_dir
    if row.delivery == AGENT:
        if given:
            hint = "Leave it empty; the agent's --rule-dir says where it writes."
            return [Finding("not_used", "is not used with delivery by an agent", POINTER, hint=hint)]
        return []
    if row.name == DEFAULT_SERVER and not given:
        return []
    parts = Path(given).parts
    if ".." in parts or given != given.strip() or any(len(part.encode()) > LONGEST_PART for part in parts):
        message = f"contains `..`, white space at its ends, or a part of more than {LONGEST_PART} bytes"
        return [Finding("rule_dir_invalid", message, POINTER)]
    return _outside(row)


def _outside(row: PrometheusServer) -> list[Finding]:
    roots = [Path(root) for root in settings.PROMETHEUS_RULE_ROOTS]
    try:
        place = spec_of(row).rule_dir.resolve()
        below = [root for root in roots if root.resolve() in place.parents]
    except (OSError, RuntimeError) as error:  # RuntimeError: symlinks in a circle
        return [Finding("rule_dir_invalid", f"cannot be looked at: {error}", POINTER)]
    if below:
        return []
    named = " or ".join(str(root) for root in roots)
    hint = "Symlinks count as where they lead. Others can be allowed in PROMETHEUS_RULE_ROOTS."
    return [Finding("rule_dir_outside", f"leads to {place}, which is not below {named}", POINTER, hint=hint)]


def refuse_taken(rows: Iterable[PrometheusServer]) -> None:
    """Of two servers that write into one directory, or one below the other's, each would undo the other's work.

    Deleted servers do not count. Ask under the policy's lock, after storing the rows.
    """
    asked = {row.pk for row in rows if row.delivery != AGENT}
    if not asked:
        return
    others = PrometheusServer.objects.living().exclude(delivery=AGENT).order_by("name")
    places = [(row.pk, row.name, spec_of(row).rule_dir.resolve()) for row in others]
    found = [
        Finding("rule_dir_taken", f"The server {name} has {theirs}.", POINTER, hint="Choose a directory of its own.")
        for mine_pk, _, mine in places
        if mine_pk in asked
        for their_pk, name, theirs in places
        if their_pk != mine_pk and (mine == theirs or mine in theirs.parents or theirs in mine.parents)
    ]
    if found:
        raise PolicyConflict(found)
