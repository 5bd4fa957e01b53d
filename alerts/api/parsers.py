"""Request bodies: one JSON object, bounded before it is read, judged before anyone else sees it.

The order is the safety: size, then depth by a linear scan (a deep body would end the process in the parser), then
JSON with duplicate keys refused, then what JSON can spell but no database or rule file can hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.http import HttpRequest

from alerts.api.problems import ApiProblem, Entry, entry, pointer_to

MAX_BODY = 1024 * 1024
MAX_BULK_BODY = 16 * MAX_BODY
MAX_DEPTH = 64
MAX_VALUES = 1_000_000
"""In a large body: what takes two bytes to write takes a hundred to hold."""
MOST_FAULTS = 100
"""Told of one body; a million would take more memory than the body."""
MEDIA_TYPE = "application/json"
EMPTY_SCHEMA: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": {}}

# Always matches from a quote, whatever follows: no rescanning, hence linear.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BRACKETS = re.compile(rb"[\[{]+|[\]}]+")
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Repeated(dict):
    """An object that spelled some key twice."""

    repeated: str


def read_object(request: HttpRequest, *, required: bool = True, limit: int = MAX_BODY) -> dict[str, Any]:
    """The request's JSON object, of at most ``limit`` bytes. Without ``required`` no body at all is an empty object."""
    body = _read(request, limit)
    if body:
        _check_media_type(request)
        return parse_object(body)
    if required:
        raise _malformed("a JSON object is required")
    return {}


def parse_object(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_BODY and _has_more_values_than(body, MAX_VALUES):
        raise ApiProblem(413, "too_large", f"a body has at most {MAX_VALUES:,} values")
    if _deeper_than(body, MAX_DEPTH):
        raise _malformed(f"nested deeper than {MAX_DEPTH} levels")
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant)
    except UnicodeDecodeError as exc:
        raise _malformed(f"not UTF-8 at byte {exc.start}") from None
    except json.JSONDecodeError as exc:
        error = entry("", "malformed_json", exc.msg, offset=exc.pos, line=exc.lineno, column=exc.colno)
        raise ApiProblem(400, "malformed_json", f"not JSON: {exc.msg}", error) from None
    except ValueError as exc:
        raise _malformed(str(exc)) from None
    if not isinstance(value, dict):
        raise _malformed("the body must be a JSON object")
    errors = list(islice(_unspeakable(value), MOST_FAULTS))
    if errors:
        raise ApiProblem(400, "invalid", errors[0]["message"], *errors)
    return value


def refuse_fields(body: dict[str, Any]) -> None:
    """For requests that need no body: it may be left out or empty."""
    if body:
        faults = [
            entry(pointer_to(name), "unknown_field", "There is no such field.") for name in islice(body, MOST_FAULTS)
        ]
        raise ApiProblem(400, "invalid", f"{faults[0]['pointer']}: {faults[0]['message']}", *faults)


def _malformed(message: str) -> ApiProblem:
    return ApiProblem(400, "malformed_json", message, entry("", "malformed_json", message))


def _too_large(limit: int) -> ApiProblem:
    return ApiProblem(413, "too_large", f"a body has at most {limit} bytes here")


def _read(request: HttpRequest, limit: int) -> bytes:
    length = request.META.get("CONTENT_LENGTH") or ""
    if (length and not length.isascii()) or (length and not length.isdigit()):
        raise ApiProblem(400, "malformed_request", "Content-Length is not a number")
    if length and int(length) > limit:
        raise _too_large(limit)
    stream: Any = request
    if not length and request.META.get("HTTP_TRANSFER_ENCODING") and request.META.get("wsgi.input_terminated"):
        # Django reads nothing without a length; the server ends the stream for us.
        stream = request.META["wsgi.input"]
    try:
        body = stream.read(limit + 1)
    except OSError:
        raise ApiProblem(400, "malformed_request", "the body ended early") from None
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _check_media_type(request: HttpRequest) -> None:
    charset = (request.content_params or {}).get("charset", "utf-8").lower()
    encoding = request.META.get("HTTP_CONTENT_ENCODING", "identity").lower()
    if request.content_type != MEDIA_TYPE or charset not in ("utf-8", "utf8") or encoding != "identity":
        raise ApiProblem(
            415, "unsupported_media_type", f"send {MEDIA_TYPE} in UTF-8, not compressed", headers={"Accept": MEDIA_TYPE}
        )


def _deeper_than(body: bytes, limit: int) -> bool:
    if body.count(b"[") + body.count(b"{") <= limit:
        return False
    depth = 0
    for run in _BRACKETS.findall(_STRING.sub(b"", body)):
        depth += len(run) if run[0] in b"[{" else -len(run)
        if depth > limit:
            return True
    return False


def _has_more_values_than(body: bytes, most: int) -> bool:
    separators = (b",", b"[", b"{")
    if sum(map(body.count, separators)) <= most:
        return False
    return sum(map(_STRING.sub(b"", body).count, separators)) > most


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    seen: set[str] = set()
    marked = _Repeated(found)
    for key, _ in pairs:
        if key in seen:
            marked.repeated = key
            break
        seen.add(key)
    return marked


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _unspeakable(value: Any, *at: str | int) -> Iterator[Entry]:
    """What is JSON by the letter and still has no meaning here."""
    if isinstance(value, str):
        yield from _text_faults(value, *at)
    elif isinstance(value, dict):
        if isinstance(value, _Repeated):
            yield entry(pointer_to(*at, value.repeated), "duplicate_key", f"the key {value.repeated!r} is there twice")
        for key, item in value.items():
            yield from _text_faults(key, *at, key)
            yield from _unspeakable(item, *at, key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unspeakable(item, *at, index)
    elif isinstance(value, float) and value in (float("inf"), float("-inf")):
        yield entry(pointer_to(*at), "number_too_large", "the number is too large")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        yield entry(pointer_to(*at), "number_too_large", "the number does not fit into 64 bits")


def _text_faults(text: str, *at: str | int) -> Iterator[Entry]:
    if "\0" in text:
        yield entry(pointer_to(*at), "nul", "a NUL character cannot be stored")
    if _SURROGATE.search(text):
        yield entry(pointer_to(*at), "lone_surrogate", "a lone surrogate is not a character")
