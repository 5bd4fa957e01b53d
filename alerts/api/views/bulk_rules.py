"""Many alert rules at once, created or written anew by their external ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from alerts.actions import bulk_rules
from alerts.api import idempotency, parsers
from alerts.api.errors import serializer_entries
from alerts.api.examples import EXAMPLES
from alerts.api.openapi import Answer, Operation
from alerts.api.query import DRY_RUN
from alerts.api.serializers.bulk import AlertRuleInBulk, AlertRules, AlertRulesWritten
from alerts.api.views.base import ApiView
from alerts.domain.errors import Finding


class BulkRules(ApiView):
    """All or nothing, and everything that is wrong in one list."""

    parameters = {"POST": (DRY_RUN,)}

    def post(self, request: Request) -> Response:
        body = parsers.read_object(request._request, limit=parsers.MAX_BULK_BODY)
        dry_run = self.query["dry_run"]

        def work() -> Response:
            items, faults = _judged(body)
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


def _judged(body: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[int, list[Finding]]]:
    """What was said of each rule, and what is wrong with the shape of some."""
    rules = body.get("rules")
    if body.keys() != {"rules"} or not isinstance(rules, list) or not rules:
        few = {"rules": rules[:1]} if isinstance(rules, list) else {}  # the others are judged below, and cheaper
        AlertRules(data={**body, **few}).is_valid(raise_exception=True)
    bulk_rules.check_count(len(rules or ()))
    one = AlertRuleInBulk()
    writable = {name for name, field in one.fields.items() if not field.read_only}
    items: list[dict[str, Any]] = []
    faults: dict[int, list[Finding]] = {}
    for place, rule in enumerate(rules or ()):
        try:
            values = one.run_validation(rule)
            # What was not said is no word against a template.
            items.append({name: value for name, value in values.items() if name in rule and name in writable})
        except ValidationError as refused:
            said = rule if isinstance(rule, dict) else {}
            items.append({name: said[name] for name in bulk_rules.NAMING if name in said})
            faults[place] = [
                Finding(entry["code"], entry["message"], entry["pointer"])
                for entry in serializer_entries(refused.detail)
            ]
    return items, faults
