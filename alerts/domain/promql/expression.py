"""One expression: what its author wrote, the parser's tree of it, and where its selectors are."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import promql_parser as library

from alerts.domain.errors import PromqlError
from alerts.domain.promql import tree as trees
from alerts.domain.promql.lexer import Token, fault, strings, tokenize, unquote
from alerts.domain.promql.limits import (
    COMPILED_MAX_BYTES,
    MAX_BYTES,
    MAX_DEPTH,
    MAX_OPERATORS,
    check_text,
    check_tokens,
)
from alerts.domain.promql.matchers import compiled
from alerts.domain.promql.selectors import Selector as Selector
from alerts.domain.promql.selectors import find_selectors
from alerts.domain.promql.veil import Veil, veil

_REMEMBERED = 4096
_REMEMBERED_OF_EACH = 64
_MOST_KEPT = 4_000_000
"""Characters. An expression takes some twenty times the bytes of its text."""
_MAX_REGEX_SIZE = 100_000
"""In instructions of RE2; a plain alternative has about one per character."""


@dataclass(frozen=True, eq=False, slots=True)
class Expression:
    """``selectors`` are in the order of the text, and one by one those of ``tree``.

    Each goes by the one metric it reads, however that is written; None when it can be several.
    """

    text: str
    tree: trees.Node
    selectors: tuple[Selector, ...]
    veiled: str | None = None
    """What the parser was shown, where that has everything at the same place."""
    known: dict[Hashable, Any] = field(default_factory=dict, repr=False)
    """What has been found out about this expression; it goes when the expression goes."""

    def remember(self, question: Hashable, answer: Any) -> None:
        if len(self.known) >= _REMEMBERED_OF_EACH:
            self.known.clear()
        self.known[question] = answer


def parse(text: str) -> Expression:
    """Read what an author wrote; PromqlError with offset, line and column when it cannot be, or must not be."""
    kept = _kept.get()
    return _parse(text) if kept is None else kept.parse(text)


@lru_cache(maxsize=_REMEMBERED)
def _parse(text: str) -> Expression:
    return _read(text, MAX_BYTES)


class _Kept:
    def __init__(self) -> None:
        self._known: dict[str, Expression] = {}
        self._room = _MOST_KEPT

    def parse(self, text: str) -> Expression:
        known = self._known.get(text)
        if known is None:
            known = _parse(text)
            if self._room >= len(text):
                self._room -= len(text)
                self._known[text] = known
        return known


_kept: ContextVar[_Kept | None] = ContextVar("kept expressions", default=None)


@contextmanager
def keeping_expressions() -> Iterator[None]:
    """What is parsed in here is parsed once, also where it is more than is remembered otherwise."""
    before = _kept.set(_Kept())
    try:
        yield
    finally:
        _kept.reset(before)


def parse_compiled(text: str) -> Expression:
    """Read what the compiler wrote: the same, but longer."""
    return _read(text, COMPILED_MAX_BYTES)


def _read(text: str, max_bytes: int) -> Expression:
    check_text(text, max_bytes)
    tokens = tokenize(text)
    if not tokens:
        raise fault(text, 0, "empty_expression", "the expression is empty")
    check_tokens(text, tokens, MAX_DEPTH, MAX_OPERATORS)
    if "~" in text:
        _check_regexes(text, tokens)
    veiled = veil(text, tokens)
    tree = read_tree(text, veiled)
    selectors = _selectors(text, tree, find_selectors(text, tokens))
    return Expression(text, tree, selectors, veiled.text if veiled.aligned else None)


def _check_regexes(text: str, tokens: Sequence[Token]) -> None:
    """RE2 must take every regex, and all of them together must stay cheap."""
    size = 0
    for token, is_regex in strings(tokens):
        if is_regex:
            try:
                size += compiled(unquote(text, token)).programsize
            except PromqlError as error:
                raise fault(text, token.start, error.findings[0].code, error.findings[0].message) from None
            if size > _MAX_REGEX_SIZE:
                raise fault(text, token.start, "invalid_regex", "the regular expressions are too large")


def parse_tree(text: str) -> trees.Node:
    """The parser's tree of ``text``, whose limits have been checked."""
    return read_tree(text, veil(text, tokenize(text)))


def read_tree(text: str, veiled: Veil) -> trees.Node:
    """The parser's tree of ``veiled``, with the true regexes; ``text`` is what objections speak of."""
    try:
        return trees.grow(library.parse(veiled.text), veiled.regexes)
    except trees.UnknownTree as error:
        find_selectors(text, tokenize(text))
        raise fault(text, 0, "invalid_promql", f"this cannot be read safely: {error}") from None
    except ValueError as error:
        tokens = tokenize(text)
        find_selectors(text, tokens)  # often knows the place
        raise _refusal(text, tokens, str(error)) from None
    except BaseException as error:
        # A panic in the parser arrives as a BaseException of its own.
        if type(error).__name__ != "PanicException":
            raise
        raise fault(text, 0, "invalid_promql", "the parser cannot read this") from None


