"""Whether an expression that finds no series yields none."""

from __future__ import annotations

from collections.abc import Collection

from alerts.domain.promql import tree as trees
from alerts.domain.promql.calls import LABEL_WRITERS, SERIES_BY_SERIES
from alerts.domain.promql.expression import Expression


def nothing_of_nothing(expression: Expression, unscoped: Collection[str] = ()) -> bool:
    """Whether ``expression`` surely yields nothing where no series is but those of ``unscoped`` metrics."""
    return _Emptiness(frozenset(unscoped)).of(expression.tree)


class _Emptiness:
    def __init__(self, unscoped: frozenset[str]) -> None:
        self.unscoped = unscoped

    def of(self, node: trees.Node) -> bool:
        match node:
            case trees.VectorNode():
                return trees.metric_name(node) not in self.unscoped
            case trees.MatrixNode():
                return self.of(node.vector)
            case trees.SubqueryNode() | trees.ParenNode() | trees.UnaryNode() | trees.AggregateNode():
                return self.of(node.expr)
            case trees.CallNode():
                by_series = node.name in SERIES_BY_SERIES or node.name in LABEL_WRITERS
                return by_series and any(self.of(argument) for argument in node.args)
            case trees.BinaryNode():
                first, links = trees.chain(node)
                empty = self.of(first)
                for link in links:
                    empty = self.binary(link, empty, self.of(link.rhs))
                return empty
            case _:
                return False

    def binary(self, node: trees.BinaryNode, left: bool, right: bool) -> bool:
        if any(value is not None for value in node.fill):
            return False
        if node.op == "or":
            return left and right
        return left if node.op == "unless" else left or right
