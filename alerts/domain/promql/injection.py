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

from collections.abc import Callable, Collection, Mapping, Sequence

from alerts.domain.errors import PromqlError
from alerts.domain.promql import tree as trees
from alerts.domain.promql.expression import Expression, parse_tree, read_tree
from alerts.domain.promql.lexer import fault
from alerts.domain.promql.limits import COMPILED_MAX_BYTES, is_too_long
from alerts.domain.promql.matchers import Matcher
from alerts.domain.promql.veil import Veil

_PLACEHOLDER = "p"


def inject(expression: Expression, matchers: Sequence[Matcher], unscoped: Collection[str] = ()) -> str:
    """``expression`` with ``matchers`` on every selector, except those of the metrics in ``unscoped``.

    PromqlError ``injection_unproven`` when the result cannot be proven, ``too_long`` above 256 kB.
    """
    if not matchers:
        return expression.text
    shape = ("inject", tuple([matcher[:2] for matcher in matchers]), frozenset(unscoped) if unscoped else None)
    proven = expression.known.get(shape)
    if proven is None:
        all_of_them = tuple(range(len(matchers)))
        proven = _prove(expression, shape[1], lambda name: () if unscoped and name in unscoped else all_of_them)
        expression.remember(shape, proven)
    return _bounded(expression, ",".join([matcher.text for matcher in matchers]).join(proven[0]))


def inject_sparing(
    expression: Expression,
    matchers: Sequence[Matcher],
    spared: Mapping[str, frozenset[str]],
    unscoped: Collection[str] = (),
) -> str:
    """The same, but metrics that ``spared`` lists for a label do not get that label's matcher."""
    if not matchers or not spared:
        return inject(expression, matchers, unscoped)
    shape = ("spare", tuple([matcher[:2] for matcher in matchers]), frozenset(unscoped), frozenset(spared.items()))
    proven = expression.known.get(shape)
    if proven is None:

        def taken(name: str | None) -> tuple[int, ...]:
            if name in unscoped:
                return ()
            return tuple([i for i, matcher in enumerate(matchers) if name not in spared.get(matcher.label, ())])

        proven = _prove(expression, shape[1], taken)
        expression.remember(shape, proven)
    pieces, slots = proven
    return _bounded(expression, _filled(pieces, slots, matchers))


Taken = Callable[[str | None], tuple[int, ...]]
"""Which of the matchers (by index) a selector of that metric gets."""

Proven = tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]
"""The text around the places where matchers go, and which of them go to each place."""


def _prove(expression: Expression, shape: Sequence[tuple[str, str]], taken: Taken) -> Proven:
    """The text around the matchers, once matchers of the same shape were shown to go where they belong."""
    pieces, slots = _splice(expression, expression.text, taken)
    matchers = tuple([Matcher(label, op, _PLACEHOLDER) for label, op in shape])  # type: ignore[arg-type]
    regexes: list[str] = []

    def scoped(vector: trees.VectorNode) -> trees.VectorNode:
        given = taken(trees.metric_name(vector))
        vector = vector._replace(matchers=tuple([matchers[index] for index in given]) + vector.matchers)
        regexes.extend([matcher.value for matcher in vector.matchers if matcher.op in ("=~", "!~")])
        return vector

    expected = trees.replace_vectors(expression.tree, scoped)
    text = _filled(pieces, slots, matchers)
    try:
        if expression.veiled is None:
            tree = parse_tree(text)
        else:
            # Veiled as the author's text was: nothing is inserted into a string, or it could not be read.
            veiled_pieces, _ = _splice(expression, expression.veiled, taken)
            tree = read_tree(text, Veil(_filled(veiled_pieces, slots, matchers), tuple(regexes)))
    except PromqlError as error:
        raise _unproven(expression, str(error)) from None
    if tree != expected:
        raise _unproven(expression, "its tree would change otherwise, too")
    return pieces, slots


def _splice(expression: Expression, text: str, taken: Taken) -> Proven:
    pieces: list[str] = []
    slots: list[tuple[int, ...]] = []
    position, opening = 0, ""
    for selector in expression.selectors:
        slot = taken(selector.name)
        if not slot:
            continue
        slots.append(slot)
        pieces.append(opening + text[position : selector.insert_at] + selector.before)
        opening, position = selector.after, selector.insert_at
    pieces.append(opening + text[position:])
    return tuple(pieces), tuple(slots)


def _filled(pieces: Sequence[str], slots: Sequence[tuple[int, ...]], matchers: Sequence[Matcher]) -> str:
    texts = [matcher.text for matcher in matchers]
    filled = [pieces[0]]
    for slot, piece in zip(slots, pieces[1:], strict=True):
        filled += (",".join([texts[index] for index in slot]), piece)
    return "".join(filled)


def _bounded(expression: Expression, text: str) -> str:
    if is_too_long(text):
        message = f"with its label matchers the expression is longer than {COMPILED_MAX_BYTES} bytes"
        raise fault(expression.text, 0, "too_long", message)
    return text


def _unproven(expression: Expression, why: str) -> PromqlError:
    message = "it cannot be proven that label matchers reach every selector of this expression and change nothing else"
    return fault(expression.text, 0, "injection_unproven", message, hint=why)
