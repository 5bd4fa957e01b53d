"""Compiles one key. Steps, in order: divide, resolve, place, check what must not be split, gather branches, emit."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import quote

from alerts.domain import diagram, layout, splitting
from alerts.domain.common import Common
from alerts.domain.compiled import Branch, Chain, CompiledRule, Contradiction, KeyPlan, Pairs
from alerts.domain.errors import Finding, PolicyConflict, PromqlError
from alerts.domain.layers import Layer, Topology
from alerts.domain.layout import Layout
from alerts.domain.placement import Placement, Placer, alone
from alerts.domain.promql.expression import Expression, parse
from alerts.domain.promql.injection import inject
from alerts.domain.promql.metrics import metrics_read
from alerts.domain.regions import Region
from alerts.domain.resolver import EffectiveRule, content_of, fold, resolve

MAX_BRANCHES = 50
MAX_COMPILED = 256 * 1024


@dataclass(frozen=True, slots=True)
class Options:
    """What compiling depends on beside the policy. ``determined_by``: labels that fix a series' whole position."""

    layout: Layout = "per-scope"
    determined_by: tuple[str, ...] = ("instance",)
    base_url: str = ""


Shape = Hashable | None
"""All of a rule that cannot change hands silently: name, labels, ``for``, annotations, … but not its query."""

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
        self._rules: dict[Chain, EffectiveRule | None] = {}
        self._enabled: dict[Chain, bool] = {}
        self._owners: dict[Chain, Layer] = {}
        self._contents = _numbered(content_of(layer) for layer in layers)
        self._alike: dict[tuple[int, ...], tuple[EffectiveRule, bool, int]] = {}
        self._shapes: dict[Chain, Shape] = {}
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
        plan = KeyPlan(self.key_id, self.layers, root, resolved=self._rules)
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
            rule = self._resolve(chain, report=True)
            if rule is not None and self._enabled[chain]:
                self._check_own_scope(chain, rule)
                found.append(chain)
        return found

    def _resolve(self, chain: Chain, report: bool = False) -> EffectiveRule | None:
        if chain in self._rules and not report:
            return self._rules[chain]
        # Chains whose layers say the same, one by one, are the same rule, wherever they are written.
        content = tuple([self._contents[index] for index in chain])
        alike = self._alike.get(content)
        if alike is not None:
            self._rules[chain], self._enabled[chain], owner = alike
            self._owners[chain] = self.layers[chain[owner]]
            return self._rules[chain]
        folded = fold([self.layers[index] for index in reversed(chain)])
        rule = None
        if folded is not None:
            self._enabled[chain] = folded.enabled
            self._owners[chain] = folded.owner
            resolution = resolve(folded)
            rule = resolution.rule
            if report and folded.enabled:
                self._report(*resolution.findings)
            if rule is not None:
                owner = next(place for place, index in enumerate(chain) if self.layers[index] is folded.owner)
                self._alike[content] = (rule, folded.enabled, owner)
        self._rules[chain] = rule
        return rule

    def _rule(self, chain: Chain) -> EffectiveRule:
        rule = self._rules[chain]
        assert rule is not None, "only chains that resolve are compiled"
        return rule

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
        owner = self._owners[chain]
        expression = self._expression(rule, owner)
        if expression is not None:
            self._report(*splitting.own_scope_findings(self.topology, owner, expression, rule.unscoped))

    # -- place -----------------------------------------------------------------------------------------------------

    def _shape_of(self, chain: Chain) -> Shape:
        """All that tells rules apart for Alertmanager and ``for``.

        A query is part of it only where its author lets it be cut although it must be evaluated as one thing: then
        nobody can say which series its pieces yield, and nothing else joins it.
        """
        known = self._shapes.get(chain, False)
        if known is not False:
            return known
        rule = self._resolve(chain)
        shape: Shape = None
        if rule is not None:
            by_force = rule.allow_split or rule.partition_by
            alone = by_force and not self._may_be_cut(chain, self.topology.position_labels)
            shape = (
                rule.name,
                rule.labels,
                rule.for_duration,
                rule.keep_firing_for,
                rule.annotations,
                rule.interval,
                rule.partition_by,
                (rule.expr, rule.unscoped) if alone else None,
            )
        self._shapes[chain] = shape
        return shape

    def _may_be_cut(self, chain: Chain, labels: Iterable[str]) -> bool:
        return splitting.may_be_cut(self.kind, self._rule(chain), labels, self.determined_by)

    def _interchangeable(self, chain: Chain, part: Chain) -> bool:
        """Whether the layers that ``part`` lacks change nothing, or only a query that may be cut along their labels."""
        if self._shape_of(chain) != self._shape_of(part):
            return False
        if self._is_same_query(chain, part):
            return True
        left_out = {self.topology.label(self.layers[index].scope) for index in chain if index not in part}
        return self._may_be_cut(chain, sorted(label for label in left_out if label is not None))

    def _is_same_query(self, chain: Chain, part: Chain) -> bool:
        rule, other = self._rule(chain), self._rule(part)
        same = (rule.expr, rule.unscoped) == (other.expr, other.unscoped)
        return same and self._owners[chain] is self._owners[part]

    def _made_by(self, chain: Chain) -> Chain:
        """The layers that made the rule what it is; stronger ones at its position changed nothing."""
        for length in range(1, len(chain)):
            part = chain[-length:]
            same = self._shape_of(part) == self._shape_of(chain) and self._is_same_query(chain, part)
            if same and self._enabled[part]:
                return part
        return chain

    def _emit(self, plan: KeyPlan, root: object, chains: list[Chain]) -> None:
        if not chains:
            return
        if len(self.layers) == 1 and not self._rule(chains[0]).partition_by:
            self._emit_alone(plan)
            return
        self._labels = splitting.labels_tested(root)
        placer = Placer(self.topology, self.layers, self._interchangeable)
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
        rule = self._rule(chain)
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
            rule = self._rule(chain)
            content = (placement.label, placement.scope, self._shape_of(chain), rule.expr, rule.unscoped)
            # Pieces that must stay whole are told apart by what made them, to be compared with that.
            whole = () if self._may_be_cut(chain, self._labels) else self._made_by(chain)
            outcome_of[chain] = (leaders.setdefault(content, chain), whole)
        merged = diagram.relabel(root, outcome_of.get, self.layers)
        boxes = diagram.boxes(merged, self.layers, lambda outcome: outcome is not None)

        classes: dict[tuple[object, ...], list[Piece]] = {}
        dropped: dict[Outcome, list[Contradiction]] = {}
        for outcome, regions in sorted(boxes.items()):
            leader, whole = outcome
            rule = self._rule(leader)
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
                    name = (placement.label, placement.scope, self._shape_of(leader), static)
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
        rule = self._rule(leader)
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
            rule = self._compiled(placements[leader], self._rule(leader), pieces[0].static, branches)
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
            rule = self._rule(piece.leader)
            expression = parse(rule.expr)
            reads |= metrics_read(expression).difference(rule.unscoped)
            region, matchers = self._common.region(piece.region)
            yield Branch(region, rule.expr, inject(expression, matchers, rule.unscoped), rule.unscoped)

    def _compiled(
        self, placement: Placement, rule: EffectiveRule, static: Pairs, branches: tuple[Branch, ...]
    ) -> CompiledRule:
        kind, key = self.kind, self.key_id[1]
        expr = branches[0].expr if len(branches) == 1 else joined([branch.expr for branch in branches])
        if len(expr) > MAX_COMPILED // 4 and len(expr.encode()) > MAX_COMPILED:
            raise PolicyConflict(
                Finding(
                    "compiled_too_large",
                    f"{key!r} compiles to an expression of {len(expr.encode()):,} bytes, more than {MAX_COMPILED:,}",
                    hint="give the scopes that differ a key of their own",
                    rule_id=self.layers[0].rule_id,
                )
            )
        scope = ((self.topology.scope_label, placement.label),) if placement.label is not None else ()
        standing_for = self._resolve(placement.chain) or rule
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


def _numbered(contents: Iterable[Hashable]) -> list[int]:
    """A small number for each content; equal ones share it."""
    known: dict[Hashable, int] = {}
    return [known.setdefault(content, len(known)) for content in contents]


def joined(exprs: list[str]) -> str:
    """Expressions over disjoint series as one. A comment at an expression's end must not swallow the bracket."""
    return "\nor\n".join(f"({expr}\n)" if "#" in expr.rsplit("\n", 1)[-1] else f"({expr})" for expr in exprs)
