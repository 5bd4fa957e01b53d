"""Many rows in few statements: what is read back is what was stored, whatever is in it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts.actions import storing
from alerts.models import AlertRule, RuleMetric

TEXTS = (
    "plain",
    "'",
    '"; DROP TABLE alerts_alertrule; --',
    "\\u0041\\",
    "Ünïcode 🔥",
    "two\nlines\ttab",
    "%s {} {0}",
    "null",
)
VALUES: tuple[Any, ...] = (
    *({"labels": {text: text}} for text in TEXTS),
    {},
    {"template_vars": {"a": 1, "b": 1.5, "c": True, "d": None, "e": -0.1, "f": 2**53 + 1, "g": [1, [2]]}},
)


def rule(number: int, **values: Any) -> AlertRule:
    return AlertRule(
        key=f"k{number}", scope_key="global", merge_strategy="override", external_id=f"x{number}", **values
    )


def columns(row: AlertRule) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in AlertRule._meta.concrete_fields}


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "AT_ONCE", 3)


def test_new_rows_are_read_back_as_they_were_stored(world: SimpleNamespace, few_at_once: None) -> None:
    rows = [rule(number, config=value) for number, value in enumerate(VALUES)]
    rows += [rule(100 + number, query_template=text, name=text.replace("\n", " ")) for number, text in enumerate(TEXTS)]
    rows += [
        rule(200, enabled=None, severity=None, priority=-5, variables=[{"name": "a"}], unscoped=["up"]),
        rule(201, enabled=True, allow_split=True, partition_by=["site"], group=world.berlin),
        rule(202, enabled=False, target=world.web, created_from_template=world.template, deleted_at=timezone.now()),
    ]
    storing.store_new(rows)
    ids = [row.pk for row in rows]
    assert sorted(ids) == ids
    found = AlertRule.objects.in_bulk(ids)
    for row in rows:
        assert columns(found[row.pk]) == columns(row)
        assert not row._state.adding


def test_changed_rows_keep_what_is_not_named(world: SimpleNamespace, few_at_once: None) -> None:
    rows = [rule(number, query_template="up", severity="info") for number in range(len(VALUES))]
    storing.store_new(rows)
    other = rule(99)
    other.save()
    before = columns(other)
    created = [row.created_at for row in rows]
    for row, value in zip(rows, VALUES, strict=True):
        row.config, row.group, row.severity = value, world.berlin, "critical"
    storing.store_changed(rows, ["config", "group", "updated_at"])
    for row, value, since in zip(rows, VALUES, created, strict=True):
        found = AlertRule.objects.get(pk=row.pk)
        assert (found.config, found.group_id, found.severity) == (value, world.berlin.pk, "info")
        assert (found.created_at, found.updated_at > since) == (since, True)
    assert columns(AlertRule.objects.get(pk=other.pk)) == before


def test_long_rows_go_in_several_statements(world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "MOST_BYTES", 2_000)
    rows = [rule(number, query_template="x" * length) for number, length in enumerate((10, 5_000, 10, 10, 1_800, 10))]
    with CaptureQueriesContext(connection) as captured:
        storing.store_new(rows)
    if connection.vendor == "postgresql":
        assert len(captured) == 5
    assert [AlertRule.objects.get(pk=row.pk).query_template for row in rows] == [row.query_template for row in rows]


def test_what_is_said_to_come_back_does(world: SimpleNamespace) -> None:
    numbers = (0, 1, -1, 0.5, 1e-7, 5e-324, 123456789012345.6, 1e15, 1e16, 1e22, 1.7e308, -0.0, 2**53 + 1, 10**30)
    rows = [rule(place, config={"template_vars": {"a": [number]}}) for place, number in enumerate(numbers)]
    storing.store_new(rows)
    for row in rows:
        found = AlertRule.objects.get(pk=row.pk).config
        if storing.comes_back(row.config):
            assert repr(found) == repr(row.config)
        else:
            assert connection.vendor == "sqlite" or repr(found) != repr(row.config)


def test_what_is_taken_is_refused_by_the_database(world: SimpleNamespace) -> None:
    storing.store_new([rule(1)])
    with pytest.raises(IntegrityError), transaction.atomic():
        storing.store_new([rule(2), rule(1)])
    assert AlertRule.objects.filter(external_id="x2").count() == 0


def test_nothing_asks_nothing(db: None) -> None:
    with CaptureQueriesContext(connection) as captured:
        storing.store_new([])
        storing.store_changed([], ["config"])
    assert len(captured) == 0


@pytest.mark.parametrize(
    "words", [[], ["k1"], ["k1", "k1", "nowhere"], list(TEXTS), [f"k{number}" for number in range(5000)]]
)
def test_among_many_words_are_those_that_are_in(world: SimpleNamespace, words: list[str]) -> None:
    rows = [rule(number, name=text.replace("\n", " ")) for number, text in enumerate(TEXTS)]
    storing.store_new(rows)
    for column in ("key", "name", "external_id"):
        among = AlertRule.objects.filter(**{f"{column}__among": words}).order_by("pk")
        assert list(among) == list(AlertRule.objects.filter(**{f"{column}__in": words}).order_by("pk"))


def test_among_many_numbers_are_those_that_are_in(world: SimpleNamespace) -> None:
    rows = [rule(number) for number in range(4)]
    storing.store_new(rows)
    RuleMetric.objects.bulk_create([RuleMetric(rule=row, metric="up") for row in rows])
    wanted = [rows[1].pk, rows[3].pk, 10**15]
    assert set(AlertRule.objects.filter(pk__among=wanted)) == {rows[1], rows[3]}
    assert RuleMetric.objects.filter(rule__id__among=wanted).count() == 2
    assert RuleMetric.objects.filter(rule__id__among=[]).count() == 0
    asked = AlertRule.objects.filter(key="k2").values("pk")
    assert list(AlertRule.objects.filter(pk__among=asked)) == [rows[2]]
