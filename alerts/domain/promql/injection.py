"""Putting matchers on every selector: a splice into the author's text, with a proof.

The law: the text that comes out is the text that went in plus matchers, and its tree is the tree of the original with
exactly these matchers on exactly the scoped selectors. What cannot be proven is refused.

Why the proof is sound: the splice only ever inserts; the result is parsed by the same parser and its tree compared, in
every attribute the parser shows, with the original tree to which the matchers were added as values. A splice that went
into a string, a comment, a grouping or a wrong selector gives another tree (or none).

Why it may be remembered per shape (labels and operators): the inserted values stand in quotes made by ``quote``, one
string token whatever the value, so text of the same shape differs in the values of these tokens only.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from alerts.domain.errors import PromqlError
from alerts.domain.promql import tree as trees
from alerts.domain.promql.expression import Expression, parse_tree
from alerts.domain.promql.lexer import fault
from alerts.domain.promql.limits import COMPILED_MAX_BYTES
from alerts.domain.promql.matchers import Matcher

_PLACEHOLDER = "p"


def inject(expression: Expression, matchers: Sequence[Matcher], unscoped: Collection[str] = ()) -> str:
    """``expression`` with ``matchers`` on every selector, except those of the metrics in ``unscoped``.

    PromqlError ``injection_unproven`` when the result cannot be proven, ``too_long`` above 256 kB.
    """
    if not matchers:
        return expression.text
    shape = ("inject", tuple([matcher[:2] for matcher in matchers]), frozenset(unscoped) if unscoped else None)
    pieces = expression.known.get(shape)
    if pieces is None:
        pieces = _prove(expression, shape[1], unscoped)
        expression.remember(shape, pieces)
    text = ",".join([matcher.text for matcher in matchers]).join(pieces)
    if len(text) > COMPILED_MAX_BYTES // 4 and len(text.encode()) > COMPILED_MAX_BYTES:
        message = f"with its label matchers the expression is longer than {COMPILED_MAX_BYTES} bytes"
        raise fault(expression.text, 0, "too_long", message)
    return text


def _prove(expression: Expression, shape: Sequence[tuple[str, str]], unscoped: Collection[str]) -> tuple[str, ...]:
    """The text around the matchers, once matchers of the same shape were shown to go where they belong."""
    pieces = _splice(expression, unscoped)
    matchers = tuple([Matcher(label, op, _PLACEHOLDER) for label, op in shape])  # type: ignore[arg-type]
    text = ",".join([matcher.text for matcher in matchers]).join(pieces)

    def scoped(vector: trees.VectorNode) -> trees.VectorNode:
        if unscoped and trees.metric_name(vector) in unscoped:
            return vector
        return vector._replace(matchers=matchers + vector.matchers)

    try:
        tree = parse_tree(text)
    except PromqlError as error:
        raise _unproven(expression, str(error)) from None
    if tree != trees.replace_vectors(expression.tree, scoped):
        raise _unproven(expression, "its tree would change otherwise, too")
    return pieces


def _splice(expression: Expression, unscoped: Collection[str]) -> tuple[str, ...]:
    pieces, text, position = [], expression.text, 0
    opening = ""
    for selector in expression.selectors:
        if unscoped and selector.name in unscoped:
            continue
        pieces.append(opening + text[position : selector.insert_at] + selector.before)
        opening, position = selector.after, selector.insert_at
    pieces.append(opening + text[position:])
    return tuple(pieces)


def _unproven(expression: Expression, why: str) -> PromqlError:
    message = "it cannot be proven that label matchers reach every selector of this expression and change nothing else"
    return fault(expression.text, 0, "injection_unproven", message, hint=why)
