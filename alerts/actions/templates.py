"""Writing alert templates. Rules made from one are copies, so nothing that happens to it reaches them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from django.conf import settings

from alerts.actions import compile_check
from alerts.actions.lifecycle import bury, condemned, doomed, raise_dead
from alerts.actions.writing import expect, only, pick, refuse, settle, writing
from alerts.domain import validation
from alerts.domain.layers import Kind, Topology
from alerts.domain.variables import variables_from_json
from alerts.models import AlertTemplate

FIELDS = frozenset(
    (
        "name",
        "description",
        "severity",
        "query_template",
        "default_config",
        "variables",
        "kind",
        "unscoped",
        "external_id",
    )
)


def create(values: Mapping[str, Any], *, dry_run: bool = False) -> AlertTemplate:
    with writing(dry_run=dry_run) as write:
        row = AlertTemplate()
        _settle(row, values, write.topology)
        write.insert(row)
        compile_check.check_template(row)
    return row


def update(
    row_id: int, values: Mapping[str, Any], *, expected_version: int | None = None, dry_run: bool = False
) -> AlertTemplate:
    with writing(dry_run=dry_run) as write:
        row = pick(AlertTemplate, row_id)
        expect(row, expected_version)
        changed = _settle(row, values, write.topology)
        if changed:
            write.update(row, changed)
            compile_check.check_template(row)
    return row


def _settle(row: AlertTemplate, values: Mapping[str, Any], topology: Topology) -> set[str]:
    only(values, FIELDS)
    changed, findings = settle(row, values)
    refuse(
        validation.check_template(
            name=row.name,
            description=row.description,
            query_template=row.query_template,
            kind=cast(Kind, row.kind),
            severity=row.severity,
            default_config=row.default_config,
            variables=variables_from_json(row.variables),
            unscoped=row.unscoped,
            topology=topology,
            severities=settings.SEVERITIES,
        ),
        findings,
    )
    return changed


def delete(ids: Sequence[int], *, expected_version: int | None = None, dry_run: bool = False) -> list[int]:
    with writing(dry_run=dry_run) as write:
        rows = condemned(AlertTemplate, ids, expected_version)
        bury(write, rows)
    return [row.pk for row in rows]


def restore(ids: Sequence[int], *, dry_run: bool = False) -> list[int]:
    with writing(dry_run=dry_run) as write:
        raise_dead(write, AlertTemplate, ids)
    return list(dict.fromkeys(ids))


def purge(ids: Sequence[int], *, dry_run: bool = False) -> list[int]:
    """Rules made from it keep its name."""
    with writing(dry_run=dry_run) as write:
        rows = doomed(AlertTemplate, ids)
        write.purge(AlertTemplate.objects.filter(pk__in=[row.pk for row in rows]))
    return [row.pk for row in rows]
