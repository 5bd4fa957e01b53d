"""What the parser is shown of an expression: not every string is for it.

It compiles every regex it sees, with an engine that takes seconds for some and longer than all the rest of an
expression for the plainest; and a backslash in a raw string is an escape to it, though not to Prometheus. So it sees
another string in such a place, and the tree gets the true one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from alerts.domain.promql.lexer import Token, strings, unquote
from alerts.domain.promql.matchers import compiled, quote


class Veil(NamedTuple):
    """``regexes`` are the true ones, in the order of the text; ``aligned``: everything else is at the place it has in
    the author's text."""

    text: str
    regexes: tuple[str, ...] = ()
    aligned: bool = True


def veil(text: str, tokens: Sequence[Token]) -> Veil:
    """``text`` as the parser may see it; PromqlError when a regex is none."""
    if "~" not in text and "`" not in text:
        return Veil(text)
    parts: list[str] = []
    regexes: list[str] = []
    position, aligned = 0, True
    for token, is_regex in strings(tokens):
        _, word, start, end = token
        if is_regex:
            regexes.append(unquote(text, token))
            # One that accepts what it did of "": a selector must not accept series without any label.
            shown = '""' if _accepts_nothing(regexes[-1]) else '"p"'
        else:
            shown = quote(unquote(text, token)) if word[0] == "`" else word
        if shown is not word:
            # Blanks go before it, where no reader would let a matcher stand.
            gap = end - start - len(shown)
            aligned = aligned and gap >= 0
            parts += (text[position:start], " " * gap, shown)
            position = end
    return Veil("".join(parts) + text[position:], tuple(regexes), aligned)


@lru_cache(maxsize=1024)
def _accepts_nothing(regex: str) -> bool:
    return compiled(regex).fullmatch("") is not None
