"""The parser's tree as plain values: immutable, comparable, hashable.

``grow`` copies every attribute the parser shows (a test counts them), so two texts with equal trees differ in layout
only. What the parser shows and we do not know is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import promql_parser as library

from alerts.domain.promql.matchers import Matcher, Op


class VectorNode(NamedTuple):
    """``name{matchers}``. ``offset`` in milliseconds; ``at`` as the parser prints it (``@ start()``)."""

    kind: str
    name: str | None
    matchers: tuple[Matcher, ...]
    offset: int | None
    at: str | None


class MatrixNode(NamedTuple):
    """``vector[range]``."""

    kind: str
    vector: VectorNode
    range: int


class SubqueryNode(NamedTuple):
    """``expr[range:step]``."""

    kind: str
    expr: Node
    range: int
    step: int | None
    offset: int | None
    at: str | None


class CallNode(NamedTuple):
    """``name(args)``."""

    kind: str
    name: str
    args: tuple[Node, ...]


class Grouping(NamedTuple):
    """``by (labels)`` and ``on (labels)`` list what counts (``keep``); ``without`` and ``ignoring`` what does not."""

    keep: bool
    labels: tuple[str, ...]


class AggregateNode(NamedTuple):
    """``op grouping (param, expr)``."""

    kind: str
    op: str
    grouping: Grouping | None
    param: Node | None
    expr: Node


class BinaryNode(NamedTuple):
    """``lhs op matching rhs``; ``card``: ``one``, ``many_to_one`` (group_left), ``one_to_many`` or ``set``."""

    kind: str
    op: str
    lhs: Node
    rhs: Node
    returns_bool: bool
    matching: Grouping | None
    card: str
    included: tuple[str, ...] | None
    fill: tuple[str | None, str | None]


class UnaryNode(NamedTuple):
    kind: str
    expr: Node


class ParenNode(NamedTuple):
    kind: str
    expr: Node


class NumberNode(NamedTuple):
    """The value by its shortest exact text, since NaN is not equal to itself."""

    kind: str
    value: str


class StringNode(NamedTuple):
    kind: str
    value: str


Node = (
    VectorNode
    | MatrixNode
    | SubqueryNode
    | CallNode
    | AggregateNode
    | BinaryNode
    | UnaryNode
    | ParenNode
    | NumberNode
    | StringNode
)


class UnknownTree(Exception):
    """The parser showed something this module does not know."""


_OPS: tuple[tuple[Any, Op], ...] = (
    (library.MatchOp.Equal, "="),
    (library.MatchOp.Re, "=~"),
    (library.MatchOp.NotEqual, "!="),
    (library.MatchOp.NotRe, "!~"),
)
_CARDS = (
    (library.VectorMatchCardinality.OneToOne, "one"),
    (library.VectorMatchCardinality.ManyToMany, "set"),
    (library.VectorMatchCardinality.ManyToOne, "many_to_one"),
    (library.VectorMatchCardinality.OneToMany, "one_to_many"),
)
_BY, _WITHOUT = library.AggModifierType.By, library.AggModifierType.Without
_ON, _IGNORING = library.LabelModifierType.Include, library.LabelModifierType.Exclude
_NO_FILL = (None, None)

_make = tuple.__new__  # of a named tuple: a third of what its own constructor takes


def grow(node: Any, regexes: Iterable[str] = ()) -> Node:
    """The parser's ``node`` and everything below it, with these as the values of its regex matchers, in their order."""
    waiting = iter(regexes)
    grown = _MAKERS[type(node)](node, waiting)
    if next(waiting, None) is not None:
        raise UnknownTree("fewer regexes than in the text")
    return grown


def _milliseconds(duration: timedelta | None) -> int | None:
    if duration is None:
        return None
    return (duration.days * 86_400 + duration.seconds) * 1000 + duration.microseconds // 1000


