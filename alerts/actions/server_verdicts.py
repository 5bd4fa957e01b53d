"""The server as the judge of its own rules: where promtool has no word, since it came with another version.

A Prometheus that refuses a reload does not say over which rule. It can be asked about each expression that is new to
it, and the keys that it objects to stay as last compiled, so that one broken key blocks no other (DESIGN 4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from alerts.actions import changes
from alerts.actions.wanted import WantedSet
from alerts.adapters.deliverer import Problem, problem
from alerts.adapters.prometheus import PROMETHEUS, Prometheus, PrometheusError
from alerts.adapters.promtool import Refusal

MOST_ASKED = 500
"""Expressions: a few seconds in all."""
CODE = "server_refused"


def refusals(server: Prometheus, before: Mapping[str, str], wanted: WantedSet) -> list[Refusal]:
    """What the server objects to in a set that it did not load; ``before``: the files that it has loaded."""
    try:
        if server.flavour() != PROMETHEUS:
            return []  # the others evaluate nothing for whoever asks
        plan = changes.plan_from(dict(before), wanted)
        fresh = {rule.expr for rule in (*plan.added, *(change.after for change in plan.changed))}
        if len(fresh) > MOST_ASKED:
            return []
        said = {expression: server.objection(expression) for expression in sorted(fresh)}
    except PrometheusError:
        return []
    objections = {expression: words for expression, words in said.items() if words is not None}
    return list(_placed(wanted, objections))


def _placed(wanted: WantedSet, objections: Mapping[str, str]) -> Iterator[Refusal]:
    """As promtool would say it: by file, group and rule."""
    for name, file in sorted(wanted.files.items()) if objections else ():
        for group in file.groups:
            for index, rule in enumerate(group.rules, 1):
                if rule.expr in objections:
                    yield Refusal(name, objections[rule.expr], group=group.name, rule_index=index, rule_name=rule.name)


def told(refusal: Refusal) -> Problem:
    hint = "use the promtool that came with this server: it would have said so before"
    place = {"file": refusal.file, "group": refusal.group, "rule": refusal.rule_name}
    return problem(CODE, f"the server cannot evaluate it: {refusal.message}", **place, hint=hint)
