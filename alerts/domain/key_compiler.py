"""Compiles one key. Steps, in order: divide, resolve, place, check what must not be split, gather branches, emit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import quote

from alerts.domain import diagram, layout, splitting
from alerts.domain.chains import Chains
from alerts.domain.common import Common
from alerts.domain.compiled import Branch, Chain, CompiledRule, Contradiction, KeyPlan, Pairs
from alerts.domain.errors import Finding, PolicyConflict, PromqlError
from alerts.domain.layers import Layer, Topology
from alerts.domain.layout import Layout
from alerts.domain.placement import Placement, Placer, alone
from alerts.domain.promql.expression import Expression, parse
from alerts.domain.promql.injection import inject
from alerts.domain.promql.limits import COMPILED_MAX_BYTES, is_too_long
from alerts.domain.promql.metrics import metrics_read
from alerts.domain.regions import Region
from alerts.domain.resolver import EffectiveRule

MAX_BRANCHES = 50


@dataclass(frozen=True, slots=True)
class Options:
    """What compiling depends on beside the policy. ``determined_by``: labels that fix a series' whole position."""

    layout: Layout = "per-scope"
    determined_by: tuple[str, ...] = ("instance",)
    base_url: str = ""


Outcome = tuple[Chain, Chain]
"""The chain that stands for all with the same content, and the layers over whose scopes it must be evaluated as one
thing (none where it may be cut freely)."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One region of one outcome, with the labels that partitioning gives it."""

    leader: Chain
    outcome: Outcome
    region: Region
    static: Pairs


