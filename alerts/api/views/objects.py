"""The kinds of objects: list and create, one of them, many at once. ``Resource`` says which kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from alerts.actions.errors import NotFound
from alerts.api import idempotency, parsers
from alerts.api.openapi import Answer, Operation
from alerts.api.pagination import paginate
from alerts.api.preconditions import etag, if_match, not_modified
from alerts.api.problems import pointer_to
from alerts.api.query import DRY_RUN
from alerts.api.resources import DELETED, Resource
from alerts.api.serializers.bulk import Ids
from alerts.api.views.base import ApiView
from alerts.models import Role


class ObjectView(ApiView):
    """``resource`` comes with ``as_view``."""

    resource: Resource = None  # type: ignore[assignment]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.resource is not None:
            self.parameters = self.parameters_of(self.resource)
            self.roles = dict.fromkeys(("POST", "PUT", "PATCH", "DELETE"), self.resource.write)

    def parameters_of(self, resource: Resource) -> Mapping[str, Any]:
        return {}

    def answer(self, instance: Any, status: int, dry_run: bool) -> Response:
        """A written object. A dry run's id would name nothing, or something else later."""
        shown = self.resource.show(instance)
        if dry_run:
            return Response({**shown, "id": None} if status == 201 else shown)
        headers = {"ETag": etag(shown["version"])}
        if status == 201:
            headers["Location"] = f"/api/v1/{self.resource.path}/{shown['id']}"
        return Response(shown, status=status, headers=headers)


def given(serializer: Serializer, body: dict[str, Any]) -> dict[str, Any]:
    """What was said: a default is no word against the template a rule is made from."""
    serializer.is_valid(raise_exception=True)
    said = {field.source for name, field in serializer.fields.items() if name in body}
    return {name: value for name, value in serializer.validated_data.items() if name in said}


class Collection(ObjectView):
    """All of one kind: a page of them, or one more."""

    def parameters_of(self, resource: Resource) -> Mapping[str, Any]:
        return {"GET": resource.parameters, "POST": (DRY_RUN,)}

    def get(self, request: Request) -> Response:
        return Response(paginate(request, self.resource.listing(self.query), self.query, self.resource.represent))

    def post(self, request: Request) -> Response:
        body = parsers.read_object(request._request)
        dry_run = self.query["dry_run"]

        def create() -> Response:
            values = given(self.resource.create(data=body), body)
            return self.answer(self.resource.actions.create(values, dry_run=dry_run), 201, dry_run)

        return idempotency.once(request, body, create, dry_run=dry_run)

    def operations(self) -> Mapping[str, Operation]:
        it = self.resource
        return {
            "GET": Operation(
                id=f"list_{it.path}".replace("-", "_"),
                tag=it.path,
                summary=f"List {it.words}s",
                answers={200: Answer("A page.", it.replace, it.example_answer, page=True)},
                problems=(404,),
            ),
            "POST": Operation(
                id=f"create_{it.name}".replace("-", "_"),
                tag=it.path,
                summary=f"Create a {it.words}",
                description="Validated, compiled and judged by promtool before it is stored.",
                request=it.create,
                request_example=it.example,
                answers={
                    200: Answer("What a dry run would have stored.", it.replace, {**it.example_answer, "id": None}),
                    201: Answer("It is stored.", it.replace, it.example_answer, ("ETag", "Location")),
                },
                headers=("Idempotency-Key",),
                problems=(409,),
            ),
        }


