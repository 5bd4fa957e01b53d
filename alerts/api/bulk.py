"""Many rules as JSON says them: the body of a request, or a file."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import ValidationError

from alerts.actions import bulk_rules
from alerts.api.errors import serializer_entries
from alerts.api.serializers.bulk import AlertRuleInBulk, AlertRules
from alerts.domain.errors import Finding


def read(body: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[int, list[Finding]]]:
    """What was said of each rule, and what is wrong with the shape of some.

    ValidationError when it is no list of rules, InvalidPolicy when it is too long a one.
    """
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
