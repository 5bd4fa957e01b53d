"""The OpenAPI document says what the server does: every address, every example, every problem."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from jsonschema import Draft202012Validator
from rest_framework.views import APIView

from alerts.api.examples import EXAMPLES
from alerts.api.views.document import document
from tests.api.conftest import PATHS, Caller

METHODS = ("get", "post", "put", "patch", "delete")


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": document()["components"]})


def routes() -> Iterator[tuple[str, Any]]:
    """Every address of ours with its view, in OpenAPI's spelling."""

    def walk(patterns: list[Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for pattern in patterns:
            route = prefix + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, route)
            elif isinstance(pattern, URLPattern) and issubclass(getattr(pattern.callback, "cls", object), APIView):
                yield "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route), pattern.callback

    yield from walk(get_resolver().url_patterns, "")


OBJECTS = (*PATHS, "prometheus-servers")
CONTRACT = {
    **{f"/api/v1/{path}": {"get", "post"} for path in OBJECTS},
    **{f"/api/v1/{path}/{{id}}": {"get", "put", "patch", "delete"} for path in OBJECTS},
    **{f"/api/v1/{path}/{verb}": {"post"} for path in OBJECTS for verb in ("delete", "restore", "purge")},
    "/api/v1/prometheus-servers/findings": {"get"},
    "/api/v1/prometheus-servers/{id}/status": {"get"},
    **{f"/api/v1/prometheus-servers/{{id}}/{verb}": {"post"} for verb in ("regenerate", "reload", "resume")},
    "/api/v1/agent/bundle": {"get"},
    "/api/v1/agent/report": {"post"},
    "/api/v1/alert-templates/severity/{severity}": {"get"},
    "/api/v1/alert-rules/bulk": {"post"},
    "/api/v1/alert-rules/group/{group_id}": {"get"},
    "/api/v1/alert-rules/template/{template_id}": {"get"},
    "/api/v1/targets/{id}/alert-rules/effective": {"get"},
    "/api/v1/targets/{id}/alert-rules/trace": {"get"},
    "/api/v1/groups/{id}/alert-rules/effective": {"get"},
    "/api/v1/groups/{id}/alert-rules/trace": {"get"},
    "/api/v1/sd/prometheus": {"get"},
    "/api/v1/plan": {"get"},
    "/api/v1/prometheus/rules/regenerate": {"post"},
    "/api/v1/prometheus/rules/regenerate/{group_id}": {"post"},
    "/api/v1/prometheus/rules/files": {"get"},
    "/api/v1/prometheus/rules/files/{name}": {"get"},
    "/api/v1/prometheus/status": {"get"},
    "/api/v1/prometheus/reload": {"post"},
    "/api/v1/prometheus/resume": {"post"},
    "/api/v1/releases": {"get"},
    "/api/v1/releases/{id}": {"get"},
    "/api/v1/releases/{id}/rollback": {"post"},
    "/api/v1/schema": {"get"},
    "/api/v1/docs": {"get"},
    "/-/healthy": {"get"},
    "/-/ready": {"get"},
    "/metrics": {"get"},
}


def test_document_has_exactly_the_addresses_of_the_contract() -> None:
    assert {path: set(item) for path, item in document()["paths"].items()} == CONTRACT


def test_every_address_that_is_served_is_in_the_document() -> None:
    served = {
        path: {method for method in METHODS if hasattr(callback.cls, method)}
        for path, callback in routes()
        if not path.startswith("/admin")
    }
    assert served == CONTRACT


def test_every_schema_in_it_is_one() -> None:
    for schema in document()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_operations_have_names_of_their_own() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids))
    assert all(operation["summary"] for _, _, operation in operations())


