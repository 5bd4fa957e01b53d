"""What may be evaluated in pieces, and what a query's own matchers leave of a region (DESIGN 4).

Safety laws kept here:

- A query that is not distributive over a label is evaluated over its rule's whole scope, or refused: a narrower layer
  must not silently change what the broader rule counts.
- A recording is split over a label only when its output carries that label.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from alerts.domain.compiled import Pairs
from alerts.domain.diagram import Node, scope_condition
from alerts.domain.errors import Finding
from alerts.domain.layers import Kind, Layer, Topology
from alerts.domain.promql.distribution import not_distributive
from alerts.domain.promql.expression import Expression, parse
from alerts.domain.promql.fate import output_has_label
from alerts.domain.promql.matchers import contradicts
from alerts.domain.regions import Condition, Region
from alerts.domain.resolver import EffectiveRule


def labels_tested(root: object) -> tuple[str, ...]:
    """The labels by which a diagram tells positions apart."""
    found: dict[str, None] = {}
    pending, visited = [root], set()
    while pending:
        node = pending.pop()
        if isinstance(node, Node) and id(node) not in visited:
            visited.add(id(node))
            found[node.label] = None
            pending.extend({id(child): child for child in node.table.values()}.values())
            pending.append(node.rest)
    return tuple(sorted(found))


def why_whole(
    kind: Kind, rule: EffectiveRule, expression: Expression, label: str, determined_by: Collection[str]
) -> str | None:
    """Why ``rule`` must not be evaluated in pieces along ``label``; None when it may."""
    reason = not_distributive(expression, label, determined_by, rule.unscoped)
    if reason is None and kind == "recording" and output_has_label(expression, label, rule.unscoped) is not True:
        reason = f"the recorded series would not carry the label {label!r}"
    return reason


def may_be_cut(kind: Kind, rule: EffectiveRule, labels: Iterable[str], determined_by: Collection[str]) -> bool:
    """Whether pieces of this rule, told apart by ``labels``, may be split and united freely."""
    expression = parse(rule.expr)
    return all(why_whole(kind, rule, expression, label, determined_by) is None for label in labels)


def split_findings(
    topology: Topology,
    layers: Sequence[Layer],
    sources: Sequence[Layer],
    rule: EffectiveRule,
    regions: Sequence[Region],
    determined_by: Collection[str],
) -> list[Finding]:
    """Objections to evaluating ``rule``, made by ``sources`` (strongest first), over less than their scopes."""
    if rule.allow_split and sources[0].kind == "alerting":
        return []
    scopes = {scope_condition(topology, source.scope) for source in sources}
    cut = {
        label for region in regions for label, condition in region.conditions if (label, condition) not in scopes
    } - set(partition_labels(topology, rule))
    expression = parse(rule.expr)
    findings = []
    for label in sorted(cut):
        reason = why_whole(sources[0].kind, rule, expression, label, determined_by)
        if reason is None:
            continue
        cutters = [layer for layer in layers if layer not in sources and topology.label(layer.scope) == label]
        others = ", ".join(f"rule {layer.rule_id} at {layer.scope}" for layer in cutters[:5])
        findings.append(
            Finding(
                "would_split",
                f"{rule.name!r} at {sources[0].scope} (rule {sources[0].rule_id}) is evaluated over its whole scope: "
                f"{reason}; {others or 'another layer'} would change what it counts",
                hint="set partition_by or allow_split on the broader rule, or keep the label in its grouping",
                key=sources[0].key,
                rule_id=sources[0].rule_id,
            )
        )
    return findings


def scattered_findings(
    source: Layer, rule: EffectiveRule, regions: Sequence[Region], determined_by: Collection[str]
) -> list[Finding]:
    """Objections to joining ``regions`` of a rule that may be split: ``or`` would hide one piece behind another."""
    expression = parse(rule.expr)
    labels = sorted({label for region in regions for label in region.labels})
    free = [label for label in labels if why_whole(source.kind, rule, expression, label, determined_by) is None]
    for index, region in enumerate(regions):
        for other in regions[index + 1 :]:
            if not any(region.condition(label).intersect(other.condition(label)).is_empty for label in free):
                return [
                    Finding(
                        "would_split",
                        f"what is left of {rule.name!r} at {source.scope} (rule {source.rule_id}) are {len(regions)} "
                        f"separate regions, among them {region} and {other}; its query cannot tell them apart",
                        hint="let the narrower layers use labels of one namespace only",
                        key=source.key,
                        rule_id=source.rule_id,
                    )
                ]
    return []


def own_scope_findings(
    topology: Topology, owner: Layer, expression: Expression, unscoped: Collection[str]
) -> Iterator[Finding]:
    """A query that cannot be held to the scope it is written at, or whose own matchers exclude it."""
    scope = scope_condition(topology, owner.scope)
    if scope is None:
        return
    label, condition = scope
    scoped = [selector for selector in expression.selectors if selector.name not in unscoped]
    if not scoped:
        yield Finding(
            "no_selector",
            f"the query reads no series that could be held to the rule's scope {owner.scope}",
            pointer="/query_template",
            hint="select a metric that carries a position, or write the rule globally",
            key=owner.key,
            rule_id=owner.rule_id,
        )
    for selector in scoped:
        for matcher in selector.matchers:
            if matcher.label == label and contradicts(matcher, condition):
                yield Finding(
                    "scope_contradiction",
                    f"the matcher {matcher.text} contradicts the rule's scope {owner.scope}, which means "
                    f"{Region(((label, condition),)).text}",
                    pointer="/query_template",
                    hint="remove the matcher, or write the rule at the scope it speaks of",
                    offset=selector.start if expression.text == owner.query else None,
                    key=owner.key,
                    rule_id=owner.rule_id,
                )


def excluded_by_query(expression: Expression, region: Region, unscoped: Collection[str]) -> str | None:
    """The matcher by which every selector excludes ``region``, as text; None when something can match.

    One selector that can match keeps the piece: the others then yield nothing, as the author would expect.
    """
    conditions = dict(region.conditions)
    clash = None
    for selector in expression.selectors:
        found = None
        if selector.name not in unscoped:
            found = next(
                (
                    matcher.text
                    for matcher in selector.matchers
                    if matcher.label in conditions and contradicts(matcher, conditions[matcher.label])
                ),
                None,
            )
        if found is None:
            return None
        clash = clash or found
    return clash


def partition_labels(topology: Topology, rule: EffectiveRule) -> list[str]:
    """The labels of the namespaces that ``rule`` is partitioned by."""
    known = topology.namespace_by_name
    return [known[name].label for name in rule.partition_by if name in known]


def partitions(topology: Topology, rule: EffectiveRule, region: Region) -> Iterator[tuple[Region, Pairs]]:
    """A region cut by ``partition_by``: one part per known value, carrying it as a static label, and the remainder.

    The remainder (no group, or a value no group has) has no static label, so that no position goes unwatched.
    """
    parts: list[tuple[Region, Pairs]] = [(region, ())]
    for name in rule.partition_by:
        namespace = topology.namespace_by_name.get(name)
        if namespace is None:
            continue
        known = topology.values(name)
        cut: list[tuple[Region, Pairs]] = []
        for part, static in parts:
            for value in sorted(known):
                piece = part.intersect(Region(((namespace.label, Condition(True, frozenset((value,)))),)))
                if not piece.is_empty:
                    cut.append((piece, (*static, (namespace.label, value))))
            remainder = part.intersect(Region.of({namespace.label: Condition(False, known)}))
            if not remainder.is_empty:
                cut.append((remainder, static))
        parts = cut
    yield from parts
