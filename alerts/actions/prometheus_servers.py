"""Writing Prometheus servers: where policy is delivered to.

Rules stay where they are when their server is disabled or deleted: nobody takes alerts away by accident. Releases of a
deleted server can still be read, by its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.utils import timezone

from alerts.actions.layers import load_topology
from alerts.actions.lifecycle import bury, condemned, doomed, raise_dead
from alerts.actions.rule_dirs import check_rule_dir, refuse_taken
from alerts.actions.writing import expect, only, pick, refuse, settle, writing
from alerts.adapters.allowed_urls import check_url
from alerts.adapters.credentials import check_auth, check_tls
from alerts.domain.errors import Finding
from alerts.domain.names import shown
from alerts.domain.server_selectors import check_selector
from alerts.models import DEFAULT_SERVER, PrometheusServer, ServerState

FIELDS = frozenset(
    (
        *("name", "description", "url", "delivery", "rule_dir", "layout", "selector"),
        *("auth", "tls", "enabled", "external_id"),
    )
)
# Under another one of these it is another server that holds, or does not hold, what was delivered.
PLACE = frozenset(("url", "delivery", "rule_dir"))
ASIDE = frozenset(("description", "external_id", "enabled"))
UNUSABLE = frozenset(("text_invalid", "too_long"))  # as a path or an address
NOTHING_KNOWN: dict[str, Any] = {
    **dict.fromkeys(("loaded_release", "offered_release", "last_error", "retry_at", "checked_at", "agent_seen_at")),
    **dict.fromkeys(("flavour", "prometheus_version", "promtool_version", "agent_version", "lease_holder"), ""),
    "loaded_revision": 0,
    "failures": 0,
    "lease_until": None,
}
NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,98}[a-z0-9])?")


def create(values: Mapping[str, Any], *, dry_run: bool = False) -> PrometheusServer:
    with writing(dry_run=dry_run) as write:
        row = PrometheusServer()
        _settle(row, values)
        write.insert(row)
        refuse_taken([row])
        ServerState.objects.filter(pk=row.name).update(**_nothing_known(), pinned_release=None)
    return row


def update(
    row_id: int, values: Mapping[str, Any], *, expected_version: int | None = None, dry_run: bool = False
) -> PrometheusServer:
    """The name is fixed; leaving it out, or naming it as it is, is fine."""
    with writing(dry_run=dry_run) as write:
        row = pick(PrometheusServer, row_id)
        expect(row, expected_version)
        changed = _settle(row, values)
        if changed:
            write.update(row, changed)
        if changed & PLACE:
            refuse_taken([row])
        if changed & PLACE or ("enabled" in changed and row.enabled):
            _forget(row.name)
    return row


def _settle(row: PrometheusServer, values: Mapping[str, Any]) -> set[str]:
    only(values, FIELDS)
    if row.pk and values.get("name", row.name) != row.name:
        hint = "Make another server."
        refuse([Finding("fixed", f"It is fixed when the server is made, at {row.name!r}.", "/name", hint=hint)])
    changed, findings = settle(row, values)
    refuse(finding for finding in findings if finding.code in UNUSABLE)
    # What was right once must not stand in the way of switching a server off.
    judged = not row.pk or changed - ASIDE or ("enabled" in changed and row.enabled)
    refuse(_objections(row) if judged else (), findings)
    return changed


def _objections(row: PrometheusServer) -> list[Finding]:
    found = []
    if not NAME.fullmatch(row.name):
        hint = "Use a-z, 0-9 and, inside, dots, underscores and hyphens; at most 100 characters."
        found.append(Finding("name_invalid", f"{shown(row.name)} cannot be a server's name", "/name", hint=hint))
    if not row.url and row.name != DEFAULT_SERVER:
        found.append(Finding("required", "must not be empty: only `default` has the settings' URL", "/url"))
    if not found:
        found += check_rule_dir(row)
    if row.url:
        found += check_url(row.url, settings.PROMETHEUS_ALLOWED_HOSTS)
    found += [*check_auth(row.auth), *check_tls(row.tls)]
    return [*found, *check_selector(load_topology(), row.selector)]


def _forget(name: str) -> None:
    """What a server of this name was last seen to hold says nothing about where it is now, nor about what others did
    while nobody looked after it.

    Whoever is delivering to the old place finds the lease gone. Its epoch stays: it only ever grows.
    """
    ServerState.objects.update_or_create(pk=name, defaults=_nothing_known())


def _nothing_known() -> dict[str, Any]:
    return {**NOTHING_KNOWN, "wanted_since": timezone.now()}


def delete(ids: Sequence[int], *, expected_version: int | None = None, dry_run: bool = False) -> list[int]:
    """Nothing holds a server; its agent finds the door shut."""
    with writing(dry_run=dry_run) as write:
        rows = condemned(PrometheusServer, ids, expected_version)
        bury(write, rows)
    return [row.pk for row in rows]


def restore(ids: Sequence[int], *, dry_run: bool = False) -> list[int]:
    """Judged like new ones: meanwhile a directory may have got another owner, and the settings other limits."""
    with writing(dry_run=dry_run) as write:
        rows = raise_dead(write, PrometheusServer, ids)
        for row in rows:
            refuse(_objections(row))
            _forget(row.name)
        refuse_taken(rows)
    return list(dict.fromkeys(ids))


def purge(ids: Sequence[int], *, dry_run: bool = False) -> list[int]:
    """Tokens go with their server; its releases stay."""
    with writing(dry_run=dry_run) as write:
        rows = doomed(PrometheusServer, ids)
        write.purge(PrometheusServer.objects.filter(pk__in=[row.pk for row in rows]))
    return [row.pk for row in rows]