_NAMED = re.compile(r"'(\w+)'")


def _refusal(text: str, tokens: Sequence[Token], words: str) -> PromqlError:
    """The parser does not say where; often it names a word of the text."""
    named = set(_NAMED.findall(words))
    for token in tokens:
        if token.kind == "word" and token.text.lower() in named:
            return fault(text, token.start, "invalid_promql", words)
    return fault(text, tokens[0].start, "invalid_promql", words)


def _selectors(text: str, tree: trees.Node, found: Sequence[Selector]) -> tuple[Selector, ...]:
    vectors = list(trees.vectors(tree))
    if [(vector.name, vector.matchers) for vector in vectors] != [place[:2] for place in found]:
        raise fault(text, 0, "injection_unproven", "the selectors of this expression cannot be told with certainty")
    selectors = tuple(
        [
            place if place.name is not None else place._replace(name=trees.metric_name(vector))
            for vector, place in zip(vectors, found, strict=True)
        ]
    )
    for selector in selectors:
        if selector.name is not None and "\0" in selector.name:
            raise fault(text, selector.start, "invalid_promql", "no metric has a NUL in its name")
    return selectors


def normalise(text: str) -> str:
    """Equal for two texts iff they say the same: what Prometheus prints of an expression equals what was loaded.

    A chain ``(…) or (…)`` is normalised piece by piece, since the parser's time grows faster than its length.
    """
    check_text(text, COMPILED_MAX_BYTES)
    tokens = tokenize(text)
    pieces = _or_pieces(text, tokens)
    if len(pieces) > 1:
        return " or ".join([f"({_normal_text(piece)})" for piece in pieces])
    return _normal_text(text)


def _or_pieces(text: str, tokens: Sequence[Token]) -> list[str]:
    """The pieces of ``(a) or (b) or (c)``; [] for any other form."""
    pieces: list[str] = []
    depth, opened = 0, -1
    for index, token in enumerate(tokens):
        if token.text == "(" and token.kind == "bracket":
            if depth == 0:
                if index and not (tokens[index - 1].text.lower() == "or" and tokens[index - 1].kind == "word"):
                    return []
                opened = token.end
            depth += 1
        elif token.text == ")" and token.kind == "bracket":
            depth -= 1
            if depth == 0:
                pieces.append(text[opened : token.start])
        elif depth == 0 and not (token.kind == "word" and token.text.lower() == "or" and pieces):
            return []
    return pieces if depth == 0 else []


@lru_cache(maxsize=2048)
def _normal_text(text: str) -> str:
    tokens = tokenize(text)
    if not tokens:
        raise fault(text, 0, "empty_expression", "the expression is empty")
    check_tokens(text, tokens, MAX_DEPTH, MAX_OPERATORS)
    return repr(_normal(read_tree(text, veil(text, tokens))))


def _normal(node: trees.Node) -> Any:
    """``node`` without what Prometheus drops or reorders when it prints."""
    match node:
        case trees.VectorNode():
            name = trees.metric_name(node)
            rest = [matcher for matcher in node.matchers if matcher != ("__name__", "=", name)]
            # Plain tuples: their repr is the normal text.
            return ("vector", name, sorted(tuple(matcher) for matcher in rest), node.offset or None, node.at)
        case trees.MatrixNode():
            return ("matrix", _normal(node.vector), node.range)
        case trees.SubqueryNode():
            return ("subquery", _normal(node.expr), node.range, node.step or None, node.offset or None, node.at)
        case trees.CallNode():
            return ("call", node.name, [_normal(argument) for argument in node.args])
        case trees.AggregateNode():
            grouping = None if node.grouping == (True, ()) else node.grouping and tuple(node.grouping)
            return ("aggregate", node.op, grouping, node.param and _normal(node.param), _normal(node.expr))
        case trees.BinaryNode():
            first, links = trees.chain(node)
            return ("chain", _normal(first), [_normal_link(link) for link in links])
        case trees.UnaryNode() | trees.ParenNode():
            return (node.kind, _normal(node.expr))
        case _:
            return tuple(node)


def _normal_link(link: trees.BinaryNode) -> Any:
    matching = None if link.matching == (False, ()) else link.matching and tuple(link.matching)
    # Without labels to match on, Prometheus leaves group_left out when it prints.
    card, included = (link.card, link.included or None) if matching or link.card == "set" else ("one", None)
    return (link.op, _normal(link.rhs), link.returns_bool, matching, card, included, link.fill)