def _vector(node: Any, regexes: Iterator[str]) -> VectorNode:
    found = node.matchers
    if found.or_matchers:
        raise UnknownTree("or between matchers")
    at, offset = node.at, node.offset
    return _make(
        VectorNode,
        (
            "vector",
            node.name,
            tuple([_matcher(item, regexes) for item in found.matchers]),
            None if offset is None else _milliseconds(offset),
            None if at is None else str(at),
        ),
    )


def _matcher(item: Any, regexes: Iterator[str]) -> Matcher:
    op = _op(item.op)
    if op in ("=", "!="):
        return _make(Matcher, (item.name, op, item.value))
    for regex in regexes:
        return _make(Matcher, (item.name, op, regex))
    raise UnknownTree("more regexes than in the text")


def _op(op: Any) -> Op:
    for known, text in _OPS:
        if op is known or op == known:
            return text
    raise UnknownTree(str(op))


def _matrix(node: Any, regexes: Iterator[str]) -> MatrixNode:
    return _make(MatrixNode, ("matrix", _vector(node.vector_selector, regexes), _milliseconds(node.range) or 0))


def _subquery(node: Any, regexes: Iterator[str]) -> SubqueryNode:
    at, expr = node.at, node.expr
    return _make(
        SubqueryNode,
        (
            "subquery",
            _MAKERS[type(expr)](expr, regexes),
            _milliseconds(node.range) or 0,
            _milliseconds(node.step),
            _milliseconds(node.offset),
            None if at is None else str(at),
        ),
    )


def _call(node: Any, regexes: Iterator[str]) -> CallNode:
    return _make(
        CallNode,
        ("call", node.func.name, tuple([_MAKERS[type(argument)](argument, regexes) for argument in node.args])),
    )


def _aggregate(node: Any, regexes: Iterator[str]) -> AggregateNode:
    modifier, param = node.modifier, node.param
    grouping = None
    if modifier is not None:
        kind = modifier.type
        if kind != _BY and kind != _WITHOUT:
            raise UnknownTree(str(kind))
        grouping = _make(Grouping, (kind == _BY, tuple(modifier.labels)))
    expr = node.expr
    return _make(
        AggregateNode,
        (
            "aggregate",
            str(node.op),
            grouping,
            None if param is None else _MAKERS[type(param)](param, regexes),
            _MAKERS[type(expr)](expr, regexes),
        ),
    )


def _binary(node: Any, regexes: Iterator[str]) -> Node:
    # A chain of operators leans to the left: walk down it, not into it, or 500 terms need 500 frames.
    links = [node]
    lhs = node.lhs
    while type(lhs) is library.BinaryExpr:
        links.append(lhs)
        lhs = lhs.lhs
    grown = _MAKERS[type(lhs)](lhs, regexes)
    for link in reversed(links):
        rhs = link.rhs
        rhs_grown = _MAKERS[type(rhs)](rhs, regexes)
        grown = _make(BinaryNode, ("binary", str(link.op), grown, rhs_grown, *_modifier(link.modifier)))
    return grown


def _modifier(
    modifier: Any,
) -> tuple[bool, Grouping | None, str, tuple[str, ...] | None, tuple[str | None, str | None]]:
    if modifier is None:
        return (False, None, "one", None, _NO_FILL)  # set operators always have one
    matching, included, fill = modifier.matching, modifier.group_labels, modifier.fill_values
    grouping = None
    if matching is not None:
        kind = matching.type
        if kind != _ON and kind != _IGNORING:
            raise UnknownTree(str(kind))
        grouping = _make(Grouping, (kind == _ON, tuple(matching.labels)))
    left, right = fill.lhs, fill.rhs
    return (
        modifier.return_bool,
        grouping,
        _card(modifier.card),
        None if included is None else tuple(included),
        (None if left is None else repr(left), None if right is None else repr(right)),
    )


def _card(card: Any) -> str:
    for known, text in _CARDS:
        if card == known:
            return text
    raise UnknownTree(str(card))


