"""What a JSON column accepts: the quick look at what is plain never passes what the careful one refuses."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from alerts.actions import fields
from alerts.actions.fields import DEEPEST, check_fields
from alerts.models import AlertRule

TEXTS = st.one_of(st.text(max_size=3), st.sampled_from(["\0", "\ud800", "\t", "ä", "a\nb"]))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
)


def nested(levels: int, inside: Any) -> Any:
    for _ in range(levels):
        inside = {"a": inside}
    return inside


@given(st.dictionaries(TEXTS, VALUES, max_size=3))
@example({"a": float("nan")})
@example(nested(DEEPEST - 1, "x"))
@example(nested(DEEPEST, "x"))
@example(nested(DEEPEST, {}))
@example(nested(DEEPEST - 1, []))
def test_the_quick_look_never_passes_what_the_careful_one_refuses(value: dict[str, Any]) -> None:
    careful = list(fields._walk(value, "/config", DEEPEST))
    assert check_fields(AlertRule, {"config": value}) == careful
    if fields._is_plain(value, DEEPEST):
        assert careful == []


def test_what_people_write_is_plain() -> None:
    assert fields._is_plain({"labels": {"team": "müller"}, "template_vars": {"percent": 5, "on": True}}, DEEPEST)
