"""Texts with blanks: filled in, they are what would have been written at once."""

from __future__ import annotations

import json

import pytest

from alerts.domain.json_text import Form, Forms, blank, json_bytes


@pytest.mark.parametrize("text", ["", "100 % {0} %s", "a\x00b", "\x001\x00", '"\\u0000"', "é\u2028🦊"])
def test_a_form_filled_in_is_what_would_have_been_written(text: str) -> None:
    form = Form({text: blank(1), "first": [blank(0), text, blank(1)], "same": text})
    words = (json_bytes([text]), json_bytes(text))
    assert json.loads(form.filled(words)) == {text: text, "first": [[text], text, text], "same": text}
    assert form.filled(words) == json_bytes({text: text, "first": [[text], text, text], "same": text})


def test_numbers_beyond_64_bits_are_written_as_they_always_were() -> None:
    assert Form({"value": 10**22, "of": blank(0)}).filled((b"1",)) == b'{"value":1e+22,"of":1}'


def test_forms_are_made_once_and_forgotten_when_they_are_too_many() -> None:
    made: list[int] = []

    def form(number: int) -> bytes:
        return forms.form(number, None, lambda: made.append(number) or [number]).filled(())

    forms = Forms(room=10)
    assert [form(number) for number in (1, 1, 2, 1)] == [b"[1]", b"[1]", b"[2]", b"[1]"]
    assert made == [1, 2]
    assert [form(number) for number in (3, 4, 4, 1)] == [b"[3]", b"[4]", b"[4]", b"[1]"]
    assert made == [1, 2, 3, 4, 1]
