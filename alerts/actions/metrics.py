"""Which metrics a rule's query reads, noted beside the rule: so a recording finds its readers by index."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from django.db.models import QuerySet

from alerts.domain.layers import Variable
from alerts.domain.promql.expression import parse
from alerts.domain.promql.metrics import metrics_read
from alerts.domain.templating import render_query
from alerts.domain.variables import variables_from_json
from alerts.models import METRIC_LENGTH, AlertRule, RuleMetric

ANY = "*"
# Two values for each: a query that reads other metrics with the other one may read any.
STAND_INS = {
    "number": (1, 2),
    "duration": ("5m", "10m"),
    "string": ("a", "b"),
    "regex": ("a", "b"),
    "bool": (True, False),
}


def metrics_of(query: str, variables: Sequence[Variable]) -> frozenset[str]:
    """The names a valid query template reads, whatever its values; ``*`` when a value or a regex decides."""
    first, second = (
        metrics_read(parse(render_query(query, [_standing_in(variable, place) for variable in variables], {})))
        for place in (0, 1)
    )
    return first if first == second else (first & second) | {ANY}


def _standing_in(variable: Variable, place: int) -> Variable:
    if variable.type == "enum":
        return replace(variable, default=variable.values[-place])
    return replace(variable, default=STAND_INS[variable.type][place], min=None, max=None)


def note_metrics(rule: AlertRule) -> None:
    """After the rule was stored. A rule without a query reads nothing of its own."""
    RuleMetric.objects.filter(rule=rule).delete()
    if rule.query_template is not None:
        found = metrics_of(rule.query_template, variables_from_json(rule.variables))
        RuleMetric.objects.bulk_create(
            RuleMetric(rule=rule, metric=name) for name in sorted({name[:METRIC_LENGTH] for name in found})
        )


def readers(metrics: Collection[str]) -> QuerySet[AlertRule]:
    """The living rules whose own query may read one of these metrics."""
    names = {ANY, *(name[:METRIC_LENGTH] for name in metrics)}
    return AlertRule.objects.living().filter(pk__in=RuleMetric.objects.filter(metric__in=names).values("rule_id"))
