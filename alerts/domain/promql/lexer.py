"""PromQL text to tokens, with their places.

Comments and space are skipped. A range or subquery bracket, ``[5m:1m]``, is one token: nothing in it can be a selector.
The lexer decides nothing alone: what is found with it is compared with the parser's tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from alerts.domain.errors import Finding, PromqlError

# What is frequent comes first; only between numbers, and between operators, does the order tell.
_TOKENS = re.compile(
    r"""
      (?P<word>[A-Za-z_:][A-Za-z0-9_:]*+)
    | (?P<bracket>[(){},])
    | (?P<space>(?:[ \t\r\n]++|\#[^\r\n]*+)++)
    | (?P<string>"(?:[^"\\\n]|\\[^\n])*+"|'(?:[^'\\\n]|\\[^\n])*+'|`[^`]*+`)
    | (?P<duration>(?:[0-9]+(?:ms|[smhdwy]))++(?![A-Za-z0-9_.]))
    | (?P<number>0[xX][0-9a-fA-F]++|(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?)
    | (?P<range>\[[^\]]*+\])
    | (?P<operator>==|!=|<=|>=|[-+*/%^<>])
    | (?P<at>@)
    | (?P<match>=~|!~|=)
    """,
    re.VERBOSE,
)

_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
_PLAIN_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}


class Token(NamedTuple):
    """``kind``: word, string, duration, number, range, operator, at, match or bracket."""

    kind: str
    text: str
    start: int
    end: int


def fault(text: str, offset: int, code: str, message: str, hint: str = "") -> PromqlError:
    """An objection to ``text`` at ``offset``, with line and column (1-based) as people count them."""
    before = text[:offset]
    line = before.count("\n") + 1
    column = offset - (before.rfind("\n") + 1) + 1
    return PromqlError(Finding(code, message, hint=hint, offset=offset, line=line, column=column))


def tokenize(text: str) -> list[Token]:
    """All tokens of ``text``; PromqlError at the first character that cannot start one."""
    tokens: list[Token] = []
    append, make = tokens.append, tuple.__new__
    position = 0
    for found in _TOKENS.finditer(text):
        start, stop = found.span()
        if start != position:  # something in between is no token
            break
        kind = found.lastgroup
        if kind != "space":
            append(make(Token, (kind, found.group(), start, stop)))
        position = stop
    if position != len(text):
        raise fault(text, position, "invalid_promql", _why_unreadable(text, position))
    return tokens


def strings(tokens: Sequence[Token]) -> Iterator[tuple[Token, bool]]:
    """The strings among them, each with whether it is the regex of a matcher."""
    for place, token in enumerate(tokens):
        if token[0] == "string":
            yield token, place > 0 and tokens[place - 1][1] in ("=~", "!~")


def _why_unreadable(text: str, position: int) -> str:
    character = text[position]
    if character in "\"'`":
        return "this string is not closed"
    if character == "[":
        return "this bracket is not closed"
    return f"unexpected character {character!r}"


def unquote(text: str, token: Token) -> str:
    """What a string token says, as Prometheus (Go) reads it; ``text`` is where the token is from, for the report."""
    quote, body = token.text[0], token.text[1:-1]
    if quote == "`":
        return body.replace("\r", "")
    if "\\" not in body:
        return body

    def plain(found: re.Match[str]) -> str:
        escape = found.group()[1:]
        kind = escape[0]
        if kind == quote:
            return quote
        if kind in _PLAIN_ESCAPES:
            return _PLAIN_ESCAPES[kind]
        if len(escape) > 1:
            number = int(escape[1:], 16) if kind in "xuU" else int(escape, 8)
            # Above 0x7f, \x and octal are bytes in Go but characters elsewhere: readers would disagree.
            if number < (0x80 if kind not in "uU" else 0x110000) and not 0xD800 <= number < 0xE000:
                return chr(number)
        where = token.start + 1 + found.start()
        raise fault(text, where, "invalid_promql", f"{found.group()} is no escape of a character")

    return _ESCAPE.sub(plain, body)
