"""Plans that PostgreSQL keeps: the answers are those of the plain statement, whatever became of the plans."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DataError, connection, transaction

from alerts.actions import planned

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="the plans are PostgreSQL's"),
]
ASKED = "SELECT said FROM kept WHERE number = %s OR said = %s ORDER BY number"


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    planned._names.clear()
    monkeypatch.setattr(planned, "_losses", 0)
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
        cursor.execute("CREATE TEMP TABLE kept (number int, said varchar(10))")
        cursor.execute("INSERT INTO kept VALUES (1, 'one'), (2, 'two'), (3, '%s $1')")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE kept")


def said(*values: Any, sql: str = ASKED) -> list[Any]:
    with connection.cursor() as cursor:
        planned.execute(cursor, sql, values)
        return [value for (value,) in cursor.fetchall()]


def plans() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements WHERE name LIKE 'cs\\_%%'")
        return [statement for (statement,) in cursor.fetchall()]


def test_a_statement_is_planned_once_and_asked_often() -> None:
    for _ in range(3):
        assert said(1, "two") == ["one", "two"]
        assert said(9, "%s $1") == ["%s $1"]
        assert said(9, "' OR 1=1 --") == []
    (plan,) = plans()
    assert plan.endswith("WHERE number = $1 OR said = $2 ORDER BY number")


def test_inside_a_transaction_nothing_is_kept() -> None:
    with transaction.atomic():
        assert said(1, "") == ["one"]
    assert plans() == []


@pytest.mark.parametrize("what", ["DISCARD PLANS", "DEALLOCATE ALL"])
def test_plans_that_are_gone_are_made_again(what: str) -> None:
    assert said(2, "") == ["two"]
    with connection.cursor() as cursor:
        cursor.execute(what)
    for _ in range(2):
        assert said(2, "") == ["two"]
    assert len(plans()) == 1


def test_plan_of_a_neighbour_behind_a_pooler_is_used() -> None:
    assert said(3, "") == ["%s $1"]
    planned._names.clear()  # as a client that has just been given this connection
    for _ in range(2):
        assert said(3, "") == ["%s $1"]
    assert len(plans()) == 1


def test_columns_may_change_meanwhile() -> None:
    assert said(1, "") == ["one"]
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE kept ALTER said TYPE varchar(30)")
    for _ in range(2):
        assert said(1, "") == ["one"]
    assert len(plans()) == 1


def test_an_error_of_the_statement_itself_is_told_and_leaves_the_plan_in_use() -> None:
    divided = "SELECT 6 / %s::int"
    for _ in range(2):
        with pytest.raises(DataError, match="division by zero"):
            said(0, sql=divided)
        assert said(3, sql=divided) == [2]
    assert len(plans()) == 1


def test_a_connection_keeps_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planned, "MOST_PLANS", 2)
    for number in range(4):
        assert said(5, sql=f"SELECT %s + {number}") == [5 + number]
    assert len(plans()) == 2


def test_where_plans_are_lost_again_and_again_none_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planned, "MOST_LOSSES", 2)
    for _ in range(4):
        assert said(1, "") == ["one"]
        with connection.cursor() as cursor:
            cursor.execute("DEALLOCATE ALL")
    assert said(1, "") == ["one"]
    assert plans() == []
