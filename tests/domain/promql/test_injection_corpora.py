"""Injection on rules that nobody here wrote, with judges that share nothing with it."""

from __future__ import annotations

import random
from pathlib import Path

import promql_parser
import pytest

from alerts.domain.errors import PromqlError
from alerts.domain.promql.expression import normalise, parse
from alerts.domain.promql.injection import inject
from alerts.domain.promql.matchers import Matcher
from tests.corpora import injection_cases, judged_expressions, rule_expressions
from tests.domain.promql import judge

GROUP = (Matcher("env", "=~", "prod|prod-eu"), Matcher("team", "!=", ""))


def accepted() -> list[str]:
    return [text for text, verdict in (*rule_expressions(), *judged_expressions()) if verdict]


def readable() -> list[str]:
    """Accepted by promtool and by us; of rules that is every one."""
    found = []
    for text in accepted():
        try:
            parse(text)
        except PromqlError:
            continue
        found.append(text)
    return found


def sample(texts: list[str], count: int) -> list[str]:
    return random.Random(20).sample(texts, count)


def every_selector(text: str) -> list[tuple[str | None, list[tuple[str, str, str]]]]:
    """Name and matchers of each selector, by the parser's own walk."""
    found: list[tuple[str | None, list[tuple[str, str, str]]]] = []
    signs = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}

    def visit(node: object) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            matchers = [(m.name, signs[str(m.op).split(".")[1]], m.value) for m in node.matchers.matchers]
            found.append((node.name, matchers))

    promql_parser.walk(promql_parser.parse(text), visit)
    return found


def test_every_real_expression_carries_the_matchers_afterwards_and_is_itself_without_them() -> None:
    texts = readable()
    assert len(texts) > 3_000
    added = [tuple(matcher) for matcher in GROUP]
    for text in texts:
        scoped = inject(parse(text), GROUP)
        pieces = scoped.split('env=~"prod|prod-eu",team!=""')
        if "`" in text:  # the parser reads escapes in raw strings
            continue
        before, after = every_selector(text), every_selector(scoped)
        assert after == [(name, added + matchers) for name, matchers in before], text
        assert len(pieces) == len(before) + 1
        # Taking the inserted characters out gives back the author's text, layout and comments included.
        bare = "".join(pieces).replace("{}", "").replace("{,", "{")
        assert bare == text.replace("{}", "").replace("{,", "{")


def test_promtool_accepts_every_result(promtool: Path) -> None:
    texts = [text for text, verdict in rule_expressions() if verdict]
    results = [inject(parse(text), GROUP) for text in texts]
    assert judge.refused(promtool, results) == {}


def test_hostile_values_on_real_expressions_are_accepted_and_mean_themselves(promtool: Path) -> None:
    hostile = ('"} or up{a="', "a\\", "x\ny", "é|😀", "(", "$1{{", "`", "#")
    texts = sample([text for text, verdict in rule_expressions() if verdict], 200)
    results = []
    for number, text in enumerate(texts):
        op = ("=", "!=")[number % 2]
        results.append(inject(parse(text), (Matcher("env", op, hostile[number % len(hostile)]),)))  # type: ignore[arg-type]
    assert judge.refused(promtool, results) == {}


def agrees_with_promtool(promtool: Path, texts: list[str]) -> None:
    for number, text in enumerate(texts):
        op = ("=", "!=", "=~", "!~")[number % 4]
        value = ("prod", 'pr"o\\d\n', "prod|prod-eu", "|é")[number % 4]
        theirs = judge.with_matcher(promtool, text, "judged_env", op, value)
        ours = inject(parse(text), (Matcher("judged_env", op, value),))  # type: ignore[arg-type]
        assert normalise(ours) == normalise(theirs), text


def judged() -> list[str]:
    """promtool's command takes one value per label, and replaces: only where the label is not used."""
    return [text for text, verdict in rule_expressions() if verdict and "judged_env" not in text]


def test_promtool_would_have_injected_the_same(promtool: Path) -> None:
    agrees_with_promtool(promtool, sample(judged(), 120))


@pytest.mark.full
def test_promtool_would_have_injected_the_same_everywhere(promtool: Path) -> None:
    agrees_with_promtool(promtool, judged())


# Prometheus prints these labels without the quotes that it needs to read them.
UNREADABLE_ONCE_PRINTED = ('on("äää")', 'on(legacy, "üüü")')


def normalised_alike(promtool: Path, texts: list[str]) -> None:
    for text in texts:
        assert normalise(judge.printed(promtool, text)) == normalise(text), text


def test_what_prometheus_prints_is_normalised_to_the_same(promtool: Path) -> None:
    normalised_alike(promtool, sample(readable(), 120))


@pytest.mark.full
def test_what_prometheus_prints_is_normalised_to_the_same_everywhere(promtool: Path) -> None:
    texts = [text for text in readable() if not any(part in text for part in UNREADABLE_ONCE_PRINTED)]
    normalised_alike(promtool, texts)


def test_results_agree_with_prom_label_proxy() -> None:
    compared = 0
    for case in injection_cases():
        if case["error"] is not None:
            continue
        # It leaves a matcher out that is there already, or replaces it.
        matchers = [Matcher(one["name"], one["op"], one["value"]) for one in case["enforced"]]
        try:
            expression = parse(case["input"])
        except PromqlError:
            continue  # experimental syntax, which our parser does not read
        present = {matcher.label for selector in expression.selectors for matcher in selector.matchers}
        if present & {matcher.label for matcher in matchers}:
            continue
        assert normalise(inject(expression, matchers)) == normalise(case["output"])
        compared += 1
    assert compared >= 5
