"""For the agent beside a server, and for nobody else: its server's bundle, and its reports.

A deleted server's agent is told 410, a disabled one's 403; what it has loaded stays in place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response

from alerts.actions import bundle_waiting, bundles, tokens
from alerts.api import parsers
from alerts.api.examples import BUNDLE, REPORT
from alerts.api.openapi import Answer, Operation
from alerts.api.problems import ApiProblem
from alerts.api.query import Parameter
from alerts.api.serializers.agent import AgentReport
from alerts.api.views.base import ApiView
from alerts.models import PrometheusServer, Role

LONGEST_WAIT = 60
COME_BACK = {"Retry-After": "2"}
_TAG = re.compile(r'(?:W/)?"([0-9a-f]{64})"')
BUNDLE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["server", "release", "revision", "content_hash", "files"],
    "properties": {
        "server": {"type": "string"},
        "release": {"type": "integer"},
        "revision": {"type": "integer", "description": "The policy revision it stands for."},
        "content_hash": {"type": "string", "description": "Of the whole set; also its ETag."},
        "files": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Text by name."},
        "scope": {"type": "null", "description": "Kept for bundles of a part of the rules."},
    },
}
RECEIPT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["applied"],
    "properties": {
        "applied": {"type": "boolean", "description": "False: another release is offered by now; fetch that one."}
    },
}


class AgentView(ApiView):
    """The token says which server it is about."""

    roles = {"GET": Role.AGENT, "POST": Role.AGENT}

    def server(self, request: Request) -> str:
        return self._open(request.auth)

    def server_still(self, request: Request) -> str:
        """After a wait: meanwhile the token may have been revoked, or the server disabled."""
        token = tokens.authenticate_again(request.auth)  # type: ignore[arg-type]
        if token is None:
            raise AuthenticationFailed("the token is not valid")
        return self._open(token)

    def _open(self, token: Any) -> str:
        server: PrometheusServer = token.server
        if not server.living:
            raise ApiProblem(410, "server_deleted", f"the server {server.name} was deleted")
        if not server.enabled:
            raise ApiProblem(403, "server_disabled", f"the server {server.name} is disabled")
        if server.delivery != PrometheusServer.Delivery.AGENT:
            raise ApiProblem(403, "other_delivery", f"the server {server.name} is not fed by an agent any more")
        return server.name


class Bundle(AgentView):
    """The release that is offered, whole; ``?wait=`` for another one than ``If-None-Match`` names."""

    parameters = {
        "GET": (Parameter("wait", "seconds", "Seconds to wait at most.", minimum=0, maximum=LONGEST_WAIT, default=0),)
    }

    def get(self, request: Request) -> Response:
        server, known = self.server(request), _TAG.findall(request.META.get("HTTP_IF_NONE_MATCH", ""))
        has = known[-1] if known else None
        bundles.note_life(server)
        offer, waited = bundle_waiting.wait_for_other(server, has, self.query["wait"])
        if self.query["wait"]:
            server = self.server_still(request)
        busy = {} if waited else COME_BACK
        if offer is not None and offer.content_hash == has:
            return _unchanged(offer.content_hash, busy)
        bundle = bundles.bundle(server)
        if bundle is None:
            raise ApiProblem(404, "nothing_offered", f"nothing is offered to {server} yet", headers=COME_BACK)
        if bundle["content_hash"] == has:
            return _unchanged(bundle["content_hash"], busy)
        return Response(bundle, headers={"ETag": f'"{bundle["content_hash"]}"'})

    def operations(self) -> Mapping[str, Operation]:
        return {
            "GET": Operation(
                id="get_bundle",
                tag="agent",
                summary="The rule files an agent's server should hold",
                description="Only with the token of an agent. Nothing offered yet: 404 with `Retry-After`.",
                answers={
                    200: Answer("The whole set.", BUNDLE_SCHEMA, BUNDLE, ("ETag",)),
                    304: Answer("Still what you have. `Retry-After`: there was no room to wait.", headers=("ETag",)),
                },
                headers=("If-None-Match",),
                problems=(404, 410),
            )
        }


def _unchanged(content_hash: str, more: Mapping[str, str]) -> Response:
    return Response(status=304, headers={"ETag": f'"{content_hash}"', **more})


class Report(AgentView):
    """What became of a bundle."""

    def post(self, request: Request) -> Response:
        server = self.server(request)
        serializer = AgentReport(data=parsers.read_object(request._request))
        serializer.is_valid(raise_exception=True)
        return Response({"applied": bundles.report(server, serializer.validated_data)})

    def operations(self) -> Mapping[str, Operation]:
        return {
            "POST": Operation(
                id="report",
                tag="agent",
                summary="Report what became of a bundle",
                description="Only with the token of an agent. It may be sent again.",
                request=AgentReport,
                request_example=REPORT,
                answers={200: Answer("Noted.", RECEIPT_SCHEMA, {"applied": True})},
                problems=(410,),
            )
        }
