"""What is refused before any parsing: the parser can crash the process or take seconds on hostile input."""

from __future__ import annotations

from collections.abc import Sequence

from alerts.domain.promql.lexer import Token, fault, tokenize

MAX_BYTES = 8 * 1024
MAX_DEPTH = 64
MAX_OPERATORS = 500
COMPILED_MAX_BYTES = 256 * 1024
"""For text the compiler made itself, one branch at a time; depth and operators stay the author's."""

_BEFORE_A_SIGN = frozenset("(,+-*/%^<>") | {"==", "!=", "<=", ">="}
_WORD_OPERATORS = frozenset(("and", "or", "unless", "atan2"))


def check_limits(
    text: str, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH, max_operators: int = MAX_OPERATORS
) -> None:
    """Refuse text that is too long, too deep, has too many operators, or holds NUL or half a surrogate pair."""
    check_text(text, max_bytes)
    check_tokens(text, tokenize(text), max_depth, max_operators)


def check_text(text: str, max_bytes: int) -> None:
    if len(text) > max_bytes:  # no need to encode to know
        raise _too_long(text, max_bytes)
    if text.isascii():
        size = len(text)
    else:
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            raise fault(text, error.start, "invalid_text", "half a surrogate pair is not text") from None
    if size > max_bytes:
        raise _too_long(text, max_bytes)
    if "\0" in text:
        raise fault(text, text.index("\0"), "invalid_text", "a NUL character is not allowed")


def _too_long(text: str, max_bytes: int) -> Exception:
    return fault(text, 0, "too_long", f"the expression is longer than {max_bytes} bytes")


def is_too_long(text: str) -> bool:
    """Whether text that the compiler made has more bytes than it may have."""
    return len(text) > COMPILED_MAX_BYTES // 4 and len(text.encode()) > COMPILED_MAX_BYTES


def check_tokens(text: str, tokens: Sequence[Token], max_depth: int, max_operators: int) -> None:
    depth = operators = leaning = 0
    before = "("
    for kind, word, start, _ in tokens:
        if kind == "bracket":
            if word in "({":
                depth += 1
                if depth > max_depth:
                    raise fault(text, start, "too_deep", f"brackets nest deeper than {max_depth}")
            elif word in ")}":
                depth -= 1
        elif kind == "operator" or (kind == "word" and word.lower() in _WORD_OPERATORS):
            operators += 1
            if operators > max_operators:
                raise fault(text, start, "too_many_operators", f"there are more than {max_operators} operators")
            # a^b^c and --a nest to the right, as brackets do.
            if word == "^" or before in _BEFORE_A_SIGN:
                leaning += 1
                if leaning > max_depth:
                    raise fault(text, start, "too_deep", f"there are more than {max_depth} signs and powers")
        before = word
