"""Many alert rules in one write: created, or written anew, by their ``external_id``; all or nothing.

An update is what PUT does: what an item leaves out gets its default. All rules are put in place before anything is
judged, so rules may swap scopes, and a recording may come after its reader; what counts is the state at the end.

Where some rules are faulty, nothing will be stored, yet the others are compiled and judged as if it were: whoever mends
the list learns all that is wrong with it. Only of the keys that a faulty rule belongs to nothing more is said, since
nobody knows what will become of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.db.models import CharField, Value
from django.db.models.functions import Cast, Concat

from alerts.actions import compile_check
from alerts.actions.errors import Taken
from alerts.actions.metrics import note, note_again, noted_of
from alerts.actions.references import References
from alerts.actions.rules import FIELDS, RELATED, SCOPE_IDS, SCOPES, begin, change, defaults
from alerts.actions.storing import store_changed, store_new
from alerts.actions.taken import taken_finding
from alerts.actions.writing import STAMPS, Write, writing
from alerts.domain.compiler import without_garbage_collection
from alerts.domain.errors import Finding, InvalidPolicy, PolicyConflict, PolicyError
from alerts.domain.layers import KeyId, Kind
from alerts.domain.names import check_text
from alerts.domain.promql.expression import keeping_expressions
from alerts.models import AlertRule, AlertTemplate

MOST_RULES = 10_000
IDENTITY = frozenset(("kind", "key", "scope_key"))
NAMING = ("external_id", "key", "name")
"""What tells which rule a faulty item is about."""
KINDS: tuple[Kind, ...] = ("alerting", "recording")
READ_AT_ONCE = 5_000
STORED = (*sorted(FIELDS - SCOPE_IDS - {"external_id"}), *SCOPES, "scope_key", *STAMPS)
"""The columns that an update may change."""

Item = Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """How many rules were what, and their ids as they were given; None: a dry run would have made it."""

    created: int
    updated: int
    unchanged: int
    ids: list[int | None]


@dataclass
class _Entry:
    """One item and its row, as it shall be. ``changed`` None: a new one. ``noted`` None: as it was."""

    place: int
    row: AlertRule
    changed: set[str] | None = None
    former: KeyId | None = None
    noted: frozenset[str] | None = None

    @property
    def is_new(self) -> bool:
        return self.changed is None

    @property
    def is_written(self) -> bool:
        return self.changed is None or bool(self.changed)

    @property
    def is_moved(self) -> bool:
        return bool(self.changed and self.changed & IDENTITY)

    @property
    def keys(self) -> tuple[KeyId, ...]:
        """Where it will be, and where it was."""
        now: KeyId = (self.row.kind, self.row.key)
        return (now,) if self.former is None else (now, self.former)

    @property
    def identity(self) -> tuple[str, str, str]:
        return (self.row.kind, self.row.key, self.row.scope_key)


@dataclass
class _Objections:
    """All that is wrong, by item; one fault of the caller's own makes the whole a fault.

    ``elsewhere``: what the write does to other rules. ``unsettled``: the keys that faulty items belong to.
    """

    found: dict[int, list[Finding]] = field(default_factory=dict)
    elsewhere: list[Finding] = field(default_factory=list)
    unsettled: set[KeyId] = field(default_factory=set)
    are_faults: bool = False

    def add(self, place: int, *findings: Finding, is_fault: bool = True) -> None:
        said = [replace(finding, pointer=f"/rules/{place}{finding.pointer}") for finding in findings]
        self.found.setdefault(place, []).extend(said)
        self.are_faults |= is_fault

    def stop(self) -> None:
        findings = [finding for place in sorted(self.found) for finding in self.found[place]] + self.elsewhere
        if findings and not self.are_faults and all(finding.code == "taken" for finding in findings):
            raise Taken(findings)  # as for one rule
        if findings:
            raise (InvalidPolicy if self.are_faults else PolicyConflict)(findings)


def write_all(
    items: Sequence[Item], *, faults: Mapping[int, Sequence[Finding]] | None = None, dry_run: bool = False
) -> Outcome:
    """``faults`` are what somebody found in single items before; of these only the words of ``NAMING`` are read."""
    with without_garbage_collection(), keeping_expressions():
        return _write_all(items, faults or {}, dry_run)


def check_count(count: int) -> None:
    """InvalidPolicy for more rules than are written at once; also for who would look at each of them first."""
    if count > MOST_RULES:
        raise InvalidPolicy(Finding("too_many", f"has {count:,} rules, at most {MOST_RULES:,} are allowed", "/rules"))


def _write_all(items: Sequence[Item], faults: Mapping[int, Sequence[Finding]], dry_run: bool) -> Outcome:
    check_count(len(items))
    objections = _Objections()
    for place, findings in faults.items():
        objections.add(place, *findings)
    named = dict(_named(items, objections))
    with writing(dry_run=dry_run) as write:
        known = {row.external_id or "": row for row in _known(items)}
        former = {row.pk: (row.kind, row.key) for row in known.values()}
        entries = list(_entries(write, named, known, objections))
        faulty = [items[place] for place in objections.found]
        leaving = {known[name].pk for name in _names(faulty) if name in known}
        objections.unsettled |= {former[row_id] for row_id in leaving} | _keys_said(faulty)
        for entry in _whose_place_is_taken(entries, leaving):
            objections.add(entry.place, taken_finding("rule_identity_taken"), is_fault=False)
            objections.unsettled.update(entry.keys)
        _unsettle_what_stays(entries, objections.unsettled)
        written = [entry for entry in entries if entry.is_written and entry.keys[0] not in objections.unsettled]
        if written:
            _store(write, written)
            _judge(write, written, objections)
        objections.stop()
    created = sum(entry.is_new for entry in entries)
    ids = [None if dry_run and entry.is_new else entry.row.pk for entry in entries]
    return Outcome(created, len(written) - created, len(entries) - len(written), ids)


def _named(items: Sequence[Item], objections: _Objections) -> Iterator[tuple[int, Item]]:
    """The items that say which rule they are, each another one."""
    places: dict[str, int] = {}
    for place, values in enumerate(items):
        if place in objections.found:
            continue
        external_id = values.get("external_id")
        if not isinstance(external_id, str) or not external_id:
            objections.add(place, Finding("required", "A rule is known by its external id here.", "/external_id"))
        elif external_id in places:
            message = f"The rule at /rules/{places[external_id]} has this external id, too."
            objections.add(place, Finding("duplicate", message, "/external_id"))
        else:
            places[external_id] = place
            yield place, values


def _entries(
    write: Write, named: Mapping[int, Item], known: Mapping[str, AlertRule], objections: _Objections
) -> Iterator[_Entry]:
    references = _references(write, named.values())
    for place, values in named.items():
        row = known.get(values["external_id"])
        entry = _Entry(place, AlertRule()) if row is None else _Entry(place, row, set(), (row.kind, row.key))
        try:
            if row is None:
                begin(entry.row, values, write.topology, references)
            else:
                entry.changed = change(row, defaults() | dict(values), write.topology, references)
            if entry.changed is None or entry.changed & {"query_template", "variables"}:
                entry.noted = noted_of(entry.row)  # now: its query has just been read
        except PolicyError as refused:
            objections.add(place, *refused.findings, is_fault=isinstance(refused, InvalidPolicy))
            objections.unsettled.update(entry.keys)
        else:
            yield entry


def _names(items: Iterable[Item]) -> list[str]:
    """Their external ids, as far as these can be one."""
    said = [values.get("external_id") for values in items]
    return list(dict.fromkeys(name for name in said if isinstance(name, str) and check_text(name) is None))


def _keys_said(items: Iterable[Item]) -> set[KeyId]:
    """The keys that faulty items belong to, whatever their kind would be."""
    said = [values.get("key") or values.get("name") for values in items]
    return {(kind, key) for key in said if isinstance(key, str) for kind in KINDS}


def _known(items: Iterable[Item]) -> Iterator[AlertRule]:
    for some in _parts(_names(items), READ_AT_ONCE):
        yield from AlertRule.objects.living().filter(external_id__among=some).select_related(*RELATED)


def _references(write: Write, items: Iterable[Item]) -> References:
    items = list(items)
    references = References(write.places)
    for level, model in SCOPES.items():
        references.read(model, (values.get(f"{level}_id") for values in items))
    references.read(AlertTemplate, (values.get("template_id") for values in items))
    return references


def _whose_place_is_taken(entries: Sequence[_Entry], leaving: Collection[int]) -> Iterator[_Entry]:
    """Those that come where another living rule is, or another one of them will be. ``leaving``: rows that may go."""
    coming = [entry for entry in entries if entry.is_new or entry.is_moved]
    if not coming:
        return
    holders = {entry.identity for entry in entries if not (entry.is_new or entry.is_moved)}
    ours = {entry.row.pk for entry in entries}.union(leaving)
    for keys in _parts(sorted({entry.row.key for entry in coming}), READ_AT_ONCE):
        rows = AlertRule.objects.living().filter(key__among=keys, kind__in=sorted({entry.row.kind for entry in coming}))
        for row_id, kind, key, scope in rows.values_list("pk", "kind", "key", "scope_key"):
            if row_id not in ours:
                holders.add((kind, key, scope))
    for entry in coming:
        if entry.identity in holders:
            yield entry
        holders.add(entry.identity)


def _unsettle_what_stays(entries: Iterable[_Entry], unsettled: set[KeyId]) -> None:
    """A rule that would move to an unsettled key is not moved, and so unsettles the one that it would leave."""
    left: dict[KeyId, set[KeyId]] = {}
    for entry in entries if unsettled else ():
        left.setdefault(entry.keys[0], set()).update(entry.keys[1:])
    pending = list(unsettled)
    while pending:
        fresh = left.pop(pending.pop(), set()) - unsettled
        unsettled |= fresh
        pending += fresh


def _store(write: Write, written: Sequence[_Entry]) -> None:
    new = [entry.row for entry in written if entry.is_new]
    changed = [entry.row for entry in written if not entry.is_new]
    for row in (*new, *changed):
        row.revision = write.revision
    for row in changed:
        row.version += 1
    # Out of each other's way first: two may swap places, and the database looks at one after the other.
    aside = Concat(Value("moving:"), Cast("pk", CharField()))
    for ids in _parts([entry.row.pk for entry in written if entry.is_moved], READ_AT_ONCE):
        AlertRule.objects.filter(pk__among=ids).update(scope_key=aside)
    store_changed(changed, STORED)
    store_new(new)
    note({entry.row.pk: entry.noted for entry in written if entry.is_new and entry.noted})
    again = [entry for entry in written if not entry.is_new and entry.noted is not None]
    for some in _parts(again, READ_AT_ONCE):
        note_again({entry.row.pk: entry.noted for entry in some})


def _judge(write: Write, written: Sequence[_Entry], objections: _Objections) -> None:
    """Findings of a written rule say which one. The id of a new one names nothing, now that it is refused."""
    former = {entry.former for entry in written if entry.former is not None}
    try:
        rows = [entry.row for entry in written]
        compile_check.check_rules(write.topology, rows, former, objections.unsettled)
    except PolicyError as refused:
        objections.are_faults |= isinstance(refused, InvalidPolicy)
        by_id = {entry.row.pk: entry for entry in written}
        by_key = {entry.row.key: entry for entry in reversed(written)}
        for finding in refused.findings:
            entry = by_key.get(finding.key or "") if finding.rule_id is None else by_id.get(finding.rule_id)
            if entry is None:
                objections.elsewhere.append(finding)
            else:
                told = replace(finding, rule_id=None) if entry.is_new else finding
                objections.add(entry.place, told, is_fault=False)


def _parts(things: Sequence[Any], most: int) -> Iterator[Any]:
    for start in range(0, len(things), most):
        yield things[start : start + most]
