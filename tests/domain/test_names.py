import json

import pytest

from alerts.domain.names import below, check_name, check_text, is_label_name, is_metric_name, shown


@pytest.mark.parametrize(
    ("text", "layout", "code"),
    [
        ("plain", False, None),
        ("größer 🙂", False, None),
        ("a no-break space", False, None),
        ("two\nlines\tand a tab", True, None),
        ("two\nlines", False, "text_invalid"),
        ("a NUL \x00", True, "text_invalid"),
        ("a lone surrogate \ud800", True, "text_invalid"),
        ("an escape \x1b[0m", True, "text_invalid"),
        ("a DEL \x7f", True, "text_invalid"),
        ("a C1 control \x85", True, "text_invalid"),
        (5, True, "type"),
        (None, True, "type"),
        ("far too long for it", False, "too_long"),
    ],
)
def test_texts_that_cannot_be_shown_or_stored_are_refused(text: object, layout: bool, code: str | None) -> None:
    longest = 15 if code == "too_long" else None
    finding = check_text(text, "/x", longest=longest, layout=layout)
    assert (finding and finding.code) == code
    if finding:
        assert finding.pointer == "/x"
        finding.message.encode()


@pytest.mark.parametrize("name", ["", "   ", " edge", "edge ", "line\nend", "x" * 256, None, 7, "\x00"])
def test_names_are_not_empty_bounded_and_without_white_space_around(name: object) -> None:
    assert check_name(name, "/name") is not None


@pytest.mark.parametrize("name", ["High CPU", "Größe", "a/b", "x" * 255, "{{ literal }}"])
def test_a_name_may_otherwise_be_what_a_person_likes(name: str) -> None:
    assert check_name(name, "/name") is None


@pytest.mark.parametrize(
    ("name", "label", "metric"),
    [
        ("job", True, True),
        ("_x9", True, True),
        ("job:rate5m", False, True),
        ("9x", False, False),
        ("a-b", False, False),
        ("a.b", False, False),
        ("größe", False, False),
        ("a\n", False, False),
        ("", False, False),
    ],
)
def test_names_are_the_ones_prometheus_2_42_loads(name: str, label: bool, metric: bool) -> None:
    assert (is_label_name(name), is_metric_name(name)) == (label, metric)


def test_pointers_are_escaped_and_can_always_be_sent() -> None:
    assert below("/labels", "a/b~c", 0) == "/labels/a~1b~0c/0"
    assert below("/labels", "\ud800").encode()
    assert json.dumps(shown("\ud800\x00" * 100)).isascii()
