"""Policies large enough to measure: written straight into the database, as one change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

CONFIG = {
    "for_duration": "5m",
    "labels": {"team": "platform"},
    "annotations": {
        "summary": "{{ $labels.target }} answers with errors",
        "description": "{{ $value | humanizePercentage }} of all requests fail.",
    },
}


def expression(number: int) -> str:
    """One of any number of distinct expressions, of the size and kind that real alerts have."""
    handler = f'handler="/api/v{number}"'
    return (
        f'sum by (target, environment) (rate(http_requests_total{{code=~"5..", {handler}}}[5m]))'
        f" / sum by (target, environment) (rate(http_requests_total{{{handler}}}[5m])) > 0.05"
    )


def make_groups(count: int, namespace: str = "environment") -> list[Any]:
    """``count`` groups without parents in one namespace, as rows."""
    from alerts.models import Group, Namespace, PolicyState

    place, _ = Namespace.objects.get_or_create(name=namespace, defaults={"label": namespace, "priority": 100})
    revision = PolicyState.objects.get_or_create(pk=1)[0].revision
    rows = [
        Group(name=f"g{number:04}", label_value=f"g{number:04}", namespace=place, revision=revision)
        for number in range(count)
    ]
    return Group.objects.bulk_create(rows, batch_size=500)


def rule_row(key: str, query: str | None, *, group: Any = None, **fields: Any) -> Any:
    from alerts.models import AlertRule

    fields = {"config": CONFIG, "severity": "warning", "merge_strategy": "override", **fields}
    row = AlertRule(key=key, name=key, kind="alerting", query_template=query, group=group, **fields)
    row.scope_key = row.scope_key_now()
    return row


def write(rows: Iterable[Any]) -> None:
    """All of them with one revision, past the checks of single writes."""
    from django.db import transaction

    from alerts.models import AlertRule, PolicyState

    with transaction.atomic():
        revision = PolicyState.bump()
        AlertRule.objects.bulk_create(list(_at(revision, rows)), batch_size=500)


def replace(rows: Iterable[Any]) -> None:
    """Other rules in the place of all there are."""
    from alerts.models import AlertRule

    AlertRule.objects.all().delete()
    write(rows)


def _at(revision: int, rows: Iterable[Any]) -> Iterator[Any]:
    for row in rows:
        row.revision = revision
        yield row


def change(rule_id: int, **fields: Any) -> int:
    """One edit, as small as the database takes it; the new policy revision."""
    from django.db import transaction

    from alerts.models import AlertRule, PolicyState

    with transaction.atomic():
        revision = PolicyState.bump()
        AlertRule.objects.filter(pk=rule_id).update(revision=revision, **fields)
    return revision


def make_targets(count: int, groups: list[Any]) -> list[int]:
    """Targets as many as are missing to ``count``, spread over the groups; the ids of all."""
    from alerts.models import Membership, Target

    have = Target.objects.count()
    rows = Target.objects.bulk_create(
        [Target(hostname=f"host-{number:05}") for number in range(have, count)], batch_size=500
    )
    Membership.objects.bulk_create(
        [
            Membership(target=row, group=group, namespace=group.namespace)
            for number, row in enumerate(rows)
            for group in (groups[number % len(groups)],)
        ],
        batch_size=500,
    )
    return list(Target.objects.values_list("pk", flat=True))
