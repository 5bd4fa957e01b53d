"""Random PromQL over the series of the distribution tests: most of it parses, much of it can be evaluated."""

from __future__ import annotations

import random

from alerts.domain.errors import PromqlError
from alerts.domain.promql.expression import parse

_SETS = (
    ("env",),
    ("instance",),
    ("job",),
    ("env", "instance"),
    ("env", "job"),
    ("instance", "job"),
    ("env", "instance", "job"),
    (),
)
_SELECTORS = (
    "x",
    "x",
    "y",
    "y",
    "z",
    "x{job='j1'}",
    "y{env!='b'}",
    "x{instance='i1'}",
    "cfg",
    "maintenance",
    "h_bucket",
)
_CALLS = (
    "abs({})",
    "sort({})",
    "-{}",
    "({})",
    "rate({}[3m:1m])",
    "max_over_time({}[3m:1m])",
    "clamp({}, 1, 50)",
    "label_replace({}, 'env', 'c', '', '')",
    "label_replace({}, 'env', '$1', 'job', '(.*)')",
    "label_replace({}, 'instance', 'i1', '', '')",
    "label_join({}, 'job', '', 'env', 'instance')",
    "histogram_quantile(0.5, {})",
    "absent({})",
    "vector(scalar({}))",
    "day_of_month({})",
)
_AGGREGATIONS = ("sum", "max", "count", "group", "stddev", "topk", "bottomk", "quantile", "count_values")
_PARAMS = {
    "topk": ("1, ", "2, "),
    "bottomk": ("1, ",),
    "quantile": ("0.5, ",),
    "count_values": ("'value', ", "'env', "),
}
_NUMBERS = ("5", "time()", "scalar(cfg{job='j1'})", "0.5")


def random_expression(source: random.Random, depth: int = 3) -> str:
    """One that our reader accepts."""
    while True:
        text = _vector(source, depth)
        try:
            parse(text)
        except PromqlError:
            continue
        return text


def _vector(source: random.Random, depth: int) -> str:
    if depth == 0:
        return source.choice(_SELECTORS)
    kind = source.random()
    if kind < 0.15:
        return source.choice(_SELECTORS)
    if kind < 0.35:
        return source.choice(_CALLS).format(_vector(source, depth - 1))
    if kind < 0.6:
        op = source.choice(_AGGREGATIONS)
        if op in ("topk", "bottomk"):
            depth = 1  # which of equals they pick is not defined, and selectors have no equals
        clause = source.choice(("by", "by", "without"))
        param = source.choice(_PARAMS.get(op, ("",)))
        return f"{op} {clause} {_list(source)} ({param}{_vector(source, depth - 1)})"
    if kind < 0.7:
        op = source.choice(("+", "*", ">", "> bool", "%"))
        return f"({_vector(source, depth - 1)} {op} {source.choice(_NUMBERS)})"
    return _match(source, depth)


def _match(source: random.Random, depth: int) -> str:
    left, right = _vector(source, depth - 1), _vector(source, depth - 1)
    on = source.choice(("", "", f"on {_list(source)}", f"ignoring {_list(source)}"))
    if source.random() < 0.5:
        return f"({left} {source.choice(('and', 'or', 'unless'))} {on} {right})"
    side = ""
    if on and source.random() < 0.6:
        included = source.choice(("", "", "(env)", "(owner)", "(instance)"))
        side = f"{source.choice(('group_left', 'group_right'))} {included or '()'}"
    return f"({left} {source.choice(('+', '>', '> bool', '*'))} {on} {side} {right})"


def _list(source: random.Random) -> str:
    return f"({', '.join(source.choice(_SETS))})"
