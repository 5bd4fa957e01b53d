"""The table: what may be evaluated in pieces along ``env``, and why not. Prometheus judges next door."""

from __future__ import annotations

import pytest

from alerts.domain.promql.distribution import not_distributive
from alerts.domain.promql.expression import parse
from tests.corpora import rule_expressions
from tests.domain.promql.distribution_table import DETERMINED_BY, IN_PIECES, UNSCOPED, WHOLE


def verdict(text: str) -> str | None:
    return not_distributive(parse(text), "env", DETERMINED_BY, UNSCOPED)


@pytest.mark.parametrize("text", IN_PIECES)
def test_it_may_be_evaluated_in_pieces(text: str) -> None:
    assert verdict(text) is None


@pytest.mark.parametrize(("text", "reason"), [row[:2] for row in WHOLE])
def test_it_must_be_evaluated_as_a_whole(text: str, reason: str) -> None:
    said = verdict(text)
    assert said is not None
    assert reason in said


@pytest.mark.parametrize("determined_by", [(), ("target",)])
def test_without_a_word_about_instance_it_determines_nothing(determined_by: tuple[str, ...]) -> None:
    expression = parse("sum by (instance) (x)")
    assert not_distributive(expression, "env", ("instance",)) is None
    assert not_distributive(expression, "env", determined_by) is not None
    assert not_distributive(expression, "instance", determined_by) is None


def test_a_metric_counts_as_unscoped_only_if_it_is_listed() -> None:
    expression = parse("x unless on (job) cfg")
    assert not_distributive(expression, "env", (), ("cfg",)) is None
    assert not_distributive(expression, "env", (), ()) is not None
    assert not_distributive(expression, "env", (), ("x", "cfg")) is not None


def test_about_sixty_per_cent_of_real_rules_may_be_evaluated_in_pieces() -> None:
    texts = [text for text, accepted in rule_expressions() if accepted]
    free = sum(not_distributive(parse(text), "env", ("target", "instance")) is None for text in texts)
    assert 0.55 < free / len(texts) < 0.7
