"""A write that would stop any key from compiling is refused (DESIGN 4, *Last good*).

Called inside the transaction of a write, after the rows were saved. A fault of the written rule itself is the
caller's (InvalidPolicy); one that a write causes elsewhere, or that stands in something else, is a conflict naming the
other rule. promtool has the last word on everything that was compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from django.conf import settings
from django.db.models import Q

from alerts.actions import metrics, related
from alerts.actions.judging import Candidate, Verdict, findings_of, judging
from alerts.actions.layers import layer_of
from alerts.actions.policy import load, options
from alerts.adapters.promtool import Promtool, PromtoolError
from alerts.domain import identities, recordings, templating
from alerts.domain.common import Common
from alerts.domain.compiled import CompiledRule, KeyPlan, Pairs
from alerts.domain.compiler import compile_key, compile_policy, without_garbage_collection
from alerts.domain.errors import Finding, InvalidPolicy, PolicyConflict, PolicyError
from alerts.domain.layers import GLOBAL, KeyId, Layer, Topology
from alerts.domain.place_changes import PlaceChange
from alerts.domain.promql.expression import parse
from alerts.domain.promql.metrics import ANY
from alerts.domain.resolver import fold, resolve
from alerts.domain.variables import variables_from_json
from alerts.models import AlertRule, AlertTemplate, ServerState

MANY_KEYS = 1_000
"""Keys from which on it is asked whether they are most of the policy."""

STANDS_AGAINST = frozenset(
    (
        *("would_split", "too_many_regions", "too_many_branches", "too_many_values", "compiled_too_large"),
        "identity_taken",
    )
)
"""Findings that speak of an arrangement of rules rather than of one rule's own text."""


@lru_cache(maxsize=4)
def promtool_at(path: str | None) -> Promtool:
    return Promtool(path)


def promtool() -> Promtool:
    """The configured promtool; it may be absent."""
    return promtool_at(settings.PROMTOOL_PATH)


def promtool_version() -> str | None:
    """What it says of itself; None when there is none, or it does not tell."""
    tool = promtool()
    try:
        return tool.version() if tool.available else None
    except PromtoolError:
        return None


def check_rules(
    topology: Topology,
    rows: Sequence[AlertRule],
    former_keys: Iterable[KeyId] = (),
    unsettled: Collection[KeyId] = (),
) -> None:
    """Compiles the keys these rules belong to (or belonged to) and everything that reads or feeds them, each once.

    Nothing is said of ``unsettled`` keys, nor of what they do to others: what becomes of them is not known yet.
    Raises InvalidPolicy or PolicyConflict with all findings.
    """
    keys = ({(row.kind, row.key) for row in rows} | set(former_keys)).difference(unsettled)
    if keys:
        with judging(promtool()) as judge:
            alone: set[KeyId] = set()

            def hand(plan: KeyPlan) -> None:
                if plan.key_id in keys:
                    judge.hand([Candidate(rule) for rule in plan.rules])
                    if plan.rules and len(plan.layers) == 1:
                        alone.add(plan.key_id)

            findings = _findings_of_compiler(topology, keys, rows, unsettled, hand)
            for row in rows:
                if (row.kind, row.key) not in alone:
                    judge.hand(_own_text(row))
            verdicts = judge.verdicts()
            refused = alone.intersection(verdict.candidate.key_id for verdict in verdicts)
            verdicts += _asked_about([row for row in rows if (row.kind, row.key) in refused])
            _refuse(findings, {row.pk for row in rows}, findings_of(verdicts))


def _asked_about(rows: Sequence[AlertRule]) -> list[Verdict]:
    """promtool's word on the own texts of rules that are all there is of their keys.

    What is compiled of these is what they say and matchers, so promtool is asked only where it refused that.
    """
    if not rows:
        return []
    with judging(promtool()) as judge:
        judge.hand(candidate for row in rows for candidate in _own_text(row))
        return judge.verdicts()


