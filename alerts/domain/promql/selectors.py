"""Where the selectors of an expression are in its text.

A small reader that knows only whether an operand or an operator must come next. It is strict, so it also says where an
expression that the parser refused goes wrong. What it finds is compared with the parser's tree, selector by selector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from alerts.domain.errors import PromqlError
from alerts.domain.promql.lexer import Token, fault, unquote
from alerts.domain.promql.matchers import Matcher

# fmt: off
AGGREGATORS = frozenset(
    (
        "sum", "min", "max", "avg", "count", "group", "stddev", "stdvar", "quantile", "topk", "bottomk", "limitk",
        "limit_ratio", "count_values",
    )
)
# fmt: on
_NUMBERS = frozenset(("inf", "nan"))
_WORD_OPERATORS = frozenset(("and", "or", "unless", "atan2"))
_GROUPINGS = frozenset(("by", "without"))
_LISTED = frozenset(("on", "ignoring", "group_left", "group_right", "fill", "fill_left", "fill_right"))
_END = Token("end", "", 0, 0)


class Selector(NamedTuple):
    """A vector selector in the text. Matchers go in at ``insert_at``, between ``before`` and ``after``."""

    name: str | None
    matchers: tuple[Matcher, ...]
    start: int
    end: int
    insert_at: int
    before: str
    after: str


class _Reader:
    """``tokens[at]`` is the next one; behind the last stand as many ends as anybody looks ahead."""

    def __init__(self, text: str, tokens: Sequence[Token]) -> None:
        self.text = text
        self.tokens = (*tokens, _END, _END, _END)
        self.at = 0
        self.open: list[str] = []
        self.found: list[Selector] = []

    def peek(self, ahead: int = 0) -> Token:
        return self.tokens[self.at + ahead]

    def objection(self, token: Token, wanted: str) -> PromqlError:
        if token is _END:
            return fault(self.text, len(self.text), "invalid_promql", f"the expression ends where {wanted} is expected")
        return fault(self.text, token.start, "invalid_promql", f"unexpected {token.text!r}, {wanted} is expected")

    def read(self) -> list[Selector]:
        while True:
            self.operand()
            if not self.operator():
                return self.found

    def operand(self) -> None:
        """Read up to and including one operand that has no operand inside; brackets before it stay open."""
        while True:
            token = self.tokens[self.at]
            kind, text, _, _ = token
            if kind == "word":
                if self.word(text.lower()):
                    return
            elif kind in ("number", "duration", "string"):
                self.at += 1
                return
            elif text == "(":
                self.at += 1
                self.open.append("paren")
            elif text in ("+", "-"):
                self.at += 1
            elif text == "{":
                self.selector(None)
                return
            elif text == ")" and self.open and self.open[-1] == "call" and self.peek(-1).text == "(":
                return  # a call without arguments
            else:
                raise self.objection(token, "a value")

    def word(self, word: str) -> bool:
        """A number, the start of a call or an aggregation (False: its operand follows), or a selector."""
        following = self.peek(1)
        if word in _NUMBERS:
            self.at += 1
            return True
        if word in AGGREGATORS:
            if following.kind == "word" and following.text.lower() in _GROUPINGS and self.peek(2).text == "(":
                self.at += 2
                self.skip_list()
                if self.peek().text != "(":
                    raise self.objection(self.peek(), "'('")
                following = self.peek()
                self.at -= 1
            if following.text == "(":
                self.at += 2
                self.open.append("aggregation")
                return False
        elif following.text == "(":
            self.at += 2
            self.open.append("call")
            return False
        self.at += 1
        self.selector(self.tokens[self.at - 1])
        return True

    def operator(self) -> bool:
        """Read what may follow an operand, up to a binary operator or a comma; False at the end of the text."""
        while True:
            token = self.tokens[self.at]
            kind, text, _, _ = token
            if token is _END:
                if self.open:
                    raise self.objection(token, "')'")
                return False
            self.at += 1
            if text == ")" and self.open:
                if self.open.pop() == "aggregation":
                    after = self.peek()
                    if after.kind == "word" and after.text.lower() in _GROUPINGS:
                        self.at += 1
                        self.skip_list()
            elif text == "," and self.open and self.open[-1] != "paren":
                return True
            elif kind == "range":
                pass
            elif kind == "at":
                self.time()
            elif kind == "word" and text.lower() == "offset":
                if self.peek().text in ("+", "-"):
                    self.at += 1
                if self.peek().kind not in ("duration", "number"):
                    raise self.objection(self.peek(), "a duration")
                self.at += 1
            elif kind == "operator" or (kind == "word" and text.lower() in _WORD_OPERATORS):
                self.matching()
                return True
            else:
                raise self.objection(token, "an operator")

    def time(self) -> None:
        token = self.peek()
        if token.text == "-":
            # The parser reads every time before 1970 as 0.
            raise fault(self.text, token.start, "invalid_promql", "a time before 1970 is not possible after '@'")
        if token.text == "+":
            self.at += 1
            token = self.peek()
        if token.kind == "word" and token.text.lower() in ("start", "end"):
            self.at += 1
            for bracket in "()":
                if self.peek().text != bracket:
                    raise self.objection(self.peek(), repr(bracket))
                self.at += 1
        elif token.kind in ("number", "duration"):
            self.at += 1
        else:
            raise self.objection(token, "a time")

    def matching(self) -> None:
        """``bool``, ``on (…)``, ``group_left (…)`` and their like, after a binary operator."""
        while (token := self.peek()).kind == "word":
            word = token.text.lower()
            if word == "bool":
                self.at += 1
            elif word in _LISTED and self.peek(1).text == "(":
                self.at += 1
                self.skip_list()
            elif word in ("group_left", "group_right"):
                self.at += 1
            else:
                return

    def skip_list(self) -> None:
        """``(a, b)``: names of labels, no operands."""
        if self.peek().text != "(":
            raise self.objection(self.peek(), "'('")
        for at in range(self.at, len(self.tokens)):
            token = self.tokens[at]
            if token.text == ")":
                self.at = at + 1
                return
            if token is _END or token.text == "{":
                raise self.objection(token, "')'")

    def selector(self, name: Token | None) -> None:
        tokens = self.tokens
        brace = tokens[self.at]
        if brace.text != "{":
            assert name is not None
            self.found.append(Selector(name.text, (), name.start, name.end, name.end, "{", "}"))
            return
        self.at += 1
        matchers: list[Matcher] = []
        while tokens[self.at].text != "}":
            matchers.append(self.matcher())
            token = tokens[self.at]
            if token.text == ",":
                self.at += 1
            elif token.kind == "word" and token.text.lower() == "or":
                raise fault(self.text, token.start, "or_matchers", "Prometheus knows no 'or' between matchers")
            elif token.text != "}":
                raise self.objection(token, "',' or '}'")
        end = tokens[self.at].end
        self.at += 1
        start = brace.start if name is None else name.start
        metric = None if name is None else name.text
        self.found.append(Selector(metric, tuple(matchers), start, end, brace.end, "", "," if matchers else ""))

    def matcher(self) -> Matcher:
        label, op, value = self.tokens[self.at : self.at + 3]
        if label.kind == "string":
            name = unquote(self.text, label)
        elif label.kind == "word" and ":" not in label.text:
            name = label.text
        else:
            raise self.objection(label, "a label")
        self.at += 1
        if op.kind != "match" and op.text != "!=":
            if label.kind == "string":
                return Matcher("__name__", "=", name)
            raise self.objection(op, "'=', '!=', '=~' or '!~'")
        self.at += 1
        if value.kind != "string":
            raise self.objection(value, "a string")
        self.at += 1
        return Matcher(name, op.text, unquote(self.text, value))  # type: ignore[arg-type]


def find_selectors(text: str, tokens: Sequence[Token]) -> list[Selector]:
    """The selectors of ``text`` in order; PromqlError at the first token that cannot be where it is."""
    return _Reader(text, tokens).read()
