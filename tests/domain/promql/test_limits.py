from __future__ import annotations

import time

import pytest

from alerts.domain.errors import PromqlError
from alerts.domain.promql.distribution import not_distributive
from alerts.domain.promql.expression import normalise, parse
from alerts.domain.promql.fate import output_has_label
from alerts.domain.promql.injection import inject
from alerts.domain.promql.limits import check_limits
from alerts.domain.promql.matchers import Matcher
from alerts.domain.promql.shape import shape

TOO_MUCH = {
    "20 kB": ("a" * 20_000, "too_long"),
    "8 kB of two-byte characters": ('a{b="' + "é" * 4_100 + '"}', "too_long"),
    "5,000 brackets": ("(" * 2_500 + "a" + ")" * 2_500, "too_deep"),
    "65 brackets": ("(" * 65 + "a" + ")" * 65, "too_deep"),
    "unclosed brackets": ("(" * 8_000, "too_deep"),
    "unclosed braces": ("{" * 8_000, "too_deep"),
    "1,500 terms": (" +".join("a" * 1_500), "too_many_operators"),
    "1,000 'or'": (" or ".join("a" * 1_000), "too_many_operators"),
    "65 powers": ("^".join("a" * 66), "too_deep"),
    "65 signs": ("-" * 65 + "a", "too_deep"),
    "NUL": ("a\0", "invalid_text"),
    "half a surrogate pair": ('a{b="\ud800"}', "invalid_text"),
}
EXPENSIVE = {
    "one that RE2 cannot hold": r'a{b=~"\\pL{1000}"}',
    "many large ones": "a{" + ",".join(rf'b=~"\\pL{{{20 + number}}}"' for number in range(400)) + "}",
    "nested repetitions": r'a{b=~"(((a{100}){100}){100})"}',
}
BACKTRACKING = {
    "nested quantifiers": 'a{b=~"(a+)+$"}',
    "many classes": "a{" + ",".join(rf'b=~"\\w{{{100 + number}}}"' for number in range(40)) + "}",
    "many alternatives": 'a{b=~"' + "(x|xx)*" * 1_000 + '"}',
}
WITHIN = {
    "64 brackets": "(" * 64 + "a" + ")" * 64,
    "501 terms": "+".join("a" * 501),
    "64 powers": "^".join("a" * 65),
    "64 signs": "-" * 64 + "a",
    "64 subqueries": "max_over_time(" * 64 + "a" + "[5m:])" * 64,
    "8 kB": 'a{b="' + "x" * 8_180 + '"}',
}


@pytest.mark.parametrize(("text", "code"), TOO_MUCH.values(), ids=TOO_MUCH)
def test_hostile_text_is_refused_before_parsing(text: str, code: str) -> None:
    for read in (check_limits, parse):
        started = time.thread_time()
        with pytest.raises(PromqlError) as refused:
            read(text)
        assert refused.value.findings[0].code == code
        assert time.thread_time() - started < 5, "at once: the process must live on"


@pytest.mark.parametrize("text", EXPENSIVE.values(), ids=EXPENSIVE)
def test_an_expensive_regex_is_refused_at_once(text: str) -> None:
    started = time.thread_time()
    with pytest.raises(PromqlError) as refused:
        parse(text)
    assert refused.value.findings[0].code == "invalid_regex"
    assert time.thread_time() - started < 5


@pytest.mark.parametrize("text", BACKTRACKING.values(), ids=BACKTRACKING)
def test_a_regex_that_blows_up_elsewhere_is_harmless(text: str) -> None:
    started = time.thread_time()
    for selector in parse(text).selectors:
        for matcher in selector.matchers:
            matcher.accepts("a" * 1_000 + "!")
            matcher.accepts("x" * 1_000 + "!")
    assert time.thread_time() - started < 5


@pytest.mark.parametrize("text", WITHIN.values(), ids=WITHIN)
def test_the_largest_that_is_allowed_can_be_worked_with_deep_inside_a_request(text: str) -> None:
    def deep(frames: int) -> None:
        if frames:
            return deep(frames - 1)
        expression = parse(text)
        assert inject(expression, (Matcher("env", "=", "x"),)).count('env="x"') == len(expression.selectors)
        assert shape(text) == shape(text + " ")
        assert normalise(text) == normalise(text + " ")
        assert not_distributive(expression, "env") is None
        assert output_has_label(expression, "env") is True
        return None

    deep(200)


def test_a_long_chain_of_joined_branches_is_normalised_in_time() -> None:
    branch = " + ".join(["a"] * 500)
    text = " or ".join(f"({branch})" for _ in range(50))
    started = time.thread_time()
    assert normalise(text) == normalise(text.replace(" + ", "+"))
    assert time.thread_time() - started < 5
