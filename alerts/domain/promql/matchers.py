"""Label matchers, and which of them say "value in set" or "value not in set".

Prometheus matches a regex against the whole value, and an absent label as "". User regexes are only ever run by RE2.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

import re2

from alerts.domain.errors import Finding, PolicyConflict, PromqlError

if TYPE_CHECKING:
    from alerts.domain.regions import Condition

Op = Literal["=", "!=", "=~", "!~"]
MAX_VALUES = 5000

_QUOTED = str.maketrans(
    {chr(code): f"\\x{code:02x}" for code in (*range(0x20), 0x7F)}
    | {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
)
_LITERAL = str.maketrans({character: "\\" + character for character in r"\.+*?()|[]{}^$"})


def quote(value: str) -> str:
    """``value`` as a PromQL string in double quotes: one token, whatever the value."""
    if value.isalnum() and value.isascii():
        return f'"{value}"'
    return '"' + value.translate(_QUOTED) + '"'


class Matcher(NamedTuple):
    """One condition on one label of a selector."""

    label: str
    op: Op
    value: str

    @property
    def text(self) -> str:
        """As it is written inside braces."""
        label, op, value = self
        if not (label.isascii() and label.isidentifier()):
            label = quote(label)
        return f"{label}{op}{quote(value)}"

    def accepts(self, value: str) -> bool:
        """Whether a series with this label value ("" when it has none) is selected."""
        if self.op == "=":
            return value == self.value
        if self.op == "!=":
            return value != self.value
        return (compiled(self.value).fullmatch(value) is not None) == (self.op == "=~")


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> re2._Regexp[str]:
    """A user's regex as Prometheus runs it: RE2, the dot matches newlines; PromqlError when RE2 refuses it."""
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True
    options.max_mem = 2 << 20  # bounds the time of compiling, too
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError) as error:
        why = error.args[0] if error.args else error
        if isinstance(why, bytes):
            why = why.decode(errors="replace")
        raise PromqlError(Finding("invalid_regex", f"{pattern!r} is not a regular expression: {why}")) from None


def regex_union(values: Iterable[str]) -> str:
    """The one regex that matches exactly these values: sorted, so that the same set gives the same text."""
    return "|".join([value.translate(_LITERAL) for value in sorted(set(values))])


def matcher_for(label: str, condition: Condition) -> Matcher | None:
    """The matcher that holds exactly where ``condition`` does; None where it always does."""
    values = condition.values
    count = len(values)
    if count == 1:
        (value,) = values
        return Matcher(label, "=" if condition.include else "!=", value)
    if count == 0:
        if condition.include:
            raise ValueError(f"no series can satisfy an empty condition on {label}")
        return None
    if count > MAX_VALUES:
        message = f"a condition on {label} would list {count} values; at most {MAX_VALUES} are possible"
        raise PolicyConflict(Finding("too_many_values", message))
    return Matcher(label, "=~" if condition.include else "!~", _union(values))


@lru_cache(maxsize=256)
def _union(values: frozenset[str]) -> str:
    return regex_union(values)


def contradicts(author: Matcher, condition: Condition) -> bool:
    """Whether no value at all satisfies both: such a selector would never find a series in the condition's region.

    Exact for "in". For "not in", where infinitely many values remain, true only when the author's matcher is known
    to leave a finite set (``=``, a regex of plain alternatives, ``!~".+"``) and all of it is excluded.
    """
    if condition.include:
        return not any(author.accepts(value) for value in condition.values)
    left = finite_values(author.op, author.value)
    return left is not None and left <= condition.values


@lru_cache(maxsize=4096)
def finite_values(op: Op, value: str) -> frozenset[str] | None:
    """The values a matcher accepts, where these are known to be few."""
    if op == "=":
        return frozenset((value,))
    if op == "=~" and value.translate(_LITERAL).replace("\\|", "|") == value:
        return frozenset(value.split("|"))
    if op == "!~" and value == ".+":
        return frozenset(("",))
    if op == "!~" and value == ".*":
        return frozenset()
    return None
