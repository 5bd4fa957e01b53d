"""What becomes of an expression where there is nothing to read, judged by promtool."""

from __future__ import annotations

import random
from pathlib import Path

from alerts.domain.promql.emptiness import nothing_of_nothing
from alerts.domain.promql.expression import parse
from tests.domain.promql import judge
from tests.domain.promql.distribution_table import IN_PIECES, UNSCOPED, WHOLE
from tests.domain.promql.random_expressions import random_expression
from tests.domain.promql.test_distribution_judged import CONFIGURATION


def test_what_yields_nothing_of_nothing_does_so(promtool: Path) -> None:
    chance = random.Random(5)
    texts = [*IN_PIECES, *(text for text, _, _ in WHOLE), *(random_expression(chance) for _ in range(800))]
    results = judge.evaluate(promtool, CONFIGURATION, texts)
    empty = {text for text in texts if nothing_of_nothing(parse(text), UNSCOPED)}
    yielding = {text for text, result in zip(texts, results, strict=True) if result and not isinstance(result, str)}
    assert empty & yielding == set()
    assert len(empty) > len(texts) / 2
    assert len(set(texts) - empty - yielding) < len(texts) / 10, "hardly any is called more than it is"
