"""Names and texts that every Prometheus since 2.42 accepts, and the labels that are not anybody's to set."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from itertools import islice
from typing import Any

from alerts.domain.errors import Finding
from alerts.domain.layers import Topology

LONGEST_NAME = 255
MOST_STRANGE = 20
"""Unknown fields of one object that are told; a large body can hold a million."""

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LAYOUT = "\t\n\r"


def is_label_name(name: str) -> bool:
    """The legacy character set: 2.42 refuses whole files over anything else."""
    return _LABEL_NAME.fullmatch(name) is not None


def is_metric_name(name: str) -> bool:
    """The legacy character set, with colons."""
    return _METRIC_NAME.fullmatch(name) is not None


def reserved_labels(topology: Topology) -> dict[str, str]:
    """Labels a rule must not set, each with the reason as a half sentence."""
    reserved = {namespace.label: f"it carries the namespace {namespace.name!r}" for namespace in topology.namespaces}
    reserved[topology.target_label] = "it carries the target"
    reserved[topology.scope_label] = "it carries the scope of a rule"
    reserved["alertname"] = "Prometheus sets it to the rule's name"
    reserved["severity"] = "it carries the resolved severity"
    return reserved


def unknown_fields(said: Iterable[Any], known: Collection[str], pointer: str) -> list[Finding]:
    """The objections to the first of an object's fields that are not known."""
    hint = f"known are: {', '.join(known)}"
    strange = islice((field for field in said if field not in known), MOST_STRANGE)
    return [Finding("unknown_field", f"unknown field {shown(field)}", below(pointer, field), hint) for field in strange]


def check_text(value: Any, pointer: str = "", *, longest: int | None = None, layout: bool = False) -> Finding | None:
    """The objection to a text that cannot be stored, rendered or shown; None when it is fine.

    NUL and lone surrogates are never accepted; other control characters only tab and line ends, where ``layout``
    is allowed. ``longest`` counts characters.
    """
    if not isinstance(value, str):
        return Finding("type", f"must be a string, not {json_type(value)}", pointer)
    if longest is not None and len(value) > longest:
        return Finding("too_long", f"has {len(value)} characters, at most {longest} are allowed", pointer)
    bad = None if value.isprintable() else next((c for c in value if not _acceptable(c, layout)), None)
    if bad is None:
        return None
    kind = "a lone surrogate" if "\ud800" <= bad <= "\udfff" else "a control character"
    return Finding("text_invalid", f"contains {kind} (U+{ord(bad):04X})", pointer, hint="remove the character")


def _acceptable(character: str, layout: bool) -> bool:
    if character in _LAYOUT:
        return layout
    return unicodedata.category(character) not in ("Cc", "Cs")


def check_name(value: Any, pointer: str) -> Finding | None:
    """A name a person gives: not empty, bounded, without control characters or white space around it."""
    finding = check_text(value, pointer, longest=LONGEST_NAME)
    if finding is None and not value.strip():
        finding = Finding("required", "must not be empty", pointer)
    if finding is None and value != value.strip():
        finding = Finding("name_invalid", f"{value!r} starts or ends with white space", pointer, hint="remove it")
    return finding


def json_type(value: Any) -> str:
    """What a JSON value is, for a sentence."""
    if value is None:
        return "null"
    for kinds, word in _JSON_TYPES:
        if isinstance(value, kinds):
            return word
    return type(value).__name__


_JSON_TYPES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "a boolean"),
    ((int, float), "a number"),
    (str, "a string"),
    ((list, tuple), "an array"),
    (dict, "an object"),
)


def shown(value: Any, longest: int = 60) -> str:
    """A value quoted for a message, shortened; repr escapes whatever could not be encoded."""
    text = repr(value)
    return text if len(text) <= longest else f"{text[:longest]}…"


def below(pointer: str, *parts: object) -> str:
    """A JSON pointer to a member; names are escaped (RFC 6901) and always encodable."""
    if len(parts) == 1 and isinstance(parts[0], str) and is_label_name(parts[0]):
        return f"{pointer}/{parts[0]}"  # by far the most
    escaped = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
    return pointer + escaped.encode("utf-8", "backslashreplace").decode()
