from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.domain.errors import PromqlError
from alerts.domain.promql.expression import Expression, parse, parse_compiled
from alerts.domain.promql.injection import inject
from alerts.domain.promql.matchers import Matcher
from tests.domain.promql.test_matchers import values

ENV = Matcher("env", "=", "prod")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("foo", 'foo{env="prod"}'),
        ("foo{}", 'foo{env="prod"}'),
        ("foo { }", 'foo {env="prod" }'),
        ('foo{a="1"}', 'foo{env="prod",a="1"}'),
        ('foo{a="1",}', 'foo{env="prod",a="1",}'),
        ('{a="1"}', '{env="prod",a="1"}'),
        ('{"foo.bar",a="1"}', '{env="prod","foo.bar",a="1"}'),
        ('{a="1","foo.bar"}', '{env="prod",a="1","foo.bar"}'),
        (
            'foo # why\n\n  { # because\n  a="1" # not {}\n}',
            'foo # why\n\n  {env="prod", # because\n  a="1" # not {}\n}',
        ),
        ("foo{ # nothing\n}", 'foo{env="prod" # nothing\n}'),
        ("foo[5m]", 'foo{env="prod"}[5m]'),
        ("foo offset -1d", 'foo{env="prod"} offset -1d'),
        ("foo @ start()", 'foo{env="prod"} @ start()'),
        (
            "sum by (env) (foo) / count(bar) by (env)",
            'sum by (env) (foo{env="prod"}) / count(bar{env="prod"}) by (env)',
        ),
        ("sum + sum(sum)", 'sum{env="prod"} + sum(sum{env="prod"})'),
        ("a * on (b) group_left (c) d", 'a{env="prod"} * on (b) group_left (c) d{env="prod"}'),
        ("a*on(b)group_left d", 'a{env="prod"}*on(b)group_left d{env="prod"}'),
        ('label_replace(a, "b", "{c}", "d", "e{2}")', 'label_replace(a{env="prod"}, "b", "{c}", "d", "e{2}")'),
        (r"foo{a=~`\d{2}`}", r'foo{env="prod",a=~`\d{2}`}'),
        ('foo{a="b{c=\\"d\\"}"}', 'foo{env="prod",a="b{c=\\"d\\"}"}'),
        ("time() > bool 5", "time() > bool 5"),
        ('foo{env="dev"}', 'foo{env="prod",env="dev"}'),
        ("max_over_time(foo[1h:5m]) > bool 0x1F", 'max_over_time(foo{env="prod"}[1h:5m]) > bool 0x1F'),
    ],
)
def test_matchers_go_on_every_selector_and_the_rest_stays(text: str, expected: str) -> None:
    assert inject(parse(text), (ENV,)) == expected


def test_several_matchers_keep_their_order() -> None:
    matchers = (Matcher("env", "=~", "a|b"), Matcher("team", "!=", ""))
    assert inject(parse("foo + bar{}"), matchers) == 'foo{env=~"a|b",team!=""} + bar{env=~"a|b",team!=""}'


def test_without_matchers_the_text_stays() -> None:
    assert inject(parse(" foo # bar"), ()) == " foo # bar"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("foo unless on (target) maintenance", 'foo{env="prod"} unless on (target) maintenance'),
        ('foo unless on (target) {"maintenance"}', 'foo{env="prod"} unless on (target) {"maintenance"}'),
        ('foo * {__name__="maintenance",a="b"}', 'foo{env="prod"} * {__name__="maintenance",a="b"}'),
        ('{__name__=~"maintenance"}', '{env="prod",__name__=~"maintenance"}'),
    ],
)
def test_metrics_without_a_position_get_nothing(text: str, expected: str) -> None:
    assert inject(parse(text), (ENV,), ("maintenance",)) == expected


def test_with_and_without_unscoped_metrics_are_not_confused() -> None:
    expression = parse("foo unless maintenance")
    scoped = inject(expression, (ENV,))
    assert inject(expression, (ENV,), frozenset(("maintenance",))) == 'foo{env="prod"} unless maintenance'
    assert inject(expression, (ENV,)) == scoped == 'foo{env="prod"} unless maintenance{env="prod"}'


@given(values, st.sampled_from(["=", "!="]))
def test_no_value_escapes_its_quotes(value: str, op: str) -> None:
    matcher = Matcher("env", op, value)  # type: ignore[arg-type]
    text = inject(parse('foo{a="1"} or sum(bar)'), (matcher,))
    assert [selector.matchers for selector in parse_compiled(text).selectors] == [
        (matcher, Matcher("a", "=", "1")),
        (matcher,),
    ]


def moved(expression: Expression, **places: int) -> Expression:
    first, *rest = expression.selectors
    return replace(expression, selectors=(first._replace(**places), *rest), known={})


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('foo{a="1"} + bar', '"'),  # into a string
        ("foo{a=~'5..'} + bar", "5"),  # into a regex
        ('foo{a=~"5xx|4xx"} + bar', "~"),  # before it
        (r"foo{a=~`\d+`} + bar", r"\+"),  # into a raw one
        ('foo{a="1"} # c', "c"),  # into a comment
        ("sum by (job) (foo)", "job"),  # into a grouping
        ("rate(foo[5m])", r"\["),  # behind the name's bracket
        ('label_replace(foo, "a", "b", "c", "d")', "a"),  # into an argument
        ("foo + bar", "bar"),  # before the other selector
    ],
)
def test_a_splice_in_the_wrong_place_is_refused(text: str, wrong: str) -> None:
    expression = parse(text)
    assert inject(expression, (ENV,))
    found = re.search(wrong, text)
    assert found
    with pytest.raises(PromqlError) as refused:
        inject(moved(expression, insert_at=found.end()), (ENV,))
    assert refused.value.findings[0].code == "injection_unproven"


def test_a_forgotten_selector_is_refused() -> None:
    expression = parse("foo + bar")
    forgetful = replace(expression, selectors=expression.selectors[:1], known={})
    with pytest.raises(PromqlError) as refused:
        inject(forgetful, (ENV,))
    assert refused.value.findings[0].code == "injection_unproven"


def test_what_was_proven_for_one_shape_is_not_taken_for_another() -> None:
    expression = moved(parse("foo"), insert_at=0)
    for matchers in ((ENV,), (Matcher("env", "!=", "x"),), (ENV, ENV)):
        with pytest.raises(PromqlError):
            inject(expression, matchers)
    assert not expression.known


def test_a_result_above_256_kb_is_refused() -> None:
    long = Matcher("env", "=", "x" * 100_000)
    assert inject(parse("a + b"), (long,))
    with pytest.raises(PromqlError) as refused:
        inject(parse("a + b + c"), (long,))
    assert refused.value.findings[0].code == "too_long"