class Item(ObjectView):
    """One object."""

    def parameters_of(self, resource: Resource) -> Mapping[str, Any]:
        return {"GET": (DELETED,), "PUT": (DRY_RUN,), "PATCH": (DRY_RUN,), "DELETE": (DRY_RUN,)}

    def get(self, request: Request, id: int) -> Response:
        if "HTTP_IF_NONE_MATCH" in request.META and not self.resource.lively:
            version = self.resource.version(id, self.query["deleted"])
            if not_modified(request, version):
                return Response(status=304, headers={"ETag": etag(version)})
        shown = self.resource.row(id, self.query["deleted"])
        return Response(shown, headers={"ETag": etag(shown["version"])})

    def put(self, request: Request, id: int) -> Response:
        return self._write(request, id, partial=False)

    def patch(self, request: Request, id: int) -> Response:
        return self._write(request, id, partial=True)

    def delete(self, request: Request, id: int) -> Response:
        self.resource.actions.delete(
            [id], expected_version=self._expected_version(request, id), dry_run=self.query["dry_run"]
        )
        return Response(status=204)

    def _write(self, request: Request, id: int, *, partial: bool) -> Response:
        body = parsers.read_object(request._request)
        expected = self._expected_version(request, id)
        serializer = self.resource.replace(data=body, partial=partial)
        serializer.is_valid(raise_exception=True)
        dry_run = self.query["dry_run"]
        instance = self.resource.actions.update(
            id, serializer.validated_data, expected_version=expected, dry_run=dry_run
        )
        return self.answer(instance, 200, dry_run)

    def _expected_version(self, request: Request, id: int) -> int | None:
        """The version the action shall find under its lock."""
        matched = if_match(request)
        return None if matched.is_open else matched.expected(self.resource.version(id))

    def operations(self) -> Mapping[str, Operation]:
        it = self.resource
        name = it.name.replace("-", "_")
        written = {200: Answer("It is stored, or would be.", it.replace, it.example_answer, ("ETag",))}
        writing: dict[str, Any] = {"tag": it.path, "headers": ("If-Match",), "problems": (404, 409, 412)}
        return {
            "GET": Operation(
                id=f"get_{name}",
                tag=it.path,
                summary=f"One {it.words}",
                answers={
                    200: Answer("It.", it.replace, it.example_answer, ("ETag",)),
                    304: Answer("Still the version you have.", headers=("ETag",)),
                },
                headers=("If-None-Match",),
                problems=(404,),
            ),
            "PUT": Operation(
                id=f"replace_{name}",
                summary=f"Write a {it.words} anew",
                description="Fields left out get their defaults; fixed ones stay.",
                request=it.replace,
                request_example=it.example,
                answers=written,
                **writing,
            ),
            "PATCH": Operation(
                id=f"change_{name}",
                summary=f"Change some fields of a {it.words}",
                description="Each field named is replaced as a whole.",
                request=it.replace,
                request_example={"external_id": "cmdb-4711"},
                answers=written,
                **writing,
            ),
            "DELETE": Operation(
                id=f"delete_{name}",
                summary=f"Delete a {it.words}; it can be restored",
                answers={204: Answer("It is deleted.")},
                **writing,
            ),
        }


class Bulk(ObjectView):
    """Delete, restore or purge many, all or nothing."""

    verb = ""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.verb == "purge":
            self.roles = {"POST": Role.ADMIN}

    def parameters_of(self, resource: Resource) -> Mapping[str, Any]:
        return {"POST": (DRY_RUN,)}

    def post(self, request: Request) -> Response:
        body = parsers.read_object(request._request)
        serializer = Ids(data=body)
        serializer.is_valid(raise_exception=True)
        ids, dry_run = serializer.validated_data["ids"], self.query["dry_run"]

        def work() -> Response:
            try:
                return Response({"ids": getattr(self.resource.actions, self.verb)(ids, dry_run=dry_run)})
            except NotFound as missing:
                missing.findings = tuple(
                    finding.at(pointer_to("ids", ids.index(row_id)))
                    for finding, row_id in zip(missing.findings, missing.ids, strict=True)
                )
                raise

        return idempotency.once(request, body, work, dry_run=dry_run)

    def operations(self) -> Mapping[str, Operation]:
        it = self.resource
        after = {
            "delete": "They can be restored.",
            "restore": "Those that are not deleted stay as they are.",
            "purge": "Only what is deleted already; there is no way back.",
        }[self.verb]
        return {
            "POST": Operation(
                id=f"{self.verb}_{it.path}".replace("-", "_"),
                tag=it.path,
                summary=f"{self.verb.capitalize()} many {it.words}s",
                description=f"All or nothing. {after}",
                request=Ids,
                request_example={"ids": [1, 2]},
                answers={200: Answer("Done, for all of them.", Ids, {"ids": [1, 2]})},
                headers=("Idempotency-Key",),
                problems=(404, 409),
            )
        }
