from __future__ import annotations

import re

import promql_parser
import pytest

from alerts.domain.errors import PromqlError
from alerts.domain.promql import expression
from alerts.domain.promql import tree as trees
from alerts.domain.promql.expression import parse, parse_compiled
from alerts.domain.promql.injection import inject
from alerts.domain.promql.matchers import Matcher
from alerts.domain.promql.metrics import metrics_read
from alerts.domain.promql.veil import Veil
from tests.corpora import judged_expressions, rule_expressions


@pytest.mark.parametrize(
    ("text", "selectors"),
    [
        ("foo", ["foo"]),
        ("sum(rate(foo[5m])) by (job) / on (job) group_left (team) bar", ["foo", "bar"]),
        ("sum by (job) (foo)", ["foo"]),
        ("topk(5, foo)", ["foo"]),
        ("quantile without (a) (scalar(phi), foo)", ["phi", "foo"]),
        ("sum{a='b'} + offset + start + by", ["sum", "offset", "start", "by"]),
        ("foo offset -1d @ end() + foo offset 5m", ["foo", "foo"]),
        ("max_over_time(rate(foo[5m])[1h:5m] @ start() offset 3m)", ["foo"]),
        ("time() - foo > bool on () bar", ["foo", "bar"]),
        ("Inf + nan + 0x1F + 1e3 + foo", ["foo"]),
        ('label_replace(foo, "a", "$1", "b", "bar{}")', ["foo"]),
        ("foo # bar{}\n", ["foo"]),
        ('{"foo.bar", a="1"}', ["foo.bar"]),
        ('{__name__="foo"}', ["foo"]),
        ('{__name__=~"foo|bar"}', [None]),
        ('{a="1"}', [None]),
        ("SUM(foo) BY (a) AND bar OFFSET 5m", ["foo", "bar"]),
        ("rate(rate[5m]) * time", ["rate", "time"]),
        ("a and b or c unless d", ["a", "b", "c", "d"]),
        ("hour() > 5 and foo", ["foo"]),
        ("-foo ^ -2", ["foo"]),
    ],
)
def test_selectors_are_found_where_they_are(text: str, selectors: list[str | None]) -> None:
    expression = parse(text)
    assert [selector.name for selector in expression.selectors] == selectors
    for selector in expression.selectors:
        part = parse(text[selector.start : selector.end])
        assert [one.matchers for one in part.selectors] == [selector.matchers]
    assert metrics_read(expression) == {"*" if name is None else name for name in selectors}


@pytest.mark.parametrize("text", [r'up + {__name__="a\x00b"}', r'up + {"a\u0000b", c="d"}', r"up + {'a\000'}"])
def test_no_metric_has_a_nul_in_its_name(text: str) -> None:
    with pytest.raises(PromqlError) as error:
        parse(text)
    assert (error.value.findings[0].code, error.value.findings[0].offset) == ("invalid_promql", 5)
    parse(r'up{a="\x00", b=~"\x00"}')


def test_matchers_are_read_as_prometheus_reads_them() -> None:
    selector = parse(r"""foo{a='it\'s', b=~`\d+`, "c d"!="", e!~"x|\\."}""").selectors[0]
    assert selector.matchers == (
        Matcher("a", "=", "it's"),
        Matcher("b", "=~", r"\d+"),
        Matcher("c d", "!=", ""),
        Matcher("e", "!~", r"x|\."),
    )


