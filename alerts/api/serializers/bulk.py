"""Many objects by their ids."""

from __future__ import annotations

from rest_framework import serializers

from alerts.actions.bulk_rules import MOST_RULES
from alerts.api.serializers.fields import Id, Many, StrictSerializer, Text
from alerts.api.serializers.rules import AlertRuleCreate


class Ids(StrictSerializer):
    """Objects of one kind."""

    ids = Many(Id(), min_length=1, help_text="At most 1,000.")


class AlertRuleInBulk(AlertRuleCreate):
    """A rule as written, or begun as a copy of a template; known by its external id."""

    external_id = Text(max_length=255, help_text="The rule that has it is written anew; without one it is made.")


class AlertRules(StrictSerializer):
    """Many rules, each with another external id."""

    rules = Many(AlertRuleInBulk(), min_length=1, max_length=MOST_RULES)


class AlertRulesWritten(serializers.Serializer):
    """What became of them."""

    created = serializers.IntegerField(min_value=0)
    updated = serializers.IntegerField(min_value=0)
    unchanged = serializers.IntegerField(min_value=0, help_text="They were so already, and keep their version.")
    ids = serializers.ListField(
        child=serializers.IntegerField(allow_null=True),
        help_text="In the order of the request. null only in the answer to a dry run.",
    )
