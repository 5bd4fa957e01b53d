from __future__ import annotations

import pytest

from alerts.domain.promql.expression import parse
from alerts.domain.promql.fate import output_has_label


@pytest.mark.parametrize(
    ("text", "fate"),
    [
        ("x", True),
        ("rate(x[5m]) > 5", True),
        ("5 < x", True),
        ("max_over_time(rate(x[5m])[1h:])", True),
        ("sum(x)", False),
        ("sum by (env) (x)", True),
        ("sum by (job) (x)", False),
        ("sum without (job) (x)", True),
        ("sum without (env) (x)", False),
        ("sum by (env) (sum by (job) (x))", False),
        ("topk(5, x)", True),
        ("topk(5, sum(x))", False),
        ("count_values by (env) ('value', x)", True),
        ("count_values by (env) ('env', x)", None),
        ("count_values('env', x)", None),
        ("histogram_quantile(0.9, sum by (le, env) (x))", True),
        ("histogram_quantile(0.9, sum by (le) (x))", False),
        ("label_replace(x, 'env', 'a', '', '')", None),
        ("label_replace(x, 'team', 'a', '', '')", True),
        ("label_join(sum(x), 'env', '', 'job')", None),
        ("absent(x{env='a'})", None),
        ("absent(sum(x))", False),
        ("vector(1)", False),
        ("time()", False),
        ("5", False),
        ("scalar(x)", False),
        ("hour()", False),
        ("hour(x)", True),
        ("info(x)", None),
        ("x + y", True),
        ("x + on (env) y", True),
        ("x + on (job) y", False),
        ("x + ignoring (env) y", False),
        ("x + ignoring (job) y", True),
        ("sum(x) + sum(y)", False),
        ("x * on (job) group_left y", True),
        ("x * on (job) group_left (env) y", True),
        ("x * on (job) group_left (env) sum by (job) (y)", False),
        ("sum by (job) (x) * on (job) group_left (env) y", True),
        ("sum by (job) (x) * on (job) group_right y", True),
        ("sum(x) and y", False),
        ("x and sum(y)", True),
        ("x unless on () y", True),
        ("x or y", True),
        ("x or sum(y)", None),
        ("sum(x) or sum(y)", False),
        ("x or vector(0)", None),
        ("x + fill (0) y", None),
        # cfg carries no position
        ("cfg", None),
        ("sum(cfg)", False),
        ("x * on (job) group_left (env) cfg", None),
        ("x unless on (job) cfg", True),
        ("x or cfg", None),
    ],
)
def test_the_fate_of_env(text: str, fate: bool | None) -> None:
    assert output_has_label(parse(text), "env", ("cfg",)) is fate


def test_le_does_not_survive_a_quantile() -> None:
    assert output_has_label(parse("histogram_quantile(0.9, x)"), "le") is False
    assert output_has_label(parse("x"), "le") is True
