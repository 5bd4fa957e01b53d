"""What a request body may be, before anybody asks what it means."""

from __future__ import annotations

import io
import time
from contextlib import suppress

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.test import RequestFactory

from alerts.api import parsers
from alerts.api.problems import ApiProblem
from tests.api.conftest import Caller

RULES = "alert-rules"


def deep(opening: bytes, closing: bytes, levels: int) -> bytes:
    return b'{"name": "x", "config": ' + opening * levels + b"1" + closing * levels + b"}"


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        pytest.param(b"", 400, "malformed_json", id="nothing at all"),
        pytest.param(b"{", 400, "malformed_json", id="cut short"),
        pytest.param(b"[]", 400, "malformed_json", id="an array"),
        pytest.param(b'"x"', 400, "malformed_json", id="a string"),
        pytest.param(b"null", 400, "malformed_json", id="null"),
        pytest.param(b'{"name": "x",}', 400, "malformed_json", id="a comma too many"),
        pytest.param(b"{'name': 'x'}", 400, "malformed_json", id="single quotes"),
        pytest.param(b'\xef\xbb\xbf{"name": "x"}', 400, "malformed_json", id="a byte order mark"),
        pytest.param(b'{"name": "\xff"}', 400, "malformed_json", id="not UTF-8"),
        pytest.param(b'{"name": "\xed\xa0\x80"}', 400, "malformed_json", id="a surrogate in UTF-8"),
        pytest.param(b'{"name": "a\x00b"}', 400, "malformed_json", id="a bare NUL"),
        pytest.param(b'{"priority": NaN}', 400, "malformed_json", id="NaN"),
        pytest.param(b'{"priority": -Infinity}', 400, "malformed_json", id="Infinity"),
        pytest.param(b'{"priority": ' + b"9" * 5000 + b"}", 400, "malformed_json", id="5,000 digits"),
        pytest.param(deep(b"[", b"]", 100_000), 400, "malformed_json", id="100k arrays deep"),
        pytest.param(deep(b'{"a":', b"}", 100_000), 400, "malformed_json", id="100k objects deep"),
        pytest.param(b'{"a":' * 100_000, 400, "malformed_json", id="100k objects deep and never closed"),
        pytest.param(b'{"name": "' + b"x" * 2_000_000 + b'"}', 413, None, id="2 MB"),
    ],
)
def test_broken_body_is_refused(admin: Caller, raw: bytes, status: int, code: str | None) -> None:
    answer = admin.post(RULES, raw=raw)
    assert answer.status == status
    assert answer.codes == ([code] if code else [])
    assert admin.get(RULES).json["count"] == 0


@pytest.mark.parametrize(
    ("raw", "pointer", "code"),
    [
        pytest.param(b'{"name": "a", "name": "b"}', "/name", "duplicate_key", id="a key twice"),
        pytest.param(b'{"config": {"a": 1, "b": {"c": 1, "c": 1}}}', "/config/b/c", "duplicate_key", id="deep inside"),
        pytest.param(b'{"variables": [{"a": 1, "\\u0061": 2}]}', "/variables/0/a", "duplicate_key", id="escaped"),
        pytest.param(b'{"name": "\\ud800"}', "/name", "lone_surrogate", id="a lone surrogate"),
        pytest.param(b'{"config": {"labels": {"a": "x\\udfff"}}}', "/config/labels/a", "lone_surrogate", id="inside"),
        pytest.param(b'{"config": {"\\ud800": 1}}', "/config/?", "lone_surrogate", id="in a name"),
        pytest.param(b'{"name": "a\\u0000b"}', "/name", "nul", id="NUL"),
        pytest.param(b'{"unscoped": ["a", "b\\u0000"]}', "/unscoped/1", "nul", id="NUL in an array"),
        pytest.param(b'{"config": {"a\\u0000": 1}}', "/config/a\0", "nul", id="NUL in a name"),
        pytest.param(b'{"priority": 1e999}', "/priority", "number_too_large", id="a float without end"),
        pytest.param(
            b'{"config": {"template_vars": {"x": 99999999999999999999}}}',
            "/config/template_vars/x",
            "number_too_large",
            id="more than 64 bits",
        ),
    ],
)
def test_what_json_can_spell_but_nobody_can_store_is_refused_where_it_stands(
    admin: Caller, raw: bytes, pointer: str, code: str
) -> None:
    answer = admin.post(RULES, raw=raw)
    assert (answer.status, answer.pointers, answer.codes) == (400, [pointer], [code])


