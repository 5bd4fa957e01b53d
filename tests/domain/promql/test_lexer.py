from __future__ import annotations

import pytest

from alerts.domain.errors import PromqlError
from alerts.domain.promql.lexer import tokenize, unquote


def kinds(text: str) -> list[tuple[str, str]]:
    return [(token.kind, token.text) for token in tokenize(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:b_1", [("word", "a:b_1")]),
        ("# nothing\n a # else", [("word", "a")]),
        ("5m30s", [("duration", "5m30s")]),
        ("100ms", [("duration", "100ms")]),
        ("0x1F 1e-3 .5 5.", [("number", "0x1F"), ("number", "1e-3"), ("number", ".5"), ("number", "5.")]),
        ("a[5m : 1m]", [("word", "a"), ("range", "[5m : 1m]")]),
        ("a>=1", [("word", "a"), ("operator", ">="), ("number", "1")]),
        (r""""\"#" '\'' `\` """, [("string", r'"\"#"'), ("string", r"'\''"), ("string", r"`\`")]),
        ("x@1", [("word", "x"), ("at", "@"), ("number", "1")]),
        ('{a!~"b"}', [("bracket", "{"), ("word", "a"), ("match", "!~"), ("string", '"b"'), ("bracket", "}")]),
    ],
)
def test_text_becomes_tokens(text: str, expected: list[tuple[str, str]]) -> None:
    assert kinds(text) == expected


def test_tokens_know_their_place() -> None:
    text = 'a # "comment\n + `b\n` '
    assert [text[token.start : token.end] for token in tokenize(text)] == ["a", "+", "`b\n`"]


@pytest.mark.parametrize(
    ("text", "offset", "line", "column"),
    [('a + "b', 4, 1, 5), ("a\n  é", 4, 2, 3), ("a[5m", 1, 1, 2), ("a\n\n`b\n", 3, 3, 1), ("a;", 1, 1, 2)],
)
def test_what_is_no_token_is_refused_at_its_place(text: str, offset: int, line: int, column: int) -> None:
    with pytest.raises(PromqlError) as refused:
        tokenize(text)
    finding = refused.value.findings[0]
    assert (finding.offset, finding.line, finding.column) == (offset, line, column)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"a\n\t\\\"b"', 'a\n\t\\"b'),
        (r"'it\'s'", "it's"),
        (r"`\d`", r"\d"),
        (r'"\x41\u00e9\U0001F600\101"', "Aé😀A"),
        ('"é"', "é"),
    ],
)
def test_a_string_says_what_prometheus_reads(text: str, value: str) -> None:
    assert unquote(text, tokenize(text)[0]) == value


@pytest.mark.parametrize("text", [r'"\q"', r'"\xff"', r'"\377"', r'"\ud800"', r'"\u12"', r'''"\'"'''])
def test_an_escape_of_no_character_is_refused(text: str) -> None:
    with pytest.raises(PromqlError):
        unquote(text, tokenize(text)[0])
