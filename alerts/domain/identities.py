"""What alerts of different keys do to each other (DESIGN 4, *Identity*).

Alertmanager knows an alert by its name and labels alone. Where two keys yield the same, one that lets go is sent as
resolved for a quarter of an hour while the other one fires: Alertmanager's view changes all that time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from alerts.domain.compiled import CompiledRule, KeyPlan
from alerts.domain.errors import Finding


def clashes(plans: Iterable[KeyPlan], others: Iterable[KeyPlan]) -> Iterator[Finding]:
    """One finding for each of ``plans`` and each key among ``others`` (they may be there, too) that it clashes with."""
    taken: dict[object, list[tuple[KeyPlan, CompiledRule]]] = {}
    for plan in others:
        for rule in plan.rules if plan.key_id[0] == "alerting" else ():
            taken.setdefault(rule.identity, []).append((plan, rule))
    for plan in plans:
        told: set[object] = set()
        for rule in plan.rules:
            for other, theirs in taken.get(rule.identity, ()):
                if other.key_id != plan.key_id and other.key_id not in told:
                    told.add(other.key_id)
                    yield _finding(plan, rule, other, theirs)


def _finding(plan: KeyPlan, rule: CompiledRule, other: KeyPlan, theirs: CompiledRule) -> Finding:
    source = other.layers[0]
    return Finding(
        "identity_taken",
        f"{rule.name!r} at {rule.scope} has the name and labels of the alert of key {theirs.key!r} at {theirs.scope} "
        f"(rule {source.rule_id}), so Alertmanager could not tell them apart",
        pointer="/name",
        hint="give one of them another name, or a label that tells them apart; or write both under one key",
        key=plan.key_id[1],
        rule_id=plan.layers[0].rule_id,
    )
