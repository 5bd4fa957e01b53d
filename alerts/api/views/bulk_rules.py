"""Many alert rules at once, created or written anew by their external ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from rest_framework.request import Request
from rest_framework.response import Response

from alerts.actions import bulk_rules
from alerts.api import bulk, idempotency, parsers
from alerts.api.examples import EXAMPLES
from alerts.api.openapi import Answer, Operation
from alerts.api.query import DRY_RUN
from alerts.api.serializers.bulk import AlertRules, AlertRulesWritten
from alerts.api.views.base import ApiView


class BulkRules(ApiView):
    """All or nothing, and everything that is wrong in one list."""

    parameters = {"POST": (DRY_RUN,)}

    def post(self, request: Request) -> Response:
        body = parsers.read_object(request._request, limit=parsers.MAX_BULK_BODY)
        dry_run = self.query["dry_run"]

        def work() -> Response:
            items, faults = bulk.read(body)
            return Response(asdict(bulk_rules.write_all(items, faults=faults, dry_run=dry_run)))

        return idempotency.once(request, body, work, dry_run=dry_run)

    def operations(self) -> Mapping[str, Operation]:
        return {
            "POST": Operation(
                id="write_alert_rules",
                tag="alert-rules",
                summary="Create or write anew many alert rules",
                description=(
                    "All or nothing. A rule is known by its `external_id`: without a living one it is made as by POST, "
                    "else written anew as by PUT. Validated, compiled and judged by promtool together: what counts is "
                    f"the state at the end. At most {bulk_rules.MOST_RULES:,} rules and 16 MiB."
                ),
                request=AlertRules,
                request_example={"rules": [{**EXAMPLES["alert-rule"]["request"], "external_id": "checkout-slow"}]},
                answers={
                    200: Answer(
                        "They are stored, or would be.",
                        AlertRulesWritten,
                        {"created": 1, "updated": 0, "unchanged": 0, "ids": [1]},
                    )
                },
                headers=("Idempotency-Key",),
                problems=(409,),
            )
        }
