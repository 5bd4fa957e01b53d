from __future__ import annotations

import pytest

from alerts.domain.promql.expression import normalise
from alerts.domain.promql.shape import shape


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x > 80", "x > 90"),
        ("x > 80", "x > -1e3"),
        ("x > 80", "x > Inf"),
        ('x{a="b"}', 'x{a="c\\"d"}'),
        ('x{a=~"b"}', "x{a=~`c|\\d`}"),
        ("rate(x[5m])", "rate(x[1h30m])"),
        ("x offset 5m", "x offset -1d"),
        ("max_over_time(x[1h:5m])", "max_over_time(x[2h:1m])"),
        ("x @ 5", "x @ 6"),
        ('label_replace(x, "a", "b", "c", "d")', 'label_replace(x, "a", "e", "c", "f")'),
        ("sum(x) by (a)", "sum by (a) (x) # layout"),
    ],
)
def test_values_do_not_change_the_shape(one: str, other: str) -> None:
    assert shape(one) == shape(other)
    assert hash(shape(one)) == hash(shape(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x > 80", "x > 80 or vector(1)"),
        ("x > 80", "x > (80)"),
        ("x > 80", "x > -(80)"),
        ("x > 80", "x > y"),
        ("x > 80", "x >= 80"),
        ("x > 80", "x > bool 80"),
        ("x + y", "x - y"),
        ("x + y", "x + on () y"),
        ("x", "y"),
        ('x{a="b"}', 'x{a!="b"}'),
        ('x{a="b"}', 'x{a="b",c="d"}'),
        ('x{a="b"}', 'x{c="b"}'),
        ('x{a="b"}', 'x{a=""} or up{a="b"}'),
        ("x", "x offset 5m"),
        ("x @ 5", "x @ end()"),
        ("max_over_time(x[1h:5m])", "max_over_time(x[1h:])"),
        ("sum by (a) (x)", "sum by (b) (x)"),
        ("sum by (a) (x)", "sum without (a) (x)"),
        ("sum(x)", "max(x)"),
        ("round(x)", "round(x, 5)"),
        ("rate(x[5m])", "irate(x[5m])"),
    ],
)
def test_structure_changes_the_shape(one: str, other: str) -> None:
    assert shape(one) != shape(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('x{b="1",a="2"}', 'x{a="2", b="1"}'),
        ("sum(x) by ()", "sum(x)"),
        ("x + ignoring () y", "x + y"),
        ("x + ignoring () group_left (a) y", "x + y"),
        ('{"x"}', "x"),
        ('{__name__="x",a="b"}', 'x{a="b"}'),
        ("x[60m]", "x[1h]"),
        ("1e3", "1000"),
        ("x{a=~`\\d`}", 'x{a=~"\\\\d"}'),
        ("(x) or (sum(y) by (a))", "(x) or (sum by (a) (y))"),
        ("(x) or y", "(x) or y # not a chain of brackets"),
    ],
)
def test_what_prometheus_prints_otherwise_is_normalised_to_the_same(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x", "y"),
        ("x > 1", "x > 2"),
        ('x{a="1"}', 'x{a=~"1"}'),
        ("(x) or (y)", "(y) or (x)"),
        ("(x) or (y)", "(x) or (y) or (y)"),
        ("(x) or (y)", "((x) or (y))"),
        ("(x) or (y)", "(x) and (y)"),
        ("(a) or (b) + (c)", "((a) or (b)) + (c)"),
        ("sum without () (x)", "sum(x)"),
    ],
)
def test_other_expressions_are_normalised_to_others(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)
