"""Whether an expression may be evaluated in pieces.

The law: ``not_distributive(e, L, …)`` is None only if, for any cut of the values of label L in two parts A and B,
evaluating *e* on the series of A and on those of B yields together, without overlap, what it yields on both at once.
Whatever is not known to obey is refused with a reason.

How it is shown, from the selectors upwards: each node is one of

- *constant*: it reads no series of the region (numbers, ``time()``, metrics listed as unscoped), so it is the same
  whatever part is evaluated;
- *spread*: it obeys the law, and each of its series carries, unchanged from a series it was made of, at least one
  *key*: L itself or a label declared to determine L. Two series that agree in a key therefore belong to the same part.
  The set of keys carried shrinks on the way up: groupings drop them, ``label_replace`` overwrites them;
- neither: a reason.

Series may meet (in a group, a match, an ``or``) only where a key that both carry is compared, so only series of one
part ever do. An absent label counts as the value "". That a determining label is present and true is the word of
whoever declared it.

Recorded series carry what their recording left them. Where that is no key at all, each still lies in one part (it was
recorded there), but nothing that is compared tells in which: such series may only be taken one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

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

_NOT_ASKED = "not asked"
Keys = frozenset[str]
NO_KEYS: Keys = frozenset()
"""What a constant carries; a spread node always carries some."""
ITSELF = ""
"""Stands among the keys for: all labels together. No grouping keeps it."""
ONE_BY_ONE: Keys = frozenset((ITSELF,))


class _Whole(Exception):
    """The reason why an expression must be evaluated as a whole."""


def not_distributive(
    expression: Expression,
    label: str,
    determined_by: Collection[str] = (),
    unscoped: Collection[str] = (),
    carried: Mapping[str, Keys] | None = None,
) -> str | None:
    """None if ``expression`` may be evaluated in pieces along ``label``, else why not, for a person.

    ``determined_by`` lists labels whose value fixes that of ``label``; ``unscoped`` the metrics that carry no position.
    ``carried``: of recorded metrics which of these labels their series surely carry; of others they carry all.
    """
    left = frozenset((carried or {}).items())
    question = ("distribution", label, frozenset(determined_by), frozenset(unscoped), left)
    answer: str | None = expression.known.get(question, _NOT_ASKED)
    if answer is _NOT_ASKED:
        answer = _verdict(expression, *question[1:4], carried or {})
        expression.remember(question, answer)
    return answer


def _verdict(
    expression: Expression, label: str, determined_by: Keys, unscoped: Keys, carried: Mapping[str, Keys]
) -> str | None:
    try:
        keys = _Analysis(label, determined_by, unscoped, carried).keys(expression.tree)
    except _Whole as reason:
        return str(reason)
    return None if keys else "it reads no series that carry a position"


def _clause(grouping: trees.Grouping | None, keep: str, drop: str) -> str:
    return "" if grouping is None else f" {keep if grouping.keep else drop} ({', '.join(grouping.labels)})"


class _Analysis:
    def __init__(self, label: str, determined_by: Keys, unscoped: Keys, carried: Mapping[str, Keys]) -> None:
        self.label = label
        self.all = determined_by | {label}
        self.unscoped = unscoped
        self.carried = carried

    def keys(self, node: trees.Node) -> Keys:
        """The keys that every series of ``node`` carries; none for a constant."""
        match node:
            case trees.VectorNode():
                name = trees.metric_name(node)
                return NO_KEYS if name in self.unscoped else self.carried.get(name or "", self.all) or ONE_BY_ONE
            case trees.MatrixNode():
                return self.keys(node.vector)
            case trees.SubqueryNode() | trees.ParenNode() | trees.UnaryNode():
                return self.keys(node.expr)
            case trees.NumberNode() | trees.StringNode():
                return NO_KEYS
            case trees.CallNode():
                return self.call(node)
            case trees.AggregateNode():
                return self.aggregation(node)
            case trees.BinaryNode():
                return self.chain(node)

    def kept(self, grouping: trees.Grouping | None, keys: Keys) -> Keys:
        """The keys that a grouping or matching clause compares."""
        if grouping is None:
            return keys
        kept = keys.intersection(grouping.labels) if grouping.keep else self.without(keys, grouping.labels)
        return kept - ONE_BY_ONE

    def without(self, keys: Keys, lost: Collection[str]) -> Keys:
        """What is left of ``keys``. Determining labels are trusted together or by name: an author who drops
        ``instance`` has not said that the series have another of them, and to group by an absent label is to group all.
        """
        left = keys.difference(lost)
        return left if keys - left <= {self.label} else left & {self.label}

    # -- functions ---------------------------------------------------------------------------------------------------

    def call(self, node: trees.CallNode) -> Keys:
        name = node.name
        given = [self.keys(argument) for argument in node.args]
        spread = [keys for keys in given if keys]
        if name in CLOCK or (name in WITHOUT_SERIES and not given):
            return NO_KEYS
        if name in ("scalar", "vector"):
            if spread:
                raise _Whole(f"{name}() makes one value of all series of the region")
            return NO_KEYS
        if name in ABSENCE:
            if spread:
                raise _Whole(f"{name}() asks whether the whole region has no series")
            return NO_KEYS
        if name not in SERIES_BY_SERIES and name not in LABEL_WRITERS:
            raise _Whole(f"it is not known whether {name}() can be evaluated in pieces")
        if not spread:
            return NO_KEYS
        if len(spread) > 1:
            raise _Whole(f"more than one argument of {name}() reads series of the region")
        keys = spread[0]
        if name in EATS_BUCKETS:
            keys = self.without(keys, ("le",))
        if name in LABEL_WRITERS:
            written = text_of(node.args[LABEL_WRITERS[name]])
            keys = NO_KEYS if written is None else self.without(keys, (written,))
        if not keys:
            raise _Whole(f"{name}() overwrites the label {self.label!r}")
        return keys

    # -- aggregations ------------------------------------------------------------------------------------------------

    def aggregation(self, node: trees.AggregateNode) -> Keys:
        op = node.op
        if node.param is not None and self.keys(node.param):
            raise _Whole(f"the parameter of {op}() reads series of the region")
        keys = self.keys(node.expr)
        if not keys:
            return NO_KEYS
        clause = _clause(node.grouping, "by", "without")
        grouped = NO_KEYS if node.grouping is None else self.kept(node.grouping, keys)
        written = text_of(node.param) if op == "count_values" and node.param is not None else None
        if written is not None:
            grouped = self.without(grouped, (written,))
        if not grouped:
            raise _Whole(f"{op}{clause} puts series with different {self.label!r} in one group")
        if op in ("limitk", "limit_ratio"):
            raise _Whole(f"which series {op}() picks is not defined")
        return keys if op in ("topk", "bottomk") else grouped

    # -- binary operators --------------------------------------------------------------------------------------------

    def chain(self, node: trees.BinaryNode) -> Keys:
        first, links = trees.chain(node)
        left = self.keys(first)
        for link in links:
            left = self.binary(link, left, self.keys(link.rhs))
        return left

    def binary(self, node: trees.BinaryNode, left: Keys, right: Keys) -> Keys:
        if not left and not right:
            return NO_KEYS
        if is_number(node.lhs) or is_number(node.rhs):
            return left or right
        if any(value is not None for value in node.fill):
            raise _Whole(f"{node.op} with fill is not understood yet")
        if node.card == "set":
            return self.set_operation(node, left, right)
        return self.match(node, left, right)

    def set_operation(self, node: trees.BinaryNode, left: Keys, right: Keys) -> Keys:
        """``and``, ``or``, ``unless``: series come out as they are, those of the left side first."""
        op = node.op
        if op == "or":
            if not left or not right:
                raise _Whole("'or' adds something that is there for every part of the region")
            self.compared(node, left & right)
            return left & right
        if not right:
            return left  # each left series is judged by something that is the same everywhere
        if left:
            self.compared(node, left & right)
            return left
        if op == "unless":
            raise _Whole("'unless' keeps what no series of the region matches")
        return self.compared(node, right)

    def match(self, node: trees.BinaryNode, left: Keys, right: Keys) -> Keys:
        """Arithmetic and comparison, series by series."""
        included = node.included or ()
        if node.card == "one":
            # Compared keys are equal on both sides, and all of them stay.
            self.compared(node, left & right if left and right else left | right)
            return self.kept(node.matching, left | right)
        many, one = (left, right) if node.card == "many_to_one" else (right, left)
        compared = self.kept(node.matching, one)
        if one:
            self.compared(node, many & one if many else one)
        keys = self.without(many, included) | one.intersection(included) | compared
        if not keys:
            raise _Whole(f"{_clause_of(node)} overwrites the label {self.label!r}")
        return keys

    def compared(self, node: trees.BinaryNode, candidates: Keys) -> Keys:
        """The candidates among what ``node`` compares; it must be at least one."""
        compared = self.kept(node.matching, candidates)
        if not compared:
            raise _Whole(f"{_clause_of(node)} matches series with different {self.label!r}")
        return compared


def _clause_of(node: trees.BinaryNode) -> str:
    grouped = {"many_to_one": " group_left", "one_to_many": " group_right"}.get(node.card, "")
    included = f" ({', '.join(node.included)})" if grouped and node.included else ""
    return f"'{node.op}{_clause(node.matching, 'on', 'ignoring')}{grouped}{included}'"
