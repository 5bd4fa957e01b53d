"""What `effective` and the exporter's values say Prometheus must hold, and whether it does.

Three witnesses must agree for every target: the naive oracle with each query's meaning in Python, the effective
expression as Prometheus' query API evaluates it, and the alerts that Prometheus holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import PurePosixPath
from typing import Any

from alerts.actions import effective, policy
from alerts.actions.effective import Place
from alerts.domain.layers import KeyId
from tests.domain.oracle import OTHER as UNHEARD_OF
from tests.domain.oracle import Oracle, Rule, domains, scope_label
from tests.promise.fleet import NAMESPACES, Labels, Sample, Watched, labels
from tests.promise.plane import Plane
from tests.promise.queries import MEANINGS, RECORDED, Query, meanings, recorded
from tests.promise.sites import Site
from tests.servers.processes import eventually

SCOPE = "policy_scope"
Json = dict[str, Any]


def alert_labels(alert: Mapping[str, Any]) -> Labels:
    return frozenset(alert["labels"].items())


class Predictions:
    """Everything the policy in force says, looked up once; compare as often as Prometheus needs.

    ``site``: what it says for this one of several servers.
    """

    def __init__(self, plane: Plane, also: Iterable[Query] = (), site: Site | None = None) -> None:
        self.plane = plane
        self.site = site
        self.prometheus = site.prometheus if site else plane.prometheus
        self.meanings = {**MEANINGS, **meanings(also)}
        self.policy = policy.load()  # not the copy that effective is told from
        self.oracle = Oracle(self.policy)
        self._loaded = policy.current().loaded
        self.rules = {host: self._rules_at(one) for host, one in plane.watched.items()}
        self.everywhere = self._union()
        self._together: dict[tuple[Any, ...], tuple[str, list[Sample]]] = {}
        self.by_host = {host: self._by_values(one, self.rules[host]) for host, one in plane.watched.items()}

    # -- what is said --------------------------------------------------------------------------------------------------

    def _rules_at(self, one: Watched) -> list[Json]:
        """By API for targets; for series that no target has, the same action at their labels."""
        if one.known:
            told = self.plane.effective(one.host, self.site)
            assert labels(**told["position"]) == labels(**one.own)
        else:
            told = self._told_at(one.own)
        found: list[Json] = told["rules"]
        assert self._is_held(one.own) or not found, f"{one.own} is not held, but in force is {found}"
        keys = [(rule["kind"], rule["key"]) for rule in found]
        assert len(keys) == len(set(keys)), f"two rules of one key at {one.own}"
        return found

    def _told_at(self, position: Mapping[str, str]) -> Json:
        place = Place(None, dict(position), self._loaded)
        return effective.effective(place, server=self.site.name if self.site else None)

    def _is_held(self, position: Mapping[str, str]) -> bool:
        return self.site is None or self.site.holds(self.policy.topology, position)

    def _union(self) -> dict[tuple[Any, ...], dict[str, Json]]:
        """The rules of all positions, by place and identity, then by expression. Layers' scopes give the positions."""
        found: dict[tuple[Any, ...], dict[str, Json]] = {}
        known = domains(self.policy)
        selected = {self._label(name) for name in self.site.selector} if self.site else set()
        positions: set[tuple[str, ...]] = set()
        for layers in self.oracle.keys.values():
            tested = {scope_label(self.policy.topology, layer.scope) or "target" for layer in layers}
            tested |= {self._label(name) for layer in layers for name in layer.partition_by} | selected
            # One host of each kind is enough: those with rules of their own, and one that nobody mentions.
            hosts = {layer.scope.value for layer in layers if layer.scope.level == "target"} | {UNHEARD_OF}
            values = {label: known[label] for label in sorted(tested) if label != "target"} | {"target": sorted(hosts)}
            for combination in product(*values.values()):
                position = dict.fromkeys((*NAMESPACES, "target"), "") | dict(zip(values, combination, strict=True))
                positions.add(tuple(position.values()))
        for position_values in sorted(positions):
            position = dict(zip((*NAMESPACES, "target"), position_values, strict=True))
            rules = self._told_at(position)["rules"] if self._is_held(position) else ()
            for rule in rules:
                found.setdefault(self._place_of(rule), {})[rule["expr"]] = rule
        for rules in self.rules.values():
            for rule in rules:
                assert rule["expr"] in found.get(self._place_of(rule), ()), f"only at a target: {rule}"
        return found

    def _label(self, namespace: str) -> str:
        return next(ns.label for ns in self.policy.topology.namespaces if ns.name == namespace)

    @staticmethod
    def _place_of(rule: Json) -> tuple[Any, ...]:
        return (rule["file"], rule["group"], rule["kind"], rule["name"], frozenset(rule["labels"].items()))

    # -- what the values make of it ------------------------------------------------------------------------------------

    def _by_values(self, one: Watched, rules: list[Json]) -> tuple[Counter[Labels], Counter[Labels]]:
        """(alerts, recorded series) of one target, by the oracle's fold and the meaning of its queries."""
        position = {name: value if self._is_known(name, value) else UNHEARD_OF for name, value in one.own.items()}
        told = {(rule["kind"], rule["key"]): rule for rule in rules}
        samples = list(one.samples())
        alerts: Counter[Labels] = Counter()
        series: Counter[Labels] = Counter()
        for key_id in sorted(self.oracle.keys, reverse=True) if self._is_held(position) else ():  # recordings first
            expected, found = self.oracle.rule(key_id, position), told.get(key_id)
            if expected is None:
                assert found is None, f"muted or never written, but effective at {one.own}: {found}"
                continue
            static = self._compared(key_id, expected, found, one)
            if key_id[0] == "recording":
                assert static is not None, f"{expected} should be effective at {one.own}"
                own, value = recorded(samples, expected.query)
                final = _final(own, static)
                samples.append((RECORDED, final, value))
                series[final] += 1
            elif self._is_aggregated({"alertname": expected.name}):
                if found is not None:
                    branch = (*self._place_of(found), found["expr"])
                    self._together.setdefault(branch, (expected.query, []))[1].extend(one.samples())
            else:
                meaning, threshold = self.meanings[expected.query]
                results = meaning(samples, threshold)
                assert static is not None or not results, f"nothing is effective at {one.own}, but {expected} applies"
                for own in results:
                    alerts[_final(own, {**(static or {}), "alertname": expected.name})] += 1
        return alerts, series

    def _is_known(self, label: str, value: str) -> bool:
        return value in domains(self.policy)[label]

    @staticmethod
    def _compared(key_id: KeyId, expected: Rule, found: Json | None, one: Watched) -> dict[str, str] | None:
        """The static labels `effective` tells, once it agrees with the oracle. None: the query itself excludes it."""
        if found is None:
            return None
        own = [label for label in found["labels"] if label not in (SCOPE, *NAMESPACES)]
        assert {label: found["labels"][label] for label in own} == dict(expected.labels), (key_id, one.own)
        for field in ("name", "for_duration", "keep_firing_for", "interval"):
            assert found[field] == getattr(expected, field), (key_id, field, one.own)
        assert found["annotations"] == dict(expected.annotations), (key_id, one.own)
        return dict(found["labels"])

    # -- what Prometheus holds -----------------------------------------------------------------------------------------

    def differences(self) -> list[str]:
        """Everything that is not as said, in words; [] is the promise kept."""
        return [*self._rule_differences(), *self._alert_differences(), *self._series_differences()]

    def _rule_differences(self) -> list[str]:
        loaded: Counter[tuple[Any, ...]] = Counter()
        found = []
        for group in self.prometheus.rules():
            for rule in group["rules"]:
                own = frozenset(rule.get("labels", {}).items())
                place = (PurePosixPath(group["file"]).name, group["name"], rule["type"], rule["name"], own)
                loaded[place] += 1
                if rule["health"] != "ok":
                    found.append(f"not evaluated: {rule['name']} is {rule['health']}: {rule.get('lastError')}")
        return found + _compare("loaded rule", Counter(dict.fromkeys(self.everywhere, 1)), loaded)

    def _alert_differences(self) -> list[str]:
        held: dict[str, Counter[Labels]] = {host: Counter() for host in self.plane.watched}
        together: Counter[Labels] = Counter()
        for alert in self.prometheus.alerts():
            host = alert["labels"].get("target", "")
            if self._is_aggregated(alert["labels"]):
                together[alert_labels(alert)] += 1
            elif host in held:
                held[host][alert_labels(alert)] += 1
            else:
                return [f"an alert of a target that is not there: {alert['labels']}"]
        found = []
        queried = self._by_queries()
        for host in self.plane.watched:
            found += _compare(f"alert of {host!r} by value", self.by_host[host][0], held[host])
            found += _compare(f"alert of {host!r} by query", queried[host], held[host])
        found += _compare("alert of many by value", self._aggregated(by_value=True), together)
        return found + _compare("alert of many by query", self._aggregated(by_value=False), together)

    @staticmethod
    def _is_aggregated(labels: Mapping[str, str]) -> bool:
        return labels["alertname"].startswith("Fleet")

    def _by_queries(self) -> dict[str, Counter[Labels]]:
        """Each effective expression by the query API, its results for that target alone, under the effective labels."""
        answers: dict[str, list[Json]] = {}
        found: dict[str, Counter[Labels]] = {}
        for host, rules in self.rules.items():
            counted: Counter[Labels] = Counter()
            for rule in rules:
                if rule["kind"] == "recording" or self._is_aggregated({"alertname": rule["name"]}):
                    continue
                if rule["expr"] not in answers:
                    answers[rule["expr"]] = self.prometheus.query(rule["expr"])
                for result in answers[rule["expr"]]:
                    if result["metric"].get("target", "") == host:
                        own = frozenset(result["metric"].items())
                        counted[_final(own, {**rule["labels"], "alertname": rule["name"]})] += 1
            found[host] = counted
        return found

    def _aggregated(self, by_value: bool) -> Counter[Labels]:
        """The alerts about many targets. By value: each branch counts exactly the targets it is effective for."""
        found: set[Labels] = set()
        for place, branches in self.everywhere.items():
            for expr, rule in branches.items():
                if rule["kind"] == "recording" or not self._is_aggregated({"alertname": rule["name"]}):
                    continue
                if by_value and (*place, expr) in self._together:
                    query, samples = self._together[*place, expr]
                    meaning, threshold = self.meanings[query]
                    results = meaning(samples, threshold)
                else:  # nobody watched is there
                    results = {frozenset(result["metric"].items()) for result in self.prometheus.query(expr)}
                found |= {_final(own, {**rule["labels"], "alertname": rule["name"]}) for own in results}
        return Counter(found)

    def _series_differences(self) -> list[str]:
        held = Counter(
            frozenset(pair for pair in result["metric"].items() if pair[0] != "__name__")
            for result in self.prometheus.query(RECORDED)
        )
        expected: Counter[Labels] = Counter()
        for _, series in self.by_host.values():
            expected += series
        return _compare("recorded series", expected, held)

    def assert_kept(self, what: str, timeout: float = 20) -> None:
        """Prometheus comes to hold exactly this, and still does after another evaluation."""

        def kept() -> bool:
            differences = self.differences()
            assert not differences, f"{what}:\n  " + "\n  ".join(differences[:12])
            return True

        eventually(kept, timeout=timeout, every=0.4, what=f"agreement ({what})")  # each look is hundreds of queries
        self.prometheus.wait_for_evaluation()
        kept()


def _final(own: Iterable[tuple[str, str]], static: Mapping[str, str]) -> Labels:
    """A result's labels under a rule's: the name goes, the rule's labels win, an empty one is none."""
    found = {name: value for name, value in own if name != "__name__"} | dict(static)
    return frozenset((name, value) for name, value in found.items() if value)


def _compare(what: str, expected: Counter[Any], held: Counter[Any]) -> list[str]:
    missing, extra = expected - held, held - expected
    return [
        *(f"{what}: missing {_shown(one)}" for one in missing),
        *(f"{what}: not predicted {_shown(one)}" for one in extra),
    ]


def _shown(one: Any) -> str:
    return str(sorted(one)) if isinstance(one, frozenset) else str(one)