def test_surrogate_pair_is_one_character(admin: Caller) -> None:
    assert admin.post("namespaces", raw=b'{"name": "a\\ud83d\\ude00", "label": "a"}').json["name"] == "a\U0001f600"


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/json; charset=utf-16",
        "application/merge-patch+json",
        "",
    ],
)
def test_other_content_types_are_refused(admin: Caller, content_type: str) -> None:
    answer = admin.post("namespaces", {"name": "a"}, content_type=content_type)
    assert answer.status == 415
    assert answer.problem["type"].endswith(":unsupported_media_type")
    assert answer.headers["Accept"] == "application/json"


def test_compressed_body_is_refused(admin: Caller) -> None:
    assert admin.post("namespaces", {"name": "a"}, content_encoding="gzip").status == 415


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=UTF-8", "Application/JSON"])
def test_json_is_accepted_however_it_is_spelled(admin: Caller, content_type: str) -> None:
    assert admin.post("namespaces", {"name": "a"}, content_type=content_type).status == 201


def request_with(body: bytes, **meta: object) -> WSGIRequest:
    request = RequestFactory().generic("POST", "/", body, content_type="application/json")
    request.META.update(meta)
    return request


def test_announced_size_is_refused_before_a_byte_is_read() -> None:
    class Untouchable(io.BytesIO):
        def read(self, *_: object) -> bytes:
            raise AssertionError("read")

    environ = RequestFactory()._base_environ() | {
        "CONTENT_LENGTH": str(parsers.MAX_BODY + 1),
        "CONTENT_TYPE": "application/json",
        "wsgi.input": Untouchable(),
    }
    with pytest.raises(ApiProblem) as refused:
        parsers.read_object(WSGIRequest(environ))
    assert refused.value.problem.status == 413


def test_body_of_exactly_the_limit_is_read() -> None:
    body = b'{"a": "' + b"x" * (parsers.MAX_BODY - 9) + b'"}'
    assert len(body) == parsers.MAX_BODY
    assert parsers.read_object(request_with(body))


@pytest.mark.parametrize(("size", "status"), [(1000, None), (2_000_000, 413)])
def test_chunked_body_is_counted_as_it_comes(size: int, status: int | None) -> None:
    environ = RequestFactory()._base_environ() | {
        "CONTENT_TYPE": "application/json",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input_terminated": True,
        "wsgi.input": io.BytesIO(b'{"a": "' + b"x" * size + b'"}'),
    }
    environ.pop("CONTENT_LENGTH", None)
    if status is None:
        assert parsers.read_object(WSGIRequest(environ))["a"] == "x" * size
    else:
        with pytest.raises(ApiProblem) as refused:
            parsers.read_object(WSGIRequest(environ))
        assert refused.value.problem.status == status


@pytest.mark.parametrize("length", ["-1", "abc", "1e3", "١"])
def test_length_that_is_no_number_is_refused(length: str) -> None:
    with pytest.raises(ApiProblem) as refused:
        parsers.read_object(request_with(b"{}", CONTENT_LENGTH=length))
    assert refused.value.problem.status == 400


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'"' + b'\\"' * 500_000, id="a string that never ends"),
        pytest.param(b"[]" * 500_000, id="half a million empty arrays"),
        pytest.param(b'["a",' * 200_000, id="arrays that never end"),
        pytest.param(b'{"a": [' + b"{}," * 300_000 + b"{}]}", id="300k objects"),
        pytest.param(
            b"{" + b",".join(b'"%d": 1' % number for number in range(80_000)) + b', "79999": 1}',
            id="80k keys, one twice",
        ),
    ],
)
def test_hostile_body_takes_no_longer_than_its_size(raw: bytes) -> None:
    start = time.process_time()
    with suppress(ApiProblem):
        parsers.parse_object(raw)
    assert time.process_time() - start < 5  # quadratic would be minutes


def test_brackets_inside_strings_are_no_depth() -> None:
    assert parsers.parse_object(b'{"a": "' + b"[{" * 1000 + b'\\"[[["}') == {"a": "[{" * 1000 + '"[[['}


def test_depth_is_counted_to_the_limit() -> None:
    at_limit = b'{"a":' * (parsers.MAX_DEPTH - 1) + b"{}" + b"}" * (parsers.MAX_DEPTH - 1)
    assert parsers.parse_object(at_limit)
    with pytest.raises(ApiProblem):
        parsers.parse_object(b'{"a":' + at_limit + b"}")


@pytest.mark.parametrize("path", ["prometheus/rules/regenerate", "prometheus/resume"])
def test_command_takes_no_fields(admin: Caller, path: str) -> None:
    answer = admin.post(path, {"force": True})
    assert (answer.status, answer.pointers, answer.codes) == (400, ["/force"], ["unknown_field"])