@pytest.mark.parametrize(
    ("text", "code", "offset"),
    [
        ("", "empty_expression", 0),
        (" # nothing", "empty_expression", 0),
        ("foo +", "invalid_promql", 5),
        ("foo bar", "invalid_promql", 4),
        ("foo + (bar", "invalid_promql", 10),
        ("foo)", "invalid_promql", 3),
        ('foo{a="b" c="d"}', "invalid_promql", 10),
        ("foo{a=b}", "invalid_promql", 6),
        ("sum(foo", "invalid_promql", 7),
        ("1 + nope(foo)", "invalid_promql", 4),
        ('foo{a=~"("}', "invalid_regex", 7),
        ('foo{a=~"a",b!~"(?=x)"}', "invalid_regex", 14),
        ('{a=~"\\\\d*"}', "invalid_promql", 0),
        ('foo{a="1" or b="2"}', "or_matchers", 10),
        ("foo @ -5", "invalid_promql", 6),
        ("80 or vector(1) }", "invalid_promql", 16),
        ('x{a="} or up{"} "', "invalid_promql", 16),
        ("rate(foo)", "invalid_promql", 0),
        ("{}", "invalid_promql", 0),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(text: str, code: str, offset: int) -> None:
    with pytest.raises(PromqlError) as refused:
        parse(text)
    finding = refused.value.findings[0]
    assert (finding.code, finding.offset) == (code, offset)
    assert finding.line is not None
    assert finding.column is not None


def test_compiled_text_may_be_longer() -> None:
    text = 'foo{a=~"' + "|".join(f"value-{number}" for number in range(5_000)) + '"}'
    with pytest.raises(PromqlError):
        parse(text)
    assert len(parse_compiled(text).selectors) == 1


def test_every_rule_expression_that_promtool_accepts_can_be_read() -> None:
    for text, accepted in rule_expressions():
        if accepted:
            assert parse(text).text == text


# Accepted by promtool, refused by us: experimental words as names, times before 1970, a parser quirk. None can do harm.
STRICTER = {
    'anchored{job="test"}',
    'smoothed{job="test"}',
    "sum by (smoothed)(some_metric)",
    "foo @ -100",
    'min_over_time(rate(foo{bar="baz"}[2s])[5m:] @ -160377509)[4m:3s]',
    "foo[5s x 5s]",
    "foo[5s s 5s]",
}


def test_what_promtool_accepts_of_prometheus_own_tests_is_read() -> None:
    refused = set()
    for text, accepted in judged_expressions():
        try:
            parse(text)
        except PromqlError:
            refused |= {text} if accepted else set()
    assert refused == STRICTER


def test_the_tree_copies_every_attribute_the_parser_shows() -> None:
    """A new attribute in a new release of the parser must be copied too, or the proof of injection has a hole."""
    assert {
        kind.__name__: {name for name in dir(kind) if not name.startswith("_")} - {"parse", "prettify"}
        for kind in trees._MAKERS
    } == {
        "VectorSelector": {"name", "matchers", "offset", "at"},
        "MatrixSelector": {"vector_selector", "range"},
        "SubqueryExpr": {"expr", "range", "step", "offset", "at"},
        "Call": {"func", "args"},
        "AggregateExpr": {"op", "expr", "param", "modifier"},
        "BinaryExpr": {"op", "lhs", "rhs", "modifier"},
        "UnaryExpr": {"expr"},
        "ParenExpr": {"expr"},
        "NumberLiteral": {"val"},
        "StringLiteral": {"val"},
    }
    shown = {name for name in dir(promql_parser.BinModifier) if not name.startswith("_")}
    assert shown == {"card", "matching", "return_bool", "group_labels", "fill_values"}
    assert issubclass(promql_parser.VectorSelector, promql_parser.Expr)
    assert {kind.__name__ for kind in promql_parser.Expr.__subclasses__()} == {kind.__name__ for kind in trees._MAKERS}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("foo", "bar"),
        ("foo", "foo offset 1ms"),
        ("foo[5m]", "foo[5m1ms]"),
        ("foo @ 1", "foo @ 1.001"),
        ("foo @ start()", "foo @ end()"),
        ("foo > 1", "foo > bool 1"),
        ("foo > 1", "foo > 1.0000000000000002"),
        ("foo + bar", "foo + on () bar"),
        ("foo + ignoring (a) bar", "foo + on (a) bar"),
        ("foo + on (a) bar", "foo + on (a) group_left bar"),
        ("foo + on (a) group_left bar", "foo + on (a) group_right bar"),
        ("foo + on (a) group_left bar", "foo + on (a) group_left (b) bar"),
        ("sum by (a) (foo)", "sum without (a) (foo)"),
        ("sum(foo)", "max(foo)"),
        ("topk(1, foo)", "topk(2, foo)"),
        ("foo", "(foo)"),
        ("foo", "-foo"),
        ("rate(foo[5m])", "irate(foo[5m])"),
        ("max_over_time(foo[5m:1m])", "max_over_time(foo[5m:])"),
        ('foo{a="1"}', 'foo{a!="1"}'),
        ('foo{a=~"1"}', 'foo{a!~"1"}'),
        ("foo + fill (1) bar", "foo + fill (2) bar"),
        ('label_join(foo, "a", "b")', 'label_join(foo, "a", "c")'),
    ],
)
def test_trees_differ_where_meanings_do(one: str, other: str) -> None:
    assert parse(one).tree != parse(other).tree


@pytest.mark.parametrize(
    "text",
    [
        'foo{a=~"5.."}',
        'foo{a=~\'5..\',b!~"x|",c="5.."} > 1',
        r"topk(2, foo{a=~`5\.`}) / on (a) bar{a!~`(5|)`} + sum(rate(foo[5m])) by (a)",
        r'label_replace(foo, "a", "$1", "b", `(\d+)"`) * foo{a=~"5+"}',
    ],
)
def test_the_parser_is_shown_no_regex_and_the_tree_has_them_all(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    read = promql_parser.parse
    monkeypatch.setattr(expression.library, "parse", lambda text: shown.append(text) or read(text))
    parsed = parse_compiled(text)
    assert inject(parsed, (Matcher("env", "=~", "x"),)).count('env=~"x"') == len(parsed.selectors)
    operators = re.compile(r"""([=!]~)\s*(["'`].*?["'`])""")
    assert len(shown) == 2
    assert all(value in ('"p"', '""') for text in shown for _, value in operators.findall(text))
    true = [matcher.value for selector in parsed.selectors for matcher in selector.matchers if "~" in matcher.op]
    assert true == [value[1:-1] for _, value in operators.findall(text)]


@pytest.mark.parametrize("regexes", [(), ("a", "b")], ids=["fewer", "more"])
def test_regexes_that_do_not_match_the_tree_are_refused(regexes: tuple[str, ...]) -> None:
    with pytest.raises(PromqlError, match="cannot be read safely"):
        expression.read_tree('foo{a=~"x"}', Veil('foo{a=~"p"}', regexes))
