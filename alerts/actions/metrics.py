"""Which metrics a rule's query reads, noted beside the rule: so a recording finds its readers by index."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from alerts.actions.storing import store_new
from alerts.domain.errors import PolicyError
from alerts.domain.layers import Variable
from alerts.domain.promql.expression import parse
from alerts.domain.promql.metrics import ANY, metrics_read
from alerts.domain.templating import render_query
from alerts.domain.variables import variables_from_json
from alerts.models import METRIC_LENGTH, AlertRule, RuleMetric

# Two values for each: a query that reads other metrics with the other one may read any.
STAND_INS = {
    "number": (1, 2),
    "duration": ("5m", "10m"),
    "string": ("a", "b"),
    "regex": ("a", "b"),
    "bool": (True, False),
}


def metrics_of(query: str, variables: Sequence[Variable]) -> frozenset[str]:
    """The names a valid query template reads, whatever its values; ``*`` when a value decides.

    A selector without a name, or with a regex for one, is judged by nobody and counts for nothing here.
    """
    if not variables:
        return metrics_read(parse(query)) - {ANY}
    first, second = (
        metrics_read(parse(render_query(query, [_standing_in(variable, place) for variable in variables], {})))
        for place in (0, 1)
    )
    return (first & second) - {ANY} | (frozenset((ANY,)) if first != second else frozenset())


def _standing_in(variable: Variable, place: int) -> Variable:
    if variable.type == "enum":
        return replace(variable, default=variable.values[-place])
    return replace(variable, default=STAND_INS[variable.type][place], min=None, max=None)


def noted_of(rule: AlertRule) -> frozenset[str]:
    """What is noted of this rule. One without a query reads nothing of its own, as does one that cannot be read."""
    if rule.query_template is None:
        return frozenset()
    try:
        found = metrics_of(rule.query_template, variables_from_json(rule.variables))
    except PolicyError:
        return frozenset()
    return frozenset(name[:METRIC_LENGTH] for name in found)


def note(found: Mapping[int, Collection[str]]) -> None:
    """What rules read, by their ids, of which nothing is noted yet; after they were stored."""
    store_new([RuleMetric(rule_id=rule_id, metric=name) for rule_id, names in found.items() for name in sorted(names)])


def note_again(found: Mapping[int, Collection[str]]) -> None:
    """Of rules whose query reads something else than before."""
    RuleMetric.objects.filter(rule__id__among=found).delete()
    note(found)
