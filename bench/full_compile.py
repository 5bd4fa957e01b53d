"""Everything compiled and rendered at once, nothing remembered: rules per second, and the most memory it ever took.

The pure domain in a fresh process. Beside it, as a measure of the machine, how fast the bare PromQL parser reads the
same expressions: each distinct one has to be parsed twice, as written and, for the proof, with its matchers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import promql_parser

from alerts.domain.compiler import Options, compile_policy
from alerts.domain.layers import GLOBAL, Group, Layer, Namespace, Policy, Scope, Topology
from alerts.domain.renderer import render
from bench import policies
from bench.clocks import Spent, peak_memory
from bench.table import Result

PLACE = "environment"
MEGABYTE = 1_000_000
ROUNDS = 3
NOTHING: dict[str, object] = {}  # one object, as when rows are read: equal texts share one


def repeated(*, tiny: bool = False) -> list[Result]:
    """Few expressions, each at many scopes."""
    rules, expressions = (40, 8) if tiny else (10_000, 200)
    return _measure(rules, expressions, at_least=20_000)


def distinct(*, tiny: bool = False) -> list[Result]:
    """Every rule has an expression of its own."""
    rules = 40 if tiny else 10_000
    return _measure(rules, rules, at_least=4_000)


def _measure(rules: int, expressions: int, at_least: float) -> list[Result]:
    _warm_up()
    rounds = [_round(rules, expressions, first=number * 1_000_000) for number in range(ROUNDS)]
    best = min(rounds, key=lambda one: one.compiling + one.rendering)
    spent = best.compiling + best.rendering
    what = f"compile and render {rules:,} rules from {expressions:,} distinct expressions"
    return [
        Result(
            what,
            f"compile {best.compiling:.2f} s CPU, render {best.rendering:.2f} s into {best.files} files of together "
            f"{best.size / MEGABYTE:.1f} MB; the fastest of {ROUNDS} rounds, each with expressions never seen before",
            rules / spent,
            " /s",
            "at least",
            at_least,
        ),
        Result(
            f"{what}: beside the bare parser reading each once",
            _parser(best.parsing, expressions),
            spent / best.parsing,
            " ×",
        ),
        Result(
            f"{what}: peak memory",
            "largest resident size of the process after the first round",
            rounds[0].peak / MEGABYTE,
            " MB",
            "at most",
            150,
        ),
    ]


@dataclass(frozen=True)
class Round:
    """CPU seconds, and what came out. ``parsing``: the bare parser on the same expressions."""

    compiling: float
    rendering: float
    parsing: float
    files: int
    size: int
    peak: int


def _round(rules: int, expressions: int, first: int) -> Round:
    policy = Policy(_topology(100), tuple(_layers(rules, expressions, first)))
    with Spent() as compiling:
        compiled = compile_policy(policy, Options())
    with Spent() as rendering:
        files = render(compiled.rules)
    peak = peak_memory()
    assert not compiled.problems
    assert len(compiled.rules) == rules
    with Spent() as parsing:
        for number in range(expressions):
            promql_parser.parse(policies.expression(first + number))
    size = sum(len(file.content) for file in files.values())
    return Round(compiling.cpu, rendering.cpu, parsing.cpu, len(files), size, peak)


def _parser(seconds: float, expressions: int) -> str:
    return f"bare parser alone: {seconds:.2f} s CPU, {expressions / seconds:,.0f} /s here and now"


def _topology(groups: int) -> Topology:
    return Topology((Namespace(PLACE, PLACE, 100),), tuple(Group(PLACE, f"g{number:04}") for number in range(groups)))


def _layers(rules: int, expressions: int, first: int) -> Iterable[Layer]:
    for number in range(rules):
        key, place = number % expressions, number // expressions if expressions < rules else number % 100
        yield Layer(
            number + 1,
            "alerting",
            f"Rule{key}",
            Scope("group", PLACE, f"g{place:04}"),
            query=policies.expression(first + key),
            severity="warning",
            default_config=NOTHING,
            config=policies.CONFIG,
        )


def _warm_up() -> None:
    """Imports and first calls are not the work."""
    layer = Layer(1, "alerting", "Warm", GLOBAL, query="warm > 1")
    render(compile_policy(Policy(Topology(), (layer,)), Options()).rules)
