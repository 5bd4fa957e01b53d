"""Which recorded series come without a label.

A server that is held to a label must not ask for it where the recording, made on that very server, has dropped it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from alerts.domain.compiled import CompiledRule, KeyPlan
from alerts.domain.layers import KeyId
from alerts.domain.promql.expression import parse
from alerts.domain.promql.fate import output_has_label
from alerts.domain.promql.metrics import metrics_read
from alerts.domain.recordings import ALERT_SERIES


class Unlabelled:
    """For some labels, the series that a policy records and that do not surely carry them.

    Series made of such series (or of ALERTS) are among them, however long the chain. ``kept``: rules in force beside
    the compiled ones. What ``previous`` found out about plans that are still there is not asked again. ``written``:
    whether a label that a rule itself writes counts; not where labels are to tell where a series came from.
    """

    def __init__(
        self,
        plans: Mapping[KeyId, KeyPlan],
        labels: Collection[str],
        kept: Iterable[CompiledRule] = (),
        previous: Unlabelled | None = None,
        *,
        written: bool = True,
    ) -> None:
        self.written = written
        self.labels = frozenset(labels)
        known = previous._own if previous is not None and previous.labels == self.labels else {}
        self._own: dict[KeyPlan, frozenset[tuple[str, str]]] = {}
        for key_id, plan in plans.items():
            if key_id[0] == "recording":
                own = known.get(plan)
                self._own[plan] = self._of(plan.rules) if own is None else own
        kept = [rule for rule in kept if rule.kind == "recording"]
        self._by_label = {label: frozenset[str]() for label in self.labels}
        if self._own or kept:
            self._by_label = self._closed(kept)
        self.names = frozenset(ALERT_SERIES).union(*self._by_label.values())

    def of(self, label: str) -> frozenset[str]:
        """The series that may come without ``label``, ALERTS among them: what they carry depends on who asks."""
        return self._by_label[label] | ALERT_SERIES

    def differing(self, other: Unlabelled) -> frozenset[str]:
        """The series of which both (for the same labels) do not say the same."""
        return frozenset[str]().union(*(names ^ other._by_label[label] for label, names in self._by_label.items()))

    def _of(self, rules: Iterable[CompiledRule]) -> frozenset[tuple[str, str]]:
        return frozenset(
            (label, rule.name) for label in self.labels for rule in rules if not self.carries(rule, label, ALERT_SERIES)
        )

    def _closed(self, kept: list[CompiledRule]) -> dict[str, frozenset[str]]:
        found: dict[str, set[str]] = {label: set() for label in self.labels}
        for own in (*self._own.values(), self._of(kept)):
            for label, name in own:
                found[label].add(name)
        for label, lacking in found.items():
            new = set(lacking)
            while new:
                readers = [rule for plan in self._own if not new.isdisjoint(plan.reads) for rule in plan.rules]
                new = {
                    rule.name
                    for rule in (*readers, *kept)
                    if rule.name not in lacking and not self.carries(rule, label, lacking)
                }
                lacking |= new
        return {label: frozenset(names) for label, names in found.items()}

    def carries(self, source: CompiledRule, label: str, lacking: Collection[str] = ()) -> bool:
        """Whether series that ``source`` writes surely come with ``label``; those in ``lacking`` may be without it."""
        if any(name == label for name, _ in source.labels):
            return self.written
        for branch in source.branches:
            expression = parse(branch.query)
            unsure = {*branch.unscoped, *metrics_read(expression).intersection(lacking)}
            if output_has_label(expression, label, unsure) is not True:
                return False
        return True