class KeyCompiler:
    """The working state of compiling one key; used once."""

    def __init__(self, topology: Topology, layers: tuple[Layer, ...], options: Options, common: Common) -> None:
        self.topology = topology
        self.layers = layers
        self.options = options
        self._common = common
        self.key_id = layers[0].key_id
        self.kind = layers[0].kind
        self.determined_by = (topology.target_label, *options.determined_by)
        self._chains = Chains(topology, layers, self.determined_by)
        self._findings: dict[Finding, None] = {}
        self._labels: tuple[str, ...] = ()
        self._annotated: dict[Pairs, Pairs] = {}

    def broken(self, findings: tuple[Finding, ...]) -> KeyPlan:
        """A plan without rules: traces still work on its layers."""
        rule_id = self.layers[0].rule_id
        filled = (finding if finding.rule_id is not None else replace(finding, rule_id=rule_id) for finding in findings)
        self._report(*filled)
        return KeyPlan(self.key_id, self.layers, root=None, findings=tuple(self._findings))

    def compile(self) -> KeyPlan:
        root = diagram.build(self.topology, self.layers)
        chains = self._resolve_all(root)
        plan = KeyPlan(self.key_id, self.layers, root, resolved=self._chains.rules)
        if not self._findings:
            self._emit(plan, root, chains)
        plan.findings = tuple(self._findings)
        if plan.findings:
            plan.rules, plan.pieces = (), {}
        return plan

    # -- resolve ---------------------------------------------------------------------------------------------------

    def _resolve_all(self, root: object) -> list[Chain]:
        """The chains that yield an enabled rule. Findings of muted ones do not count: nothing of them is evaluated."""
        found = []
        for chain in sorted(diagram.outcomes(root)):
            if not chain:
                continue
            rule = self._chains.resolve(chain)
            self._report(*self._chains.findings(chain))
            if rule is not None and self._chains.enabled(chain):
                self._check_own_scope(chain, rule)
                found.append(chain)
        return found

    def _report(self, *findings: Finding) -> None:
        for finding in findings:
            self._findings[finding if finding.key is not None else replace(finding, key=self.key_id[1])] = None

    def _expression(self, rule: EffectiveRule, layer: Layer | None = None) -> Expression | None:
        try:
            return parse(rule.expr)
        except PromqlError as refused:
            owner = layer or self.layers[-1]
            for finding in refused.findings:
                pointer = finding.pointer or "/query_template"
                self._report(replace(finding, pointer=pointer, rule_id=owner.rule_id, key=self.key_id[1]))
            return None

    def _check_own_scope(self, chain: Chain, rule: EffectiveRule) -> None:
        owner = self._chains.owner(chain)
        expression = self._expression(rule, owner)
        if expression is not None:
            self._report(*splitting.own_scope_findings(self.topology, owner, expression, rule.unscoped))

    # -- place -----------------------------------------------------------------------------------------------------

    def _emit(self, plan: KeyPlan, root: object, chains: list[Chain]) -> None:
        if not chains:
            return
        if len(self.layers) == 1 and not self._chains.rule(chains[0]).partition_by:
            self._emit_alone(plan)
            return
        self._labels = splitting.labels_tested(root)
        placer = Placer(self.topology, self.layers, self._chains.interchangeable)
        ways = [placer.at_shape, placer.at_strongest, placer.in_full]
        if self.options.layout == "per-scope":
            del ways[0]
        attempt = dict.fromkeys(chains, 0)
        while True:
            placements = {chain: ways[attempt[chain]](chain) for chain in chains}
            crowded = [chain for chain in self._try(plan, root, placements) if attempt[chain] + 1 < len(ways)]
            if not crowded:
                break
            for chain in crowded:
                attempt[chain] += 1
        if plan.rules or self._findings:
            return
        self._report(
            Finding(
                "too_many_branches",
                f"the regions of {self.key_id[1]!r} do not fit in {MAX_BRANCHES} branches of one rule",
                hint="give the scopes that differ a key of their own",
                rule_id=self.layers[0].rule_id,
            )
        )

    def _emit_alone(self, plan: KeyPlan) -> None:
        """The short way for the many keys of one layer: one rule over its scope."""
        chain: Chain = (0,)
        rule = self._chains.rule(chain)
        placement = alone(self.layers[0].scope)
        _, region = diagram.whole_scope(self.topology, self.layers[0].scope)
        expression = parse(rule.expr)
        region, matchers = self._common.region(region)
        branch = Branch(region, rule.expr, inject(expression, matchers, rule.unscoped), rule.unscoped)
        plan.rules = (self._compiled(placement, rule, (), (branch,)),)
        plan.pieces[chain] = plan.rules
        plan.reads = metrics_read(expression).difference(rule.unscoped)

    def _try(self, plan: KeyPlan, root: object, placements: dict[Chain, Placement]) -> list[Chain]:
        """Emits all rules, or returns the chains of classes with too many branches."""
        outcome_of: dict[Chain, Outcome] = {}
        leaders: dict[tuple[object, ...], Chain] = {}
        for chain, placement in placements.items():
            rule = self._chains.rule(chain)
            content = (placement.label, placement.scope, self._chains.shape_of(chain), rule.expr, rule.unscoped)
            # Pieces that must stay whole are told apart by what made them, to be compared with that.
            whole = () if self._chains.may_be_cut(chain, self._labels) else self._chains.made_by(chain)
            outcome_of[chain] = (leaders.setdefault(content, chain), whole)
        merged = diagram.relabel(root, outcome_of.get, self.layers)
        boxes = diagram.boxes(merged, self.layers, lambda outcome: outcome is not None)

        classes: dict[tuple[object, ...], list[Piece]] = {}
        dropped: dict[Outcome, list[Contradiction]] = {}
        for outcome, regions in sorted(boxes.items()):
            leader, whole = outcome
            rule = self._chains.rule(leader)
            expression = parse(rule.expr)
            if whole:
                sources = [self.layers[index] for index in whole]
                self._report(
                    *splitting.split_findings(self.topology, self.layers, sources, rule, regions, self.determined_by)
                )
            placement = placements[leader]
            for region in regions:
                clash = splitting.excluded_by_query(expression, region, rule.unscoped)
                if clash is not None:
                    dropped.setdefault(outcome, []).append(Contradiction(self.layers[leader[0]].scope, region, clash))
                    continue
                for part, static in splitting.partitions(self.topology, rule, region):
                    name = (placement.label, placement.scope, self._chains.shape_of(leader), static)
                    classes.setdefault(name, []).append(Piece(leader, outcome, part, static))
        if self._findings:
            return []
        for pieces in classes.values():
            self._check_scattered(pieces)
        if self._findings:
            return []
        crowded = {piece.outcome for pieces in classes.values() if len(pieces) > MAX_BRANCHES for piece in pieces}
        if crowded:
            return [chain for chain, outcome in outcome_of.items() if outcome in crowded]
        self._finish(plan, classes, placements, outcome_of, dropped)
        return []

    def _check_scattered(self, pieces: list[Piece]) -> None:
        leader, whole = pieces[0].outcome
        rule = self._chains.rule(leader)
        if whole and 1 < len(pieces) <= MAX_BRANCHES and (rule.allow_split or rule.partition_by):
            regions = [piece.region for piece in pieces]
            self._report(*splitting.scattered_findings(self.layers[whole[0]], rule, regions, self.determined_by))

    # -- emit ------------------------------------------------------------------------------------------------------

    def _finish(
        self,
        plan: KeyPlan,
        classes: dict[tuple[object, ...], list[Piece]],
        placements: dict[Chain, Placement],
        outcome_of: dict[Chain, Outcome],
        dropped: dict[Outcome, list[Contradiction]],
    ) -> None:
        rules: list[CompiledRule] = []
        rules_of: dict[Outcome, list[CompiledRule]] = {}
        reads: set[str] = set()
        for pieces in classes.values():
            branches = tuple(self._branches(pieces, reads))
            if len(branches) > 1:
                branches = tuple(sorted(branches, key=lambda branch: (branch.query, branch.region.text)))
            leader = pieces[0].leader
            rule = self._compiled(placements[leader], self._chains.rule(leader), pieces[0].static, branches)
            rules.append(rule)
            for outcome in {piece.outcome for piece in pieces}:
                rules_of.setdefault(outcome, []).append(rule)
        plan.rules = tuple(sorted(rules, key=lambda rule: (rule.file, rule.group, rule.name, rule.labels)))
        plan.reads = frozenset(reads)
        for chain, outcome in outcome_of.items():
            if outcome in rules_of:
                plan.pieces[chain] = tuple(rules_of[outcome])
            if outcome in dropped:
                plan.dropped[chain] = tuple(dropped[outcome])

    def _branches(self, pieces: list[Piece], reads: set[str]) -> Iterator[Branch]:
        for piece in pieces:
            rule = self._chains.rule(piece.leader)
            expression = parse(rule.expr)
            reads |= metrics_read(expression).difference(rule.unscoped)
            region, matchers = self._common.region(piece.region)
            yield Branch(region, rule.expr, inject(expression, matchers, rule.unscoped), rule.unscoped)

    def _compiled(
        self, placement: Placement, rule: EffectiveRule, static: Pairs, branches: tuple[Branch, ...]
    ) -> CompiledRule:
        kind, key = self.kind, self.key_id[1]
        expr = joined([branch.expr for branch in branches])
        if is_too_long(expr):
            raise PolicyConflict(
                Finding(
                    "compiled_too_large",
                    f"{key!r} compiles to an expression of {len(expr.encode()):,} bytes, "
                    f"more than {COMPILED_MAX_BYTES:,}",
                    hint="give the scopes that differ a key of their own",
                    rule_id=self.layers[0].rule_id,
                )
            )
        scope = ((self.topology.scope_label, placement.label),) if placement.label is not None else ()
        standing_for = self._chains.resolve(placement.chain) or rule
        affinity = self._affinity(standing_for)
        file, group = layout.place(self.options.layout, placement.scope, affinity, rule.interval)
        return CompiledRule(
            kind=kind,
            key=key,
            name=rule.name,
            expr=expr,
            for_duration=rule.for_duration,
            keep_firing_for=rule.keep_firing_for,
            interval=rule.interval,
            labels=self._common.labels(rule.labels, static + scope),
            annotations=self._annotations(rule.annotations),
            file=file,
            group=group,
            scope=placement.scope,
            branches=branches,
        )

    def _annotations(self, written: Pairs) -> Pairs:
        """With the page of this key, unless its author names another."""
        if not self.options.base_url or self.kind != "alerting":
            return written
        known = self._annotated.get(written)
        if known is None:
            url = f"{self.options.base_url}/policy/{self.kind}/{quote(self.key_id[1], safe='')}"
            known = self._annotated[written] = tuple(sorted(({"policy_url": url} | dict(written)).items()))
        return known

    def _affinity(self, rule: EffectiveRule) -> str:
        """Recordings and what reads them meet in one group: the recorded series' name, else the key."""
        read = [name for name in metrics_read(parse(rule.expr)) if ":" in name]
        if read:
            return min(read)
        return rule.name if self.key_id[0] == "recording" else self.key_id[1]


def joined(exprs: list[str]) -> str:
    """Expressions over disjoint series as one. A comment at an expression's end must not swallow the bracket."""
    if len(exprs) == 1:
        return exprs[0]
    return "\nor\n".join(f"({expr}\n)" if "#" in expr.rsplit("\n", 1)[-1] else f"({expr})" for expr in exprs)
