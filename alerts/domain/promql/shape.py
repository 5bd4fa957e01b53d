"""The structure of an expression, without its values: what a variable must never change."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache

from alerts.domain.promql import tree as trees
from alerts.domain.promql.expression import parse


@lru_cache(maxsize=2048)
def shape(text: str) -> Hashable:
    """Equal for two expressions that differ only in numbers, durations, strings and the values of matchers.

    Names of metrics, functions and labels, operators, the number of arguments, and whether there is an offset or ``@``
    all belong to the shape.
    """
    return _shape(parse(text).tree)


def _shape(node: trees.Node) -> Hashable:
    match node:
        case trees.VectorNode():
            matchers = tuple([matcher[:2] for matcher in node.matchers])
            return ("vector", node.name, matchers, node.offset is None, _time(node.at))
        case trees.MatrixNode():
            return ("matrix", _shape(node.vector))
        case trees.SubqueryNode():
            return ("subquery", _shape(node.expr), node.step is None, node.offset is None, _time(node.at))
        case trees.CallNode():
            return ("call", node.name, tuple([_shape(argument) for argument in node.args]))
        case trees.AggregateNode():
            return ("aggregate", node.op, node.grouping, node.param and _shape(node.param), _shape(node.expr))
        case trees.BinaryNode():
            first, links = trees.chain(node)
            return ("chain", _shape(first), tuple([_link(link) for link in links]))
        case trees.UnaryNode() | trees.ParenNode():
            return (node.kind, _shape(node.expr))
        case _:
            return node.kind


def _link(link: trees.BinaryNode) -> Hashable:
    fill = tuple([value is None for value in link.fill])
    return (link.op, _shape(link.rhs), link.returns_bool, link.matching, link.card, link.included, fill)


def _time(at: str | None) -> str | None:
    """``@ start()`` and ``@ end()`` are structure, the number in ``@ 5`` is a value."""
    return "@" if at is not None and "(" not in at else at
