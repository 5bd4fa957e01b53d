"""What the functions of PromQL do to the series they are given."""

from __future__ import annotations

from alerts.domain.promql.tree import (
    BinaryNode,
    CallNode,
    Node,
    NumberNode,
    ParenNode,
    StringNode,
    UnaryNode,
)

# fmt: off
SERIES_BY_SERIES = frozenset(
    (
        "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "changes", "clamp", "clamp_max",
        "clamp_min", "cos", "cosh", "day_of_month", "day_of_week", "day_of_year", "days_in_month", "deg", "delta",
        "deriv", "double_exponential_smoothing", "exp", "floor", "histogram_avg", "histogram_count",
        "histogram_fraction", "histogram_quantile", "histogram_stddev", "histogram_stdvar", "histogram_sum",
        "holt_winters", "hour", "idelta", "increase", "irate", "ln", "log10", "log2", "minute", "month",
        "predict_linear", "rad", "rate", "resets", "round", "sgn", "sin", "sinh", "sort", "sort_by_label",
        "sort_by_label_desc", "sort_desc", "sqrt", "tan", "tanh", "timestamp", "year",
        "avg_over_time", "count_over_time", "first_over_time", "last_over_time", "mad_over_time", "max_over_time",
        "min_over_time", "present_over_time", "quantile_over_time", "stddev_over_time", "stdvar_over_time",
        "sum_over_time", "ts_of_first_over_time", "ts_of_last_over_time", "ts_of_max_over_time",
        "ts_of_min_over_time",
    )
)
# fmt: on
"""One series in, one series out, labels kept: only the name goes, and ``le`` where buckets become one value."""

LABEL_WRITERS = {"label_replace": 1, "label_join": 1, "histogram_quantiles": 1}
"""Functions that write a label: the argument that names it."""

EATS_BUCKETS = frozenset(("histogram_quantile", "histogram_quantiles", "histogram_fraction"))
"""They group by all labels but ``le``."""

ABSENCE = frozenset(("absent", "absent_over_time"))
CLOCK = frozenset(("time", "pi"))
NUMBER_CALLS = frozenset(("scalar", "time", "pi"))
WITHOUT_SERIES = frozenset(
    ("hour", "minute", "month", "year", "day_of_month", "day_of_week", "day_of_year", "days_in_month")
)
"""They speak of the current time when called without an argument."""


def is_number(node: Node) -> bool:
    """Whether ``node`` yields one number instead of series."""
    while True:
        match node:
            case NumberNode() | StringNode():
                return True
            case CallNode():
                return node.name in NUMBER_CALLS
            case ParenNode() | UnaryNode():
                node = node.expr
            case BinaryNode():
                if not is_number(node.rhs):
                    return False
                node = node.lhs
            case _:
                return False


def text_of(node: Node) -> str | None:
    """What a string argument says."""
    while isinstance(node, ParenNode):
        node = node.expr
    return node.value if isinstance(node, StringNode) else None
