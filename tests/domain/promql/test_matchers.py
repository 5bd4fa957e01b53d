from __future__ import annotations

import promql_parser
import pytest
import re2
from hypothesis import example, given
from hypothesis import strategies as st

from alerts.domain.errors import PolicyConflict, PromqlError
from alerts.domain.promql.expression import parse
from alerts.domain.promql.matchers import Matcher, contradicts, matcher_for, quote, regex_union
from alerts.domain.regions import Condition
from tests.corpora import injection_cases

HOSTILE = "\"'`\\\n\r\t#{}[]()|.*+?^$,= \x01\x7féλ😀\u2028\ufeffaB0-_/:"
values = st.one_of(
    st.text(st.sampled_from(HOSTILE), max_size=8),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=8),
)
value_sets = st.frozensets(values, min_size=1, max_size=6)


@given(values, st.sampled_from(["=", "!="]))
@example('"} or up{a="', "=")
@example("\\", "=")
def test_any_value_survives_as_one_string(value: str, op: str) -> None:
    matcher = Matcher("label", op, value)  # type: ignore[arg-type]
    # A second, plain matcher: the parser refuses selectors that match everything.
    found = promql_parser.parse("{" + matcher.text + ',x="y"}').matchers.matchers
    assert [(item.name, item.value) for item in found] == [("label", value), ("x", "y")]
    assert parse("foo{" + matcher.text + "}").selectors[0].matchers == (matcher,)


@given(value_sets, values)
def test_a_regex_of_values_matches_these_and_no_other(among: frozenset[str], other: str) -> None:
    pattern = regex_union(among)
    for value in {*among, other, ""}:
        assert (re2.fullmatch(pattern, value) is not None) == (value in among)
    matcher = Matcher("label", "=~", pattern)
    assert parse("foo{" + matcher.text + "}").selectors[0].matchers == (matcher,)


@given(value_sets, st.booleans(), values)
def test_a_condition_and_its_matcher_hold_for_the_same_values(among: frozenset[str], include: bool, other: str) -> None:
    condition = Condition(include, among)
    matcher = matcher_for("env", condition)
    assert matcher is not None
    for value in {*among, other, ""}:
        assert matcher.accepts(value) == condition.holds(value)


@pytest.mark.parametrize(
    ("include", "among", "text"),
    [
        (True, {"prod"}, 'env="prod"'),
        (True, {"prod-eu", "prod"}, 'env=~"prod|prod-eu"'),
        (False, {"prod"}, 'env!="prod"'),
        (False, {"b", "a"}, 'env!~"a|b"'),
        (True, {""}, 'env=""'),
        (False, {""}, 'env!=""'),
        (True, {"", "a"}, 'env=~"|a"'),
        (False, {"", "a"}, 'env!~"|a"'),
        (True, {"a.b", "c|d"}, r'env=~"a\\.b|c\\|d"'),
    ],
)
def test_a_condition_is_written_as_people_would(include: bool, among: set[str], text: str) -> None:
    matcher = matcher_for("env", Condition(include, frozenset(among)))
    assert matcher is not None
    assert matcher.text == text


def test_a_label_of_any_characters_is_quoted() -> None:
    assert Matcher('a "b"', "=", "c").text == r'"a \"b\""="c"'
    assert Matcher("é", "=", "c").text == '"é"="c"'


def test_more_than_5000_values_are_refused() -> None:
    condition = Condition(True, frozenset(str(number) for number in range(5_001)))
    with pytest.raises(PolicyConflict) as refused:
        matcher_for("env", condition)
    assert refused.value.findings[0].code == "too_many_values"


@given(values)
def test_quoting_leaves_no_control_character(value: str) -> None:
    assert not any(ord(character) < 0x20 or character == "\x7f" for character in quote(value))


@pytest.mark.parametrize(
    ("author", "include", "among", "expected"),
    [
        (("=", "a"), True, {"a", "b"}, False),
        (("=", "c"), True, {"a", "b"}, True),
        (("=", "a"), False, {"a"}, True),
        (("=", "a"), False, {"b"}, False),
        (("=", ""), False, {""}, True),
        (("!=", "a"), True, {"a"}, True),
        (("!=", "a"), True, {"a", "b"}, False),
        (("!=", "a"), False, {"a", "b"}, False),
        (("=~", "a.*"), True, {"b", "c"}, True),
        (("=~", "a.*"), True, {"b", "ab"}, False),
        (("=~", "a.*"), False, {"a"}, False),
        (("=~", "a|b"), False, {"a", "b"}, True),
        (("=~", "a|b"), False, {"a"}, False),
        (("=~", "b"), True, {"abc"}, True),  # anchored
        (("=~", "a.b"), True, {"a\nb"}, False),  # the dot is any character
        (("!~", "a.*"), True, {"ab"}, True),
        (("!~", "a.*"), False, {"ab"}, False),
        (("!~", ".+"), False, {""}, True),
        (("!~", ".+"), False, {"a"}, False),
        (("=~", "(a+)+$"), True, {"a" * 60 + "b"}, True),  # never a backtracking engine
    ],
)
def test_a_contradiction_is_seen(author: tuple[str, str], include: bool, among: set[str], expected: bool) -> None:
    matcher = Matcher("env", *author)  # type: ignore[arg-type]
    assert contradicts(matcher, Condition(include, frozenset(among))) is expected


@given(values, st.sampled_from(["=", "!="]), value_sets, st.booleans())
def test_a_contradiction_leaves_no_value(value: str, op: str, among: frozenset[str], include: bool) -> None:
    author, condition = Matcher("env", op, value), Condition(include, among)  # type: ignore[arg-type]
    candidates = {*among, value, "", "no one lists this"}
    possible = any(author.accepts(one) and condition.holds(one) for one in candidates)
    assert contradicts(author, condition) is not possible


def test_a_regex_that_re2_refuses_is_an_error() -> None:
    with pytest.raises(PromqlError) as refused:
        Matcher("a", "=~", r"(?=x)").accepts("x")
    assert refused.value.findings[0].code == "invalid_regex"


def test_contradictions_of_prom_label_proxy_are_judged_by_trying_values() -> None:
    """Its own answers are no judge: it forbids some that a value satisfies, and lets some pass that none does."""
    tried = ("", "foo", "bar", "fred", "foobar", "a value no one lists")
    compared = same = 0
    for case in injection_cases():
        if len(case["enforced"]) != 1 or not case["error_on_replace"] or case["error"] == "parse_error":
            continue
        enforced = case["enforced"][0]
        if ".*" in enforced["value"]:
            continue  # no condition of ours
        condition = Condition(enforced["op"] in ("=", "=~"), frozenset(enforced["value"].split("|")))
        for matcher in parse(case["input"]).selectors[0].matchers:
            possible = any(matcher.accepts(value) and condition.holds(value) for value in tried)
            assert contradicts(matcher, condition) is not possible, (case["input"], condition)
        found = any(contradicts(matcher, condition) for matcher in parse(case["input"]).selectors[0].matchers)
        same += found == (case["error"] == "conflicting_matcher")
        compared += 1
    assert compared > 60
    assert same > compared * 0.9