Maker = Callable[[Any, Iterator[str]], Node]


class _Makers(dict[type, Maker]):
    def __missing__(self, kind: type) -> Maker:
        raise UnknownTree(kind.__name__)


# Makers call each other through this table, not through grow: one frame for each level of the tree.
_MAKERS = _Makers()
_MAKERS |= {
    library.VectorSelector: _vector,
    library.MatrixSelector: _matrix,
    library.SubqueryExpr: _subquery,
    library.Call: _call,
    library.AggregateExpr: _aggregate,
    library.BinaryExpr: _binary,
    library.UnaryExpr: lambda node, regexes: _make(UnaryNode, ("unary", _MAKERS[type(node.expr)](node.expr, regexes))),
    library.ParenExpr: lambda node, regexes: _make(ParenNode, ("paren", _MAKERS[type(node.expr)](node.expr, regexes))),
    library.NumberLiteral: lambda node, regexes: _make(NumberNode, ("number", repr(node.val))),
    library.StringLiteral: lambda node, regexes: _make(StringNode, ("string", node.val)),
}


def chain(node: BinaryNode) -> tuple[Node, list[BinaryNode]]:
    """``a + b + c``, which leans to the left, as ``a`` and its links in the order of the text: no frame for each."""
    links = [node]
    while isinstance(links[-1].lhs, BinaryNode):
        links.append(links[-1].lhs)
    return links[-1].lhs, links[::-1]


def children(node: Node) -> tuple[Node, ...]:
    """The nodes right below, in the order of the text."""
    below = _BELOW.get(type(node))
    return () if below is None else below(node)


_BELOW: dict[type, Callable[[Any], tuple[Node, ...]]] = {
    BinaryNode: lambda node: (node.lhs, node.rhs),
    AggregateNode: lambda node: (node.expr,) if node.param is None else (node.param, node.expr),
    CallNode: lambda node: node.args,
    MatrixNode: lambda node: (node.vector,),
    SubqueryNode: lambda node: (node.expr,),
    UnaryNode: lambda node: (node.expr,),
    ParenNode: lambda node: (node.expr,),
}


def vectors(node: Node) -> Iterator[VectorNode]:
    """Every selector below (and with) ``node``, in the order of the text."""
    pending: list[Node] = [node]
    while pending:
        current = pending.pop()
        if type(current) is VectorNode:
            yield current
        else:
            pending += children(current)[::-1]


def metric_name(node: VectorNode) -> str | None:
    """The one metric this selector reads: ``foo``, ``{"foo"}`` or ``{__name__="foo"}``; None when it can be several."""
    if node.name is not None:
        return node.name
    for matcher in node.matchers:
        if matcher.label == "__name__" and matcher.op == "=":
            return matcher.value
    return None


def replace_vectors(node: Node, change: Callable[[VectorNode], Node]) -> Node:
    """The tree with each selector, in the order of the text, put through ``change``."""
    # Types asked in turn: to match classes takes twice the time.
    if type(node) is VectorNode:
        return change(node)
    if type(node) is MatrixNode:
        return _make(MatrixNode, ("matrix", change(node.vector), node.range))
    if type(node) is CallNode:
        args = tuple([replace_vectors(argument, change) for argument in node.args])
        return _make(CallNode, ("call", node.name, args))
    if type(node) is AggregateNode:
        param = None if node.param is None else replace_vectors(node.param, change)
        return _make(AggregateNode, (*node[:3], param, replace_vectors(node.expr, change)))
    if type(node) is BinaryNode:
        first, links = chain(node)
        changed = replace_vectors(first, change)
        for link in links:
            changed = _make(BinaryNode, (*link[:2], changed, replace_vectors(link.rhs, change), *link[4:]))
        return changed
    if isinstance(node, SubqueryNode | UnaryNode | ParenNode):
        return _make(type(node), (node.kind, replace_vectors(node.expr, change), *node[2:]))
    return node
