"""What keys do to each other: rules that read recorded series (or ALERTS) which lack a label their region constrains.

Such a rule would match nothing, or too much where the condition is negative, so it is refused, naming the recording
(DESIGN 4).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from alerts.domain.compiled import CompiledRule, KeyPlan
from alerts.domain.errors import Finding
from alerts.domain.layers import KeyId
from alerts.domain.promql.expression import parse
from alerts.domain.promql.fate import output_has_label

ALERT_SERIES = frozenset(("ALERTS", "ALERTS_FOR_STATE"))


def problems(plans: Mapping[KeyId, KeyPlan]) -> dict[KeyId, tuple[Finding, ...]]:
    """The findings of every reader that a recording (or an alert) of another key leaves without a label."""
    return dict(problems_of(plans.values(), plans.values()))


def problems_of(readers: Iterable[KeyPlan], writers: Iterable[KeyPlan]) -> Iterator[tuple[KeyId, tuple[Finding, ...]]]:
    """The same for some readers and all the rules that write what they may read."""
    recorded: dict[str, list[KeyPlan]] = {}
    alerting: list[KeyPlan] = []
    for plan in writers:
        if plan.key_id[0] == "recording":
            for name in {rule.name for rule in plan.rules}:
                recorded.setdefault(name, []).append(plan)
        else:
            alerting.append(plan)
    for reader in readers:
        if not reader.rules or not (reader.reads & recorded.keys() or reader.reads & ALERT_SERIES):
            continue
        findings = tuple(dict.fromkeys(_findings(reader, recorded, alerting)))
        if findings:
            yield reader.key_id, findings


def _findings(reader: KeyPlan, recorded: Mapping[str, list[KeyPlan]], alerting: list[KeyPlan]) -> Iterator[Finding]:
    for rule in reader.rules:
        for branch in rule.branches:
            labels = [label for label, _ in branch.region.conditions]
            if not labels:
                continue
            for selector in parse(branch.query).selectors:
                if selector.name is None or selector.name in branch.unscoped:
                    continue
                if selector.name in ALERT_SERIES:
                    wanted = [matcher for matcher in selector.matchers if matcher.label == "alertname"]
                    sources = [
                        (plan, source)
                        for plan in alerting
                        if wanted
                        for source in plan.rules
                        if all(matcher.accepts(source.name) for matcher in wanted)
                    ]
                else:
                    sources = [
                        (plan, source)
                        for plan in recorded.get(selector.name, ())
                        for source in plan.rules
                        if source.name == selector.name
                    ]
                for plan, source in sources:
                    for label in labels:
                        if lacks(source, label):
                            yield _finding(reader, rule, plan, selector.name, label)


def lacks(source: CompiledRule, label: str) -> bool:
    """Whether series that ``source`` writes surely come without ``label``."""
    if any(name == label for name, _ in source.labels):
        return False
    return any(output_has_label(parse(branch.query), label, branch.unscoped) is False for branch in source.branches)


def _finding(reader: KeyPlan, rule: CompiledRule, writer: KeyPlan, series: str, label: str) -> Finding:
    source = writer.layers[0]
    return Finding(
        "recording_lacks_label",
        f"{rule.name!r} at {rule.scope} reads {series!r}, which {writer.key_id[0]} rule {writer.key_id[1]!r} "
        f"(rule {source.rule_id}) writes without the label {label!r} that the rule's region constrains",
        pointer="/query_template",
        hint=f"keep {label!r} in the grouping of {writer.key_id[1]!r}, or list {series!r} in `unscoped`",
        key=reader.key_id[1],
        rule_id=reader.layers[0].rule_id,
    )
