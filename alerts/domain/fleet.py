"""What one of several servers evaluates: the compiled policy, held to the positions whose series the server has.

Laws kept here:

- Every branch reads its region where the server's selector holds, and nothing else; with no selector the compiled rules
  are the very same objects. Intersecting also where a server happens to hold no more keeps "once, no more, no less".
- A rule keeps its name, labels, file and group on every server, so no alert and no timer minds a changed selector.
- A recorded series is written on the server that reads it, from what that server holds. Where it comes without a label
  of the selector, the selector's matcher stays off it: it would match nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from alerts.domain import splitting
from alerts.domain.compiled import Branch, CompiledRule, KeyPlan
from alerts.domain.compiler import CompiledPolicy, without_garbage_collection
from alerts.domain.errors import Finding, PolicyConflict, PolicyError
from alerts.domain.key_compiler import joined
from alerts.domain.layers import KeyId, Position
from alerts.domain.promql.expression import Expression, parse
from alerts.domain.promql.injection import inject_sparing
from alerts.domain.promql.limits import COMPILED_MAX_BYTES, is_too_long
from alerts.domain.promql.matchers import Matcher
from alerts.domain.promql.metrics import metrics_read
from alerts.domain.regions import Region
from alerts.domain.unlabelled import Unlabelled


def restrict(
    rules: Iterable[CompiledRule], selector: Region, unlabelled: Unlabelled | None = None
) -> tuple[CompiledRule, ...]:
    """What a server with ``selector`` evaluates of ``rules``; ``unlabelled`` (of the selector's labels) as they are
    recorded on it. PolicyError when a rule cannot be restricted, because its matchers would be too long.
    """
    restriction = _Restriction(selector, unlabelled or Unlabelled({}, selector.labels))
    return tuple([rule for rule in restriction.all(tuple(rules)) if rule is not None])


Cut = tuple[Region, tuple[Matcher, ...]]
"""What a selector leaves of a region, and its matchers."""

_WHOLE: Cut = (Region(), ())
"""Stands for: all of it is left."""


class _Restriction:
    """One selector at work. Remembers what became of regions: rules share few of them."""

    def __init__(self, selector: Region, unlabelled: Unlabelled) -> None:
        self.selector = selector
        self.unlabelled = unlabelled
        self._cuts: dict[Region, Cut | None] = {}

    def all(self, rules: tuple[CompiledRule, ...]) -> tuple[CompiledRule | None, ...]:
        """One by one what is left of ``rules``; the same tuple when nothing changes."""
        if not self.selector.conditions:
            return rules
        left = tuple([self.one(rule) for rule in rules])
        return rules if all(one is rule for one, rule in zip(left, rules, strict=True)) else left

    def one(self, rule: CompiledRule) -> CompiledRule | None:
        branches = [self._branch(branch) for branch in rule.branches]
        if all(one is branch for one, branch in zip(branches, rule.branches, strict=True)):
            return rule
        left = tuple([branch for branch in branches if branch is not None])
        if not left:
            return None
        expr = joined([branch.expr for branch in left])
        if is_too_long(expr):
            message = f"held to the server's selector, {rule.key!r} is longer than {COMPILED_MAX_BYTES:,} bytes"
            raise PolicyConflict(Finding("compiled_too_large", message, hint="select fewer groups, or say not_in"))
        return replace(rule, expr=expr, branches=left)

    def _branch(self, branch: Branch) -> Branch | None:
        cut = self._cut(branch.region)
        if cut is _WHOLE:
            return branch
        if cut is None:
            return None
        region, matchers = cut
        expression = parse(branch.query)
        spared = self._spared(branch.region, expression)
        aside = frozenset(branch.unscoped).union(*spared.values()) if spared else branch.unscoped
        if splitting.excluded_by_query(expression, region, aside) is not None:
            return None
        expr = inject_sparing(expression, matchers, spared, branch.unscoped)
        return Branch(region, branch.query, expr, branch.unscoped)

    def _cut(self, region: Region) -> Cut | None:
        if region not in self._cuts:
            left = region.intersect(self.selector)
            if left == region:
                self._cuts[region] = _WHOLE
            else:
                self._cuts[region] = None if left.is_empty else (left, left.matchers())
        return self._cuts[region]

    def _spared(self, region: Region, expression: Expression) -> dict[str, frozenset[str]]:
        """Label → metrics of the expression that do not get its matcher.

        Where the rule's own region speaks of a label, the compiler has made sure that what it reads carries it.
        """
        read = metrics_read(expression) & self.unlabelled.names
        if not read:
            return {}
        free = [label for label in self.selector.labels if region.condition(label).is_everything]
        return {label: names for label in free if (names := self.unlabelled.of(label) & read)}


@dataclass(frozen=True, slots=True)
class _Restricted:
    """One key on one server; ``rules`` one by one those of the plan, None where nothing is left."""

    plan: KeyPlan
    rules: tuple[CompiledRule | None, ...]
    findings: tuple[Finding, ...] = ()


class ServerView:
    """A compiled policy as one server evaluates it.

    ``previous``, the server's view of an earlier compile, spares the work for keys that did not change: their rules
    stay the very same objects. ``kept``: rules in force beside the compiled ones (last good), for what they record.
    """

    _unlabelled: Unlabelled

    def __init__(
        self,
        compiled: CompiledPolicy,
        region: Region,
        previous: ServerView | None = None,
        kept: Sequence[CompiledRule] = (),
    ) -> None:
        self.compiled = compiled
        self.region = region
        self._keys: dict[KeyId, _Restricted] = {}
        if previous is not None and previous.region != region:
            previous = None
        before = previous._unlabelled if previous is not None else None
        self._unlabelled = Unlabelled(compiled.plans if region.conditions else {}, region.labels, kept, before)
        self._restriction = _Restriction(region, self._unlabelled)
        if region.conditions:
            moved = self._unlabelled.differing(before) if before is not None else frozenset[str]()
            with without_garbage_collection():
                for key_id, plan in compiled.plans.items():
                    if key_id not in compiled.problems:
                        known = previous._keys.get(key_id) if previous is not None else None
                        self._keys[key_id] = self._one(key_id, plan, known, moved)

    def _one(self, key_id: KeyId, plan: KeyPlan, known: _Restricted | None, moved: frozenset[str]) -> _Restricted:
        if known is None or known.plan is not plan:
            return self._restricted(key_id, plan)
        if moved.isdisjoint(plan.reads):
            return known
        again = self._restricted(key_id, plan)
        return known if again == known else again

    def _restricted(self, key_id: KeyId, plan: KeyPlan) -> _Restricted:
        try:
            return _Restricted(plan, self._restriction.all(plan.rules))
        except PolicyError as refused:
            named = (replace(found, key=key_id[1], rule_id=plan.layers[0].rule_id) for found in refused.findings)
            return _Restricted(plan, (), tuple(named))

    @cached_property
    def problems(self) -> dict[KeyId, tuple[Finding, ...]]:
        """The keys this server cannot have although they compile, and why: their matchers would be too long."""
        return {key_id: entry.findings for key_id, entry in self._keys.items() if entry.findings}

    @cached_property
    def rules(self) -> tuple[CompiledRule, ...]:
        """All rules of the server, in canonical order of keys."""
        if not self.region.conditions:
            return self.compiled.rules
        return tuple([rule for entry in self._keys.values() for rule in entry.rules if rule is not None])

    def rules_of(self, key_id: KeyId) -> tuple[CompiledRule, ...]:
        """The rules of one key; none for a key that has problems."""
        if not self.region.conditions:
            plan = self.compiled.plans.get(key_id)
            return () if plan is None or key_id in self.compiled.problems else plan.rules
        entry = self._keys.get(key_id)
        return () if entry is None else tuple([rule for rule in entry.rules if rule is not None])

    def restricted(self, rules: Iterable[CompiledRule]) -> tuple[CompiledRule, ...]:
        """What this server evaluates of other rules, such as those kept as last compiled. Raises as ``restrict``."""
        return restrict(rules, self.region, self._unlabelled)

    def piece(self, plan: KeyPlan, position: Position) -> tuple[CompiledRule, Branch] | None:
        """The one rule, and its branch, by which this server reads the series at ``position``."""
        found = plan.piece(position)
        if found is None or not self.region.conditions:
            return found
        entry = self._keys.get(plan.key_id)
        if entry is None or entry.plan is not plan or not self.region.holds(position):
            return None
        for source, rule in zip(plan.rules, entry.rules, strict=False):
            if source is found[0] and rule is not None:
                return next(((rule, branch) for branch in rule.branches if branch.region.holds(position)), None)
        return None
