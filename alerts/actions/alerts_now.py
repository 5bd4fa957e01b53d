"""What is pending and firing now, by target, and which layer each alert comes from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from alerts.actions import policy, servers
from alerts.actions.delivery import briefly, prometheus
from alerts.adapters.prometheus import PrometheusError
from alerts.adapters.server_spec import ServerSpec
from alerts.domain.compiled import CompiledRule, KeyPlan
from alerts.models import Membership

MOST_AT_ONCE = 32
NAMED = 10
"""Servers in one sentence."""
FIRST = {"firing": 0, "pending": 1}


@dataclass(frozen=True)
class AlertNow:
    """One alert as Prometheus words it. ``scope`` and ``rule_id`` are the winning layer's, None when no rule of the
    policy as it is now would raise it."""

    name: str
    state: str
    severity: str
    since: str
    value: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    key: str | None = None
    scope: str | None = None
    rule_id: int | None = None


@dataclass(frozen=True)
class AlertsNow:
    """``elsewhere`` carry no target label. ``unavailable`` says why nothing is known; of the servers that are
    ``not_asked``, since they have agents, nothing is known here."""

    by_target: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    elsewhere: list[dict[str, Any]] = field(default_factory=list)
    unavailable: str = ""
    not_asked: tuple[str, ...] = ()

    @property
    def partial(self) -> str:
        """Whose alerts are left out, in a sentence; empty when nobody's are."""
        if not self.not_asked:
            return ""
        names, more = ", ".join(self.not_asked[:NAMED]), len(self.not_asked[NAMED:])
        names += f" and {more} more" if more else ""
        whose = "its agent's" if len(self.not_asked) == 1 else "their agents'"
        return f"Alerts of {names} are not shown: {whose} Prometheus is not asked from here."

    def count(self, state: str) -> int:
        found = [alert for alerts in (*self.by_target.values(), self.elsewhere) for alert in alerts]
        return sum(alert["state"] == state for alert in found)

    def hosts(self, state: str) -> list[str]:
        """The targets with an alert in this state."""
        return [host for host, alerts in self.by_target.items() if any(alert["state"] == state for alert in alerts)]


def ask(among: Sequence[ServerSpec] | None = None) -> AlertsNow:
    """Asks the servers (None: all enabled ones), briefly and at once: a page must not wait for one that is down.

    Not those with an agent: it is beside them because we need not reach them.
    """
    found = servers.enabled() if among is None else among
    if not found:
        return AlertsNow(unavailable="no enabled Prometheus server holds this")
    not_asked = tuple(spec.name for spec in found if spec.delivery == "agent")
    asked = [spec for spec in found if spec.delivery != "agent"]
    if not asked:
        return AlertsNow(not_asked=not_asked)
    with ThreadPoolExecutor(max_workers=min(len(asked), MOST_AT_ONCE)) as pool:
        answers = list(pool.map(_alerts_of, asked))
    by_target: dict[str, list[dict[str, Any]]] = {}
    elsewhere: list[dict[str, Any]] = []
    for alert in (alert for alerts, _ in answers for alert in alerts):
        host = alert.get("labels", {}).get(settings.TARGET_LABEL)
        (elsewhere if host is None else by_target.setdefault(host, [])).append(alert)
    return AlertsNow(by_target, elsewhere, "; ".join(problem for _, problem in answers if problem), not_asked)


def _alerts_of(spec: ServerSpec) -> tuple[list[dict[str, Any]], str]:
    """A server's alerts, or why they are not known."""
    try:
        return prometheus(briefly(spec)).alerts(), ""
    except PrometheusError as error:
        return [], str(error)


def explained(now: AlertsNow, hosts: Collection[str]) -> dict[str, list[AlertNow]]:
    """The alerts of these targets with their winning layers, firing ones first."""
    known = [host for host in hosts if host in now.by_target]
    places = _positions(known)
    return {host: _sorted(now.by_target[host], places.get(host, {})) for host in known}


def without_target(now: AlertsNow) -> list[AlertNow]:
    return _sorted(now.elsewhere, {})


def _sorted(alerts: list[dict[str, Any]], position: Mapping[str, str]) -> list[AlertNow]:
    found = [_explain(alert, position) for alert in alerts]
    return sorted(found, key=lambda alert: (FIRST.get(alert.state, 2), alert.name, alert.since))


def _positions(hosts: Collection[str]) -> dict[str, dict[str, str]]:
    places: dict[str, dict[str, str]] = {host: {settings.TARGET_LABEL: host} for host in hosts}
    rows = Membership.objects.filter(target__hostname__in=hosts, target__deleted_at__isnull=True)
    for host, label, value in rows.values_list("target__hostname", "namespace__label", "group__label_value"):
        places[host][label] = value
    return places


def _explain(alert: Mapping[str, Any], position: Mapping[str, str]) -> AlertNow:
    labels = alert.get("labels", {})
    found = _rule(labels)
    key = scope = rule_id = None
    if found is not None:
        plan, rule = found
        key, scope = rule.key, rule.scope.text
        chain = plan.chain(position) if position else ()
        if chain:
            strongest = plan.layers[chain[0]]
            scope, rule_id = strongest.scope.text, strongest.rule_id
    return AlertNow(
        name=labels.get("alertname", ""),
        state=alert.get("state", ""),
        severity=labels.get("severity", ""),
        since=alert.get("activeAt", ""),
        value=alert.get("value", ""),
        labels=labels,
        annotations=alert.get("annotations", {}),
        key=key,
        scope=scope,
        rule_id=rule_id,
    )


def _rule(labels: Mapping[str, str]) -> tuple[KeyPlan, CompiledRule] | None:
    """No two rules share a name and static labels; of those that fit, the one that says most is meant."""
    fitting = [
        (plan, rule)
        for plan, rule in _rules_by_name().get(labels.get("alertname", ""), ())
        if all(labels.get(name) == value for name, value in rule.labels if "{{" not in value)
    ]
    return max(fitting, key=lambda pair: len(pair[1].labels), default=None)


_index: tuple[object, dict[str, list[tuple[KeyPlan, CompiledRule]]]] = (None, {})


def _rules_by_name() -> dict[str, list[tuple[KeyPlan, CompiledRule]]]:
    global _index
    compiled = policy.current().compiled
    if _index[0] is not compiled:
        by_name: dict[str, list[tuple[KeyPlan, CompiledRule]]] = {}
        for plan in compiled.plans.values():
            for rule in plan.rules if plan.key_id[0] == "alerting" else ():
                by_name.setdefault(rule.name, []).append((plan, rule))
        _index = (compiled, by_name)
    return _index[1]