def test_every_refusal_is_a_declared_problem() -> None:
    for path, method, operation in operations():
        responses = operation["responses"]
        for status, response in responses.items():
            if int(status) >= 400:
                assert response == {"$ref": f"#/components/responses/Problem{status}"}, (path, method)
        expected = {"400", "406", "500"}
        if not path.startswith("/-/"):
            expected |= {"401", "403", "503"}
        if "requestBody" in operation:
            expected |= {"413", "415"}
        if "{id}" in path:
            expected.add("404")
        if method in ("put", "patch", "delete"):
            expected |= {"409", "412"}
        assert expected <= responses.keys(), (path, method)
    for response in document()["components"]["responses"].values():
        (media_type,) = response["content"]
        assert media_type == "application/problem+json"


def test_every_example_fits_its_schema() -> None:
    seen = 0
    for path, method, operation in operations():
        contents = [response.get("content", {}) for response in operation["responses"].values()]
        for content in [*contents, operation.get("requestBody", {}).get("content", {})]:
            for media in content.values():
                if "example" in media:
                    seen += 1
                    errors = list(validator(media["schema"]).iter_errors(media["example"]))
                    assert not errors, (path, method, errors[0])
    assert seen > 60


def test_every_request_body_and_json_answer_has_an_example() -> None:
    without = [
        (path, method)
        for path, method, operation in operations()
        for part in (operation.get("requestBody", {}), operation["responses"].get("200", {}))
        for media_type, media in part.get("content", {}).items()
        if media_type == "application/json" and "example" not in media
    ]
    assert without == [("/api/v1/schema", "get")]


def test_examples_are_accepted_as_they_stand(admin: Caller) -> None:
    first = admin.get("namespaces?ordering=id").json["results"][0]
    region = first["id"]
    ids: dict[str, int] = {}
    moving = {"id", "created_at", "updated_at", "scope", "namespace", "groups", "group_id"}
    moving |= {"status", "selector"}
    for path, name in zip(OBJECTS, EXAMPLES, strict=True):
        # Only ids are other ones here.
        places = {"groups": {"namespace": region}, "targets": {"groups": [ids.get("group")]}}
        places["alert-rules"] = {"group_id": ids.get("group")}
        places["prometheus-servers"] = {"selector": {first["name"]: ["frankfurt"]}}
        made = admin.post(path, {**EXAMPLES[name]["request"], **places.get(path, {})})
        assert made.status == 201, (path, made.content)
        ids[name] = made.json["id"]
        expected = EXAMPLES[name]["response"]
        assert made.json.keys() == expected.keys()
        same = expected.keys() - moving
        assert {field: made.json[field] for field in same} == {field: expected[field] for field in same}


@cache
def row_schema(path: str) -> Draft202012Validator:
    content = document()["paths"][f"/api/v1/{path}/{{id}}"]["get"]["responses"]["200"]["content"]
    return validator(content["application/json"]["schema"])


@pytest.mark.parametrize("path", OBJECTS)
def test_objects_are_what_the_document_says(admin: Caller, world: Any, path: str) -> None:
    rows = admin.get(path).json["results"]
    assert rows
    for row in rows:
        row_schema(path).validate(row)


@pytest.mark.parametrize("path", OBJECTS)
def test_written_fields_are_closed_and_read_only_ones_are_not_asked_for(path: str) -> None:
    components = document()["components"]["schemas"]
    for method in ("post", "put", "patch"):
        address = f"/api/v1/{path}" if method == "post" else f"/api/v1/{path}/{{id}}"
        body = document()["paths"][address][method]["requestBody"]["content"]["application/json"]["schema"]
        schema = components[body["$ref"].rsplit("/", 1)[1]]
        assert schema["additionalProperties"] is False
        assert not {"id", "version", "created_at", "scope"} & schema["properties"].keys()
        # A rule needs a name or a key: neither is required alone. A server's name is given once.
        free = {"alert-rules": ("post", "put", "patch"), "prometheus-servers": ("put", "patch")}
        assert bool(schema.get("required")) == (method not in free.get(path, ("patch",)))


def test_page_loads_everything_from_this_server(admin: Caller) -> None:
    answer = admin.get("docs")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    page = answer.content.decode()
    assert "<script>" not in page
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(sources) == 4
    client = Client()
    for source in sources:
        assert source.startswith("/static/")
        assert client.get(source).status_code == 200, source
