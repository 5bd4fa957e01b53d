"""The law of ``distribution``, tried on real evaluations: pieces together yield what the whole yields, without overlap.

Each expression is evaluated through its injected forms: with a condition on ``env``, and with two that cut it in parts.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from alerts.domain.promql.distribution import not_distributive
from alerts.domain.promql.expression import parse
from alerts.domain.promql.fate import output_has_label
from alerts.domain.promql.injection import inject
from alerts.domain.regions import Condition, Region
from tests.domain.promql import judge
from tests.domain.promql.distribution_table import DETERMINED_BY, IN_PIECES, UNSCOPED, WHOLE
from tests.domain.promql.random_expressions import random_expression

CONFIGURATION = ['cfg{job="j1",owner="o1"}', 'cfg{job="j2",owner="o2"}', 'maintenance{job="j2"}']
DATA = {
    "a wide one": [
        'x{env="a",instance="i1",job="j1"}',
        'x{env="a",instance="i2",job="j2"}',
        'x{env="b",instance="i3",job="j1"}',
        'x{env="b",instance="i4",job="j2"}',
        'x{instance="i5",job="j1"}',
        'y{env="a",instance="i1",job="j1"}',
        'y{env="b",instance="i3",job="j1"}',
        'y{env="b",instance="i6",job="j2"}',
        'y{instance="i5",job="j1"}',
        'z{env="a",instance="i1",job="j1"}',
        'h_bucket{env="a",instance="i1",job="j1",le="1"}',
        'h_bucket{env="a",instance="i1",job="j1",le="2"}',
        'h_bucket{env="a",instance="i1",job="j1",le="+Inf"}',
        'h_bucket{env="b",instance="i3",job="j1",le="1"}',
        'h_bucket{env="b",instance="i3",job="j1",le="4"}',
        'h_bucket{env="b",instance="i3",job="j1",le="+Inf"}',
        *CONFIGURATION,
        'cfg{job="j3",instance="i3"}',
    ],
    "one series per part": [
        'x{env="a",instance="i1",job="j1"}',
        'x{env="b",instance="i3",job="j1"}',
        'y{env="a",instance="i1",job="j2"}',
        'y{env="b",instance="i3",job="j1"}',
        'z{env="b",instance="i3",job="j2"}',
        *CONFIGURATION,
    ],
    "the parts hold different metrics": [
        'x{env="a",instance="i1",job="j1"}',
        'x{env="a",instance="i2",job="j2"}',
        'y{env="b",instance="i3",job="j1"}',
        'z{env="b",instance="i4",job="j2"}',
        *CONFIGURATION,
    ],
}
CUTS = [
    (Region(), Condition(True, frozenset(("a",)))),
    (Region.of({"env": Condition(True, frozenset(("a", "b")))}), Condition(True, frozenset(("a",)))),
    (Region(), Condition(False, frozenset(("", "b")))),
]


def adds_up(whole: judge.Result, one: judge.Result, other: judge.Result) -> bool:
    if isinstance(whole, str):
        return isinstance(one, str) or isinstance(other, str) or of_one_part(whole)
    if isinstance(one, str) or isinstance(other, str):
        return False
    return one | other == whole and not one & other


def of_one_part(error: str) -> bool:
    """Duplicates that belong to one part. Prometheus does not look for them where the other side is empty, so that
    part alone gives no error."""
    duplicates = re.search(r"found duplicate series for the match group .*: \[\{(.*?)\}, \{(.*?)\}\];", error)
    if duplicates is None:
        return False
    one, other = (dict(judge.labels_of(found)) for found in duplicates.groups())
    return any(one.get(key) == other.get(key) for key in ("env", "instance"))


def differing(promtool: Path, texts: list[str]) -> dict[str, str]:
    """Expression → the data that shows that its pieces do not add up to the whole."""
    asked = []
    for text in texts:
        for whole, condition in CUTS:
            one = whole.intersect(Region.of({"env": condition}))
            other = whole.intersect(Region.of({"env": condition.complement()}))
            expression = parse(text)
            asked += [inject(expression, region.matchers(), UNSCOPED) for region in (whole, one, other)]
    found: dict[str, str] = {}
    for name, series in DATA.items():
        results = judge.evaluate(promtool, series, asked)
        for number in range(0, len(asked), 3):
            if not adds_up(*results[number : number + 3]):
                found[texts[number // (3 * len(CUTS))]] = name
    return found


def test_pieces_of_what_is_distributive_add_up_to_the_whole(promtool: Path) -> None:
    assert differing(promtool, IN_PIECES) == {}


def test_pieces_of_what_is_not_are_something_else(promtool: Path) -> None:
    shown = [text for text, _, is_shown in WHOLE if is_shown]
    assert set(shown) - set(differing(promtool, shown)) == set()


def random_distributive(seed: int, count: int) -> list[str]:
    source = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        text = random_expression(source)
        expression = parse(text)
        # A plain selector teaches nothing.
        if len(text) > 12 and not_distributive(expression, "env", DETERMINED_BY, UNSCOPED) is None:
            found[text] = None
    return list(found)


def test_pieces_of_random_distributive_expressions_add_up(promtool: Path) -> None:
    assert differing(promtool, random_distributive(seed=4, count=600)) == {}


@pytest.mark.full
@pytest.mark.parametrize("seed", range(20))
def test_pieces_of_many_random_distributive_expressions_add_up(promtool: Path, seed: int) -> None:
    assert differing(promtool, random_distributive(seed=100 + seed, count=1_000)) == {}


def test_what_is_said_of_a_label_s_fate_is_so(promtool: Path) -> None:
    """True: with ``env`` on all series read, all series yielded have it. False: none has."""
    source = random.Random(9)
    texts = [random_expression(source) for _ in range(1_200)]
    series = [one for one in DATA["a wide one"] if "env=" in one or one.startswith(UNSCOPED)]
    seen = {True: 0, False: 0}
    for text, result in zip(texts, judge.evaluate(promtool, series, texts), strict=True):
        fate = output_has_label(parse(text), "env", UNSCOPED)
        if not result or isinstance(result, str) or fate is None:
            continue
        assert {any(name == "env" for name, _ in labels) for labels, _ in result} == {fate}, text
        seen[fate] += 1
    assert min(seen.values()) > 50
