"""What becomes of a label on the way from the series an expression reads to those it yields."""

from __future__ import annotations

from collections.abc import Collection

from alerts.domain.promql import tree as trees
from alerts.domain.promql.calls import (
    ABSENCE,
    CLOCK,
    EATS_BUCKETS,
    LABEL_WRITERS,
    SERIES_BY_SERIES,
    WITHOUT_SERIES,
    is_number,
    text_of,
)
from alerts.domain.promql.expression import Expression

Fate = bool | None
_NOT_ASKED = object()


def output_has_label(expression: Expression, label: str, unscoped: Collection[str] = ()) -> Fate:
    """Whether every series the expression yields has ``label`` as the series it was made of: True; no series has it:
    False; anything else, or not known: None. Whether the series of ``unscoped`` metrics have it is not known."""
    question = ("fate", label, frozenset(unscoped))
    answer = expression.known.get(question, _NOT_ASKED)
    if answer is _NOT_ASKED:
        answer = _Fates(*question[1:]).fate(expression.tree)
        expression.remember(question, answer)
    fate: Fate = answer
    return fate


class _Fates:
    def __init__(self, label: str, unscoped: frozenset[str]) -> None:
        self.label = label
        self.unscoped = unscoped

    def fate(self, node: trees.Node) -> Fate:
        match node:
            case trees.VectorNode():
                return None if trees.metric_name(node) in self.unscoped else True
            case trees.MatrixNode():
                return self.fate(node.vector)
            case trees.SubqueryNode() | trees.ParenNode() | trees.UnaryNode():
                return self.fate(node.expr)
            case trees.NumberNode() | trees.StringNode():
                return False
            case trees.CallNode():
                return self.call(node)
            case trees.AggregateNode():
                return self.aggregation(node)
            case trees.BinaryNode():
                return self.chain(node)

    def call(self, node: trees.CallNode) -> Fate:
        name, args = node.name, node.args
        if name in CLOCK or name in ("scalar", "vector") or (name in WITHOUT_SERIES and not args):
            return False
        if name in ABSENCE:
            # absent(x{a="b"}) yields {a="b"}; of anything but a selector it yields no labels.
            inner = args[0]
            while isinstance(inner, trees.ParenNode):
                inner = inner.expr
            return None if isinstance(inner, trees.VectorNode | trees.MatrixNode) else False
        if name not in SERIES_BY_SERIES and name not in LABEL_WRITERS:
            return None
        if name in LABEL_WRITERS and text_of(args[LABEL_WRITERS[name]]) in (None, self.label):
            return None
        if name in EATS_BUCKETS and self.label == "le":
            return False
        series = [argument for argument in args if not is_number(argument)]
        return self.fate(series[0]) if len(series) == 1 else None

    def aggregation(self, node: trees.AggregateNode) -> Fate:
        if node.op in ("topk", "bottomk", "limitk", "limit_ratio"):
            return self.fate(node.expr)
        if node.op == "count_values" and (node.param is None or text_of(node.param) in (None, self.label)):
            return None
        if node.grouping is None or (self.label in node.grouping.labels) != node.grouping.keep:
            return False
        return self.fate(node.expr)

    def chain(self, node: trees.BinaryNode) -> Fate:
        first, links = trees.chain(node)
        left = self.fate(first)
        for link in links:
            left = self.binary(link, left)
        return left

    def binary(self, node: trees.BinaryNode, left: Fate) -> Fate:
        right = self.fate(node.rhs)
        if is_number(node.rhs):
            return left
        if is_number(node.lhs):
            return right
        if any(value is not None for value in node.fill):
            return None
        if node.op in ("and", "unless"):
            return left
        if node.op == "or":
            return left if left is right else None
        matching = node.matching
        compared = matching is None or (self.label in matching.labels) == matching.keep
        if node.card == "one":
            return _equal(left, right) if compared else False
        many, one = (left, right) if node.card == "many_to_one" else (right, left)
        if self.label in (node.included or ()):
            return one
        return _equal(many, one) if compared else many


def _equal(one: Fate, other: Fate) -> Fate:
    """Of a label that both sides must agree in: as soon as one side has it from its series, so has the result."""
    if one or other:
        return True
    return False if one is other is False else None