def _findings_of_compiler(
    topology: Topology,
    keys: Collection[KeyId],
    rows: Sequence[AlertRule],
    unsettled: Collection[KeyId],
    then: Callable[[KeyPlan], None],
) -> list[Finding]:
    plans, others = _with_related(topology, keys, rows, then)
    others = [plan for plan in others if plan.key_id not in unsettled]
    findings = [finding for _, found in _problems(plans, others) for finding in found]
    findings += identities.clashes(plans, [*plans, *others])
    if findings:
        broken = already_broken().difference(keys)
        findings = [finding for finding in findings if not _speaks_of(finding, broken)]
    return findings


def check_places(before: Topology, after: Topology) -> None:
    """Compiles the keys that a change of namespaces or groups can touch, and everything that reads or feeds them.

    What it does not touch is what it was. Raises PolicyConflict with all findings.
    """
    keys = related.touched_by(PlaceChange.between(before, after))
    if len(keys) > MANY_KEYS and 2 * len(keys) > related.count_keys():  # to look for the rest would cost more
        problems = list(compile_policy(load(), options()).problems.items())
    else:
        problems = _problems(*_with_related(after, keys)) if keys else []
    if problems:
        broken = already_broken()
        fresh = [finding for key_id, findings in problems if key_id not in broken for finding in findings]
        if fresh:
            raise PolicyConflict(fresh)


def already_broken() -> set[KeyId]:
    """Keys that stay as last compiled since before this write: it did not stop them, so it may go ahead."""
    kept = ServerState.objects.values_list("loaded_release__last_good", flat=True)
    return {(item["kind"], item["key"]) for last_good in kept for item in last_good or ()}


def _speaks_of(finding: Finding, keys: Collection[KeyId]) -> bool:
    return any(finding.key == key for _, key in keys)


def check_template(template: AlertTemplate) -> None:
    """promtool's word on a template, filled with neutral or default values."""
    layer = layer_of_template(template)
    config = template.default_config
    expr = templating.neutral_query(template.query_template, layer.variables)
    rule = _standalone(replace(layer, query=expr, variables=(), default_config={}))
    if rule is not None:
        texts = replace(rule, labels=_pairs(config.get("labels")), annotations=_pairs(config.get("annotations")))
        with judging(promtool()) as judge:
            judge.hand([Candidate(texts, template)])
            _refuse((), (), findings_of(judge.verdicts()))


def _pairs(texts: Mapping[str, str | None] | None) -> Pairs:
    return tuple(sorted((name, text) for name, text in (texts or {}).items() if text))


def layer_of_template(template: AlertTemplate) -> Layer:
    return Layer(
        rule_id=template.pk or 0,
        kind=template.kind,  # type: ignore[arg-type]
        key=template.name,
        scope=GLOBAL,
        name=template.name,
        query=template.query_template,
        variables=variables_from_json(template.variables),
    )


def _nothing(plan: KeyPlan) -> None: ...


def _compile(
    topology: Topology, by_key: Mapping[KeyId, Iterable[Layer]], then: Callable[[KeyPlan], None] = _nothing
) -> dict[KeyId, KeyPlan]:
    how, common = options(), Common()
    known: dict[KeyId, KeyPlan] = {}
    with without_garbage_collection():
        for key_id, layers in by_key.items():
            known[key_id] = compile_key(topology, layers, how, common)
            then(known[key_id])
    return known


def _with_related(
    topology: Topology,
    keys: Collection[KeyId],
    rows: Sequence[AlertRule] = (),
    then: Callable[[KeyPlan], None] = _nothing,
) -> tuple[list[KeyPlan], list[KeyPlan]]:
    """These keys, and the others that they may read, be read by or clash with, as they compile now.

    ``rows``: those of their rules that are at hand. ``then`` is told of each plan as soon as it is compiled.
    """
    recorded = {row.name or row.key for row in rows if row.kind == "recording"}
    known = _compile(topology, related.layers_around(keys, recorded, rows), then)
    plans = [plan for key_id, plan in known.items() if key_id in keys]
    missing = _not_foreseen(plans, recorded)
    if missing:
        further = related.layers_of(missing)
        known |= _compile(topology, {key_id: layers for key_id, layers in further.items() if key_id not in known})
    return plans, [plan for key_id, plan in known.items() if key_id not in keys]


