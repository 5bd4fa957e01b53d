"""Which rules change their meaning because no single server holds all the series they need, and what nobody holds.

The law: a rule is left alone only if evaluating it on each server that holds some of its series, and uniting the
results, is evaluating it once on all the series that these servers hold. Anything else is reported, never refused: who
moves series to another server is not to be stopped by a policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from alerts.domain.compiled import Branch, CompiledRule, KeyPlan
from alerts.domain.compiler import CompiledPolicy
from alerts.domain.errors import Finding
from alerts.domain.layers import KeyId, Kind
from alerts.domain.promql.distribution import not_distributive
from alerts.domain.promql.emptiness import nothing_of_nothing
from alerts.domain.promql.expression import Expression, Selector, parse
from alerts.domain.promql.fate import output_has_label
from alerts.domain.promql.matchers import Matcher, finite_values
from alerts.domain.promql.metrics import metrics_read
from alerts.domain.recordings import ALERT_SERIES
from alerts.domain.regions import Condition, Region
from alerts.domain.unlabelled import Unlabelled

MAX_GAPS = 64

EVERYWHERE_ALIKE = "it reads no series that carry a position, so each of these servers evaluates it"
AS_SAID = "it reads only what its author calls unscoped, so each of these servers evaluates it"


@dataclass(frozen=True, slots=True)
class SplitRule:
    """A compiled rule that several servers evaluate in pieces although it means one thing.

    ``label`` is the one by which the servers cut it; "" when they do not cut it, but all evaluate it alike.
    """

    kind: Kind
    key: str
    rule_id: int
    name: str
    region: str
    servers: tuple[str, ...]
    label: str
    reason: str

    @property
    def is_as_said(self) -> bool:
        """Whether its author knows: all that it reads was said to carry no position."""
        return self.reason == AS_SAID

    def finding(self) -> Finding:
        """As a warning on the rule."""
        if self.label:
            hint = f"keep the label {self.label!r} in its grouping, set partition_by, or send the series to one server"
        else:
            hint = "write it at a scope that one server holds"
        message = f"{self.name!r} ({self.region}) is evaluated by {', '.join(self.servers)}, each for itself"
        return Finding(
            "needs_several_servers",
            f"{message}: {self.reason}",
            pointer="/query_template",
            hint=hint,
            level="warning",
            key=self.key,
            rule_id=self.rule_id,
        )


def needs_several_servers(compiled: CompiledPolicy, servers: Mapping[str, Region]) -> list[SplitRule]:
    """The rules that mean something else on these servers, in canonical order; one entry for each rule."""
    return list(SplitAnalysis(compiled, servers).rules)


def gaps(servers: Mapping[str, Region]) -> tuple[Region, ...] | None:
    """The positions that no server holds, as disjoint regions; None when these would be too many to tell."""
    left = [Region()]
    for _, held in sorted(servers.items()):
        left = [rest for region in left for rest in _without(region, held)]
        if len(left) > MAX_GAPS:
            return None
    return tuple(sorted(left, key=lambda region: region.text))


def _without(region: Region, other: Region) -> Iterator[Region]:
    inside = region
    for label, condition in other.conditions:
        outside = inside.intersect(Region.of({label: condition.complement()}))
        if not outside.is_empty:
            yield outside
        inside = inside.intersect(Region(((label, condition),)))
        if inside.is_empty:
            return


@dataclass(frozen=True, slots=True)
class _Meeting:
    """The servers that hold some of what a query reads, and the labels by which one lacks what another one holds."""

    servers: tuple[str, ...]
    cut_by: tuple[str, ...]
    tells_apart: tuple[str, ...]
    """Those of them of which no two servers share a value, but for servers that hold the very same."""


class Objection(NamedTuple):
    """Against evaluating a rule in pieces on these servers, which cut it by ``label``."""

    label: str
    reason: str
    servers: tuple[str, ...]


Writer = tuple[KeyPlan, CompiledRule]


class SplitAnalysis:
    """The answer for one compile; of ``previous``, for the same servers, what concerns unchanged keys is reused."""

    _unlabelled: Unlabelled
    _undetermined: Unlabelled
    _alone: dict[KeyId, tuple[KeyPlan, tuple[SplitRule | None, ...]]]

    def __init__(
        self, compiled: CompiledPolicy, servers: Mapping[str, Region], previous: SplitAnalysis | None = None
    ) -> None:
        self.servers = dict(sorted(servers.items()))
        self.determined_by = (compiled.topology.target_label, *compiled.options.determined_by)
        self._plans = {key: plan for key, plan in compiled.plans.items() if key not in compiled.problems}
        self._values: dict[str, set[str]] = {}
        for region in self.servers.values():
            for label, condition in region.conditions:
                self._values.setdefault(label, set()).update(condition.values)
        self._meetings: dict[tuple[Region, ...], _Meeting] = {}
        same = previous is not None and (previous.servers, previous.determined_by) == (self.servers, self.determined_by)
        before = previous if same else None
        self._unlabelled = Unlabelled(compiled.plans, self._values, (), before._unlabelled if before else None)
        self._undetermined = Unlabelled(
            compiled.plans, self.determined_by, (), before._undetermined if before else None, written=False
        )
        self._alone = before._alone if before else {}
        self._split: dict[int, SplitRule] = {}
        if len(self.servers) > 1 and self._values:
            self._judge()
        self.rules = tuple(
            self._split[id(rule)] for plan in self._plans.values() for rule in plan.rules if id(rule) in self._split
        )

    def _judge(self) -> None:
        self._recorded: dict[str, list[Writer]] = {}
        self._alerting: list[Writer] = []
        for (kind, _), plan in self._plans.items():
            for rule in plan.rules:
                if kind == "recording":
                    self._recorded.setdefault(rule.name, []).append((plan, rule))
                else:
                    self._alerting.append((plan, rule))
        written = self._recorded.keys() | ALERT_SERIES
        readers: list[KeyPlan] = []
        alone = {}
        for key_id, plan in self._plans.items():
            if not written.isdisjoint(plan.reads) or any(
                not written.isdisjoint(branch.unscoped) for rule in plan.rules for branch in rule.branches
            ):
                readers.append(plan)
                continue
            known = self._alone.get(key_id)
            if known is None or known[0] is not plan:
                known = (plan, tuple([self._judged(plan, rule) for rule in plan.rules]))
            alone[key_id] = known
            self._note(*known)
        self._alone = alone
        told = -1
        while told != len(self._split):  # recordings may read recordings that read …
            told = len(self._split)
            for plan in readers:
                judged = [self._split.get(id(rule)) or self._judged(plan, rule) for rule in plan.rules]
                self._note(plan, judged)

    def _note(self, plan: KeyPlan, judged: Iterable[SplitRule | None]) -> None:
        for rule, split in zip(plan.rules, judged, strict=True):
            if split is not None:
                self._split[id(rule)] = split

    # -- one rule --------------------------------------------------------------------------------------------------

    def _judged(self, plan: KeyPlan, rule: CompiledRule) -> SplitRule | None:
        for branch in rule.branches:
            objection = self._objection(rule, branch)
            if objection is not None and not _allowed(plan, rule, branch):
                layer = next((layer for layer in plan.layers if layer.scope == rule.scope), plan.layers[0])
                return SplitRule(
                    kind=rule.kind,
                    key=rule.key,
                    rule_id=layer.rule_id,
                    name=rule.name,
                    region=branch.region.text,
                    servers=objection.servers,
                    label=objection.label,
                    reason=objection.reason,
                )
        return None

    def _objection(self, rule: CompiledRule, branch: Branch) -> Objection | None:
        """What stands against evaluating ``branch`` on each server that holds some of its series."""
        expression = parse(branch.query)
        met = self._meeting(self._regions_read(branch, expression))
        if not met.servers:
            return None
        read = metrics_read(expression)
        if read <= frozenset(branch.unscoped) and self._recorded.keys().isdisjoint(read):
            reason = AS_SAID if read else EVERYWHERE_ALIKE
            return Objection("", reason, met.servers) if len(met.servers) > 1 else None
        for selector in expression.selectors:
            for _, writer in self._writers(selector):
                split = self._split.get(id(writer))
                if split is not None and split.label:
                    who = f"which {split.kind} rule {split.key!r} (rule {split.rule_id}) writes in pieces"
                    servers = tuple(sorted({*met.servers, *split.servers}))
                    return Objection(split.label, f"it reads {selector.name!r}, {who}", servers)
        if len(met.servers) < 2:
            return None
        alike = self._alike(branch, expression, met)
        if read <= alike:
            return None  # recorded alike on each of them
        if self._is_one_target(branch.region) and nothing_of_nothing(expression, alike):
            return None  # its series are on the servers that hold its position, the others find none
        against = {label: self._why_whole(rule.kind, expression, label, alike) for label in met.cut_by}
        if any(against[label] is None for label in met.tells_apart):
            return None  # what belongs together is on one server, whatever else they differ in
        return next((Objection(label, why, met.servers) for label, why in against.items() if why is not None), None)

    def _why_whole(self, kind: Kind, expression: Expression, label: str, alike: Set[str]) -> str | None:
        """Why servers that differ in ``label`` cannot each do their piece; None when they can."""
        reason = self._mixes(expression, label, alike)
        if reason is None:
            scoped = [selector for selector in expression.selectors if selector.name not in alike]
            carried = dict[str, frozenset[str]]()
            for selector in scoped:
                keys = self._keys_of(selector, label)
                if selector.name is not None and keys is not None:
                    carried[selector.name] = carried.get(selector.name, keys) & keys
            reason = not_distributive(expression, label, self.determined_by, alike, carried)
        if reason is None and kind == "recording" and output_has_label(expression, label, alike) is None:
            reason = f"the recorded series would carry another label {label!r}, or none"
        return reason

    def _keys_of(self, selector: Selector, label: str) -> frozenset[str] | None:
        """By which of ``label`` and what determines it recorded series can be told; None: they are not recorded."""
        writers = self._writers(selector)
        if not writers and selector.name not in ALERT_SERIES:
            return None
        keys = {label, *self.determined_by} if writers else set[str]()
        return frozenset(key for key in keys if all(self._leaves(rule, key) for _, rule in writers))

    def _leaves(self, writer: CompiledRule, label: str) -> bool:
        """Whether what ``writer`` writes carries ``label`` as the series did that it was made of."""
        # A namespace's label that a rule writes itself is that of its partition.
        known = self._unlabelled if label in self._values else self._undetermined
        return known.carries(writer, label, known.of(label))

    def _is_one_target(self, region: Region) -> bool:
        """Whether all series of the region share a position, because one value of a determining label is all it has."""
        conditions = [region.condition(label) for label in self.determined_by]
        return any(one.include and len(one.values) == 1 and "" not in one.values for one in conditions)

    def _alike(self, branch: Branch, expression: Expression, met: _Meeting) -> set[str]:
        """The metrics that are the same on each of these servers: ``unscoped`` ones, and what is recorded whole."""
        whole, pieces = set(branch.unscoped), set[str]()
        for selector in expression.selectors:
            writers = self._writers(selector)
            if writers and selector.name is not None:
                each = all(self._is_whole_on(met.servers, rule) for _, rule in writers)
                (whole if each else pieces).add(selector.name)
        return whole - pieces

    def _mixes(self, expression: Expression, label: str, alike: Set[str]) -> str | None:
        """Whether recorded series of which nobody can say to which part they belong meet others."""
        scoped = [selector for selector in expression.selectors if selector.name not in alike]
        lacking = [selector for selector in scoped if self._keys_of(selector, label) == frozenset()]
        without = next(iter(lacking), None)
        if without is None or len(scoped) == 1:
            return None
        homes: set[tuple[str, ...]] = set()
        for selector in scoped:
            if selector not in lacking:
                break
            homes |= {self._servers_of(one) for _, one in self._writers(selector)}
        else:
            if len(homes) == 1 and len(min(homes)) == 1:
                return None  # all of it is on one server
        return f"it brings {without.name!r}, which comes without the label {label!r}, together with other series"

    # -- who writes, who reads ---------------------------------------------------------------------------------------

    def _writers(self, selector: Selector) -> list[Writer]:
        if selector.name in ALERT_SERIES:
            wanted = [matcher for matcher in selector.matchers if matcher.label == "alertname"]
            return [one for one in self._alerting if all(matcher.accepts(one[1].name) for matcher in wanted)]
        return self._recorded.get(selector.name, []) if selector.name is not None else []

    def _is_whole_on(self, servers: tuple[str, ...], rule: CompiledRule) -> bool:
        """Whether each of ``servers`` has all that ``rule`` writes."""
        for branch in rule.branches:
            expression = parse(branch.query)
            meeting = self._meeting(self._regions_read(branch, expression))
            alike = metrics_read(expression) <= frozenset(branch.unscoped) - self._recorded.keys()
            if (meeting.cut_by and not alike) or not set(servers) <= set(meeting.servers):
                return False
        return True

    def _servers_of(self, rule: CompiledRule) -> tuple[str, ...]:
        read = [self._meeting(self._regions_read(branch, parse(branch.query))) for branch in rule.branches]
        return tuple(sorted({name for meeting in read for name in meeting.servers}))

    def _regions_read(self, branch: Branch, expression: Expression) -> tuple[Region, ...]:
        """What the selectors of a branch read, as far as their author's matchers tell; its region if none is scoped."""
        found: dict[Region, None] = {}
        scoped = [selector for selector in expression.selectors if selector.name not in branch.unscoped]
        for selector in scoped:
            region = branch.region
            for matcher in selector.matchers:
                if matcher.label in self._values and not self._lacks(selector, matcher.label):
                    region = Region.of({**dict(region.conditions), matcher.label: self._narrowed(region, matcher)})
            if not region.is_empty:
                found[region] = None
        return tuple(found) if scoped else (branch.region,)

    def _lacks(self, selector: Selector, label: str) -> bool:
        """Whether it reads recorded series that may come without ``label``, on every server."""
        return not all(self._leaves(rule, label) for _, rule in self._writers(selector))

    def _narrowed(self, region: Region, matcher: Matcher) -> Condition:
        condition = region.condition(matcher.label)
        if condition.include:
            return Condition(True, frozenset(value for value in condition.values if matcher.accepts(value)))
        finite = finite_values(matcher.op, matcher.value)
        if finite is not None:
            return Condition(True, finite - condition.values)
        refused = {value for value in self._values[matcher.label] if not matcher.accepts(value)}
        return Condition(False, condition.values | refused)

    def _meeting(self, regions: tuple[Region, ...]) -> _Meeting:
        known = self._meetings.get(regions)
        if known is None:
            met = [
                name
                for name, held in self.servers.items()
                if any(not region.intersect(held).is_empty for region in regions)
            ]
            cut_by = [label for label in self._values for region in regions if self._differ(met, region, label)]
            cut = tuple(sorted(set(cut_by)))
            known = self._meetings[regions] = _Meeting(
                tuple(met), cut, tuple(label for label in cut if self._tells_apart(met, label))
            )
        return known

    def _differ(self, met: list[str], region: Region, label: str) -> bool:
        """Whether one of these servers holds values of ``label`` in the region that another one does not."""
        own = region.condition(label)
        return len({own.intersect(self.servers[name].condition(label)) for name in met}) > 1

    def _tells_apart(self, met: list[str], label: str) -> bool:
        said = [region.condition(label) for region in {self.servers[name] for name in met}]
        return all(one.intersect(other).is_empty for one, other in combinations(said, 2))


def _allowed(plan: KeyPlan, rule: CompiledRule, branch: Branch) -> bool:
    """Whether the author said ``allow_split``: then an alert may count in pieces. Recordings never may."""
    if rule.kind == "recording":
        return False
    for chain, rules in plan.pieces.items():
        resolved = plan.resolved.get(chain)
        if resolved is not None and resolved.expr == branch.query and any(one is rule for one in rules):
            return resolved.allow_split
    return False