def _not_foreseen(plans: Iterable[KeyPlan], recorded: Collection[str]) -> Q:
    """What these keys read beside what is noted of their queries: a series that a value names, and ALERTS.

    And who reads a recording that another layer of its key has named.
    """
    read: set[str] = set()
    wanted = Q()
    for plan in plans:
        names = {rule.name for rule in plan.rules if rule.kind == "recording"}.difference(recorded, (plan.key_id[1],))
        if names:
            wanted |= Q(metrics__metric__in=names)
        if plan.reads & recordings.ALERT_SERIES:
            wanted |= _alerts_read(plan)
        if plan.reads:
            noted = (_noted_of(layer) for layer in plan.layers)
            read |= plan.reads.difference(recordings.ALERT_SERIES, (ANY,), *noted)
    if read:
        wanted |= Q(Q(name__in=read) | Q(key__in=read), kind="recording")
    return wanted


def _alerts_read(plan: KeyPlan) -> Q:
    """The alerts whose ALERTS series it selects by their names; of others nothing is said."""
    wanted = Q()
    for branch in (branch for rule in plan.rules for branch in rule.branches):
        for selector in parse(branch.query).selectors:
            names = [matcher for matcher in selector.matchers if matcher.label == "alertname"]
            if selector.name not in recordings.ALERT_SERIES or not names:
                continue
            equal = [matcher.value for matcher in names if matcher.op == "="]
            wanted |= Q(Q(name=equal[0]) | Q(key=equal[0]), kind="alerting") if equal else Q(kind="alerting")
    return wanted


def _noted_of(layer: Layer) -> frozenset[str]:
    try:
        return frozenset() if layer.query is None else metrics.metrics_of(layer.query, layer.variables)
    except PolicyError:  # nothing of it is in force, or the key would not compile
        return frozenset()


def _problems(plans: Sequence[KeyPlan], others: Sequence[KeyPlan]) -> list[tuple[KeyId, tuple[Finding, ...]]]:
    """What stops these keys, the recordings they read included, and what they do to the rules that read them."""
    return [
        *((plan.key_id, plan.findings) for plan in plans if plan.findings),
        *recordings.problems_of(plans, [*plans, *others]),
        *recordings.problems_of(others, plans),
    ]


def _refuse(findings: Sequence[Finding], written: Collection[int], refusals: Sequence[Finding]) -> None:
    """``refusals`` are promtool's, of what was written; the others may speak of anything."""
    if not findings and not refusals:
        return
    own = [finding for finding in findings if finding.rule_id in written and finding.code not in STANDS_AGAINST]
    said = [finding if finding in own else replace(finding, pointer="") for finding in findings]
    kind = InvalidPolicy if len(own) == len(findings) or refusals else PolicyConflict
    raise kind([*said, *refusals])


# -- promtool ----------------------------------------------------------------------------------------------------------


def _own_text(row: AlertRule) -> list[Candidate]:
    """What its author wrote, where it is a rule by itself: positions in it mean something to people."""
    rule = _standalone(layer_of(row)) if row.query_template is not None else None
    return [] if rule is None else [Candidate(rule, row)]


def _standalone(layer: Layer) -> CompiledRule | None:
    """One layer as a rule of its own, without matchers; None when it does not resolve alone."""
    folded = fold([layer])
    rule = resolve(folded).rule if folded is not None else None
    if rule is None:
        return None
    return CompiledRule(
        kind=layer.kind,
        key=layer.key,
        name=rule.name,
        expr=rule.expr,
        for_duration=rule.for_duration,
        keep_firing_for=rule.keep_firing_for,
        interval=None,
        labels=rule.labels,
        annotations=rule.annotations,
        file="rules.yml",
        group="check",
        scope=layer.scope,
        branches=(),
    )
