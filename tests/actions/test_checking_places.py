"""A change of places is judged by the keys it can touch, and the verdict is that of compiling everything."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from alerts.actions import compile_check, groups, namespaces, policy, rules
from alerts.actions.errors import Held, PolicyConflict, PolicyError
from alerts.domain.compiled import KeyPlan
from alerts.domain.compiler import compile_policy
from alerts.domain.layers import Layer, Topology
from alerts.models import Group, Namespace

LABELS = ("site", "stage", "zone", "place")
QUERIES = (
    "load1 > 4",
    "sum(load1) > 4",
    "sum by (site) (load1) > 4",
    "sum by (stage, target) (load1) > 4",
    'load1{site="s1"} > 4',
    'load1{site=~"s2|s3"} > 4',
    "absent(load1)",
    "job:load > 4",
    "total:load > 4",
    'count(ALERTS{alertname="Load0"}) > 1',
)
RECORDED = ("sum by (job) (load1)", "sum by (job, site) (load1)", "sum without (instance) (load1)", "load1 * 2")


class Judge:
    """Stands beside the check of places: whatever it finds, compiling everything must find."""

    def __init__(self, check: Callable[[Topology, Topology], None]) -> None:
        self._check = check
        self.verdicts: Counter[str] = Counter()

    def __call__(self, before: Topology, after: Topology) -> None:
        wrong = {
            finding
            for findings in compile_policy(policy.load(), policy.options()).problems.values()
            for finding in findings
        }
        refused: PolicyConflict | None = None
        try:
            self._check(before, after)
        except PolicyConflict as error:
            refused = error
        assert wrong == set(refused.findings if refused else ())
        self.verdicts["refused" if refused else "taken"] += 1
        if refused:
            raise refused


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Judge:
    judge = Judge(compile_check.check_places)
    monkeypatch.setattr(compile_check, "check_places", judge)
    return judge


class RandomWorld:
    """Places, rules at them, and further changes of places: most are taken, many are refused."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._numbers = iter(range(10_000))

    def one_of(self, choices: Any) -> Any:
        return self._random.choice(list(choices))

    def populate(self) -> None:
        for label, priority in (("site", 10), ("stage", 20)):
            namespaces.create({"name": label, "priority": priority})
        for number in range(7):
            self.attempt(lambda n=number: self.make_group(f"s{n}" if n < 5 else f"t{n}", "site" if n < 5 else "stage"))
        for _ in range(40):
            self.attempt(self.make_rule)

    def make_group(self, name: str, namespace: str) -> None:
        home = Namespace.objects.living().get(name=namespace)
        parents = Group.objects.living().filter(namespace=home).values_list("pk", flat=True)
        parent = self.one_of((None, *parents))
        groups.create({"name": name, "namespace_id": home.pk, "parent_id": parent})

    def make_rule(self) -> None:
        number = next(self._numbers)
        group = self.one_of((None, *Group.objects.living())) if self._random.random() < 0.9 else None
        home = self.one_of((None, None, None, *Namespace.objects.living())) if group is None else None
        values: dict[str, Any] = {
            "group_id": group and group.pk,
            "namespace_id": home and home.pk,
            "merge_strategy": self.one_of(("override", "merge")),
        }
        if self._random.random() < 0.25:
            name = self.one_of(("job:load", "total:load"))
            values |= {"kind": "recording", "key": self.one_of((name, f"r{number % 3}")), "name": name}
            values |= {"query_template": self.one_of(RECORDED)}
        else:
            values |= {"key": f"Load{number % 6}", "query_template": self.one_of(QUERIES)}
            values |= {"allow_split": self._random.random() < 0.2}
            values |= {"partition_by": [self.one_of(("site", "stage"))] if self._random.random() < 0.2 else []}
        rules.create(values)

    def change(self) -> None:
        """One change of places; it may be refused."""
        living = list(Group.objects.living())
        group, home = self.one_of(living), self.one_of(Namespace.objects.living())
        dead = [row.pk for row in Group.objects.deleted()]
        number = next(self._numbers)
        self.attempt(
            self.one_of(
                (
                    lambda: self.make_group(f"n{number}", home.name),
                    *[lambda: groups.update(group.pk, {"parent_id": self.one_of((None, *(row.pk for row in living)))})]
                    * 5,
                    lambda: groups.delete([group.pk]),
                    lambda: groups.restore(dead[-1:]),
                    lambda: namespaces.update(home.pk, {"priority": self.one_of((5, 10, 15, 20, 25))}),
                    lambda: namespaces.update(home.pk, {"label": self.one_of(LABELS)}),
                    lambda: namespaces.update(home.pk, {"name": f"space{number}"}),
                    lambda: namespaces.create({"name": f"space{number}", "label": self.one_of(LABELS)}),
                    lambda: namespaces.delete([home.pk]),
                )
            )
        )

    def attempt(self, write: Callable[[], Any]) -> None:
        with suppress(PolicyError, Held):
            write()


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(8))
def test_the_verdict_is_that_of_compiling_everything(judge: Judge, seed: int) -> None:
    world = RandomWorld(seed)
    world.populate()
    for _ in range(40):
        world.change()
    assert judge.verdicts["taken"] > 10


def codes(error: pytest.ExceptionInfo[PolicyConflict]) -> set[tuple[str, int | None]]:
    return {(finding.code, finding.rule_id) for finding in error.value.findings}


def test_a_move_that_would_cut_a_sum_in_pieces_is_refused(world: SimpleNamespace, judge: Judge) -> None:
    paris = groups.create({"name": "paris", "namespace_id": world.site.pk})
    whole = rules.create({"key": "Total", "group_id": world.europe.pk, "query_template": "sum(load1) > 9"})
    rules.create({"key": "Total", "group_id": paris.pk, "query_template": "sum(load1) > 4"})
    with pytest.raises(PolicyConflict) as error:
        groups.update(paris.pk, {"parent_id": world.europe.pk})
    assert codes(error) == {("would_split", whole.pk)}
    groups.update(paris.pk, {"parent_id": None, "name": "Paris"})


def test_most_keys_at_once_are_judged_with_all_others(
    world: SimpleNamespace, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compile_check, "MANY_KEYS", 0)
    test_a_move_that_would_cut_a_sum_in_pieces_is_refused(world, judge)


def test_a_label_that_a_recording_of_another_key_lacks_is_refused(world: SimpleNamespace, judge: Judge) -> None:
    rules.create({"kind": "recording", "name": "site:load", "query_template": "sum by (site) (load1)"})
    reader = rules.create({"key": "Load", "group_id": world.berlin.pk, "query_template": "site:load > 4"})
    with pytest.raises(PolicyConflict) as error:
        namespaces.update(world.site.pk, {"label": "place"})
    assert codes(error) == {("recording_lacks_label", reader.pk)}
    namespaces.update(world.stage.pk, {"label": "place"})


def test_a_key_that_was_broken_before_stops_no_change(world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    paris = groups.create({"name": "paris", "namespace_id": world.site.pk})
    rules.create({"key": "Total", "group_id": world.europe.pk, "query_template": "sum(load1) > 9"})
    rules.create({"key": "Total", "group_id": paris.pk, "query_template": "sum(load1) > 4"})
    monkeypatch.setattr(compile_check, "already_broken", lambda: {("alerting", "Total")})
    groups.update(paris.pk, {"parent_id": world.europe.pk})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(lambda at: groups.create({"name": "new", "namespace_id": at.site.pk}), set(), id="a new root"),
        pytest.param(
            lambda at: groups.create({"name": "new", "namespace_id": at.site.pk, "parent_id": at.berlin.pk}),
            {"HighLoad", "AtEurope"},
            id="a new group below others",
        ),
        pytest.param(
            lambda at: groups.create({"name": "new", "namespace_id": at.stage.pk, "parent_id": at.live.pk}),
            {"AtLive", "Divided"},
            id="a new value of what a rule is partitioned by",
        ),
        pytest.param(lambda at: groups.update(at.berlin.pk, {"name": "Berlin"}), set(), id="a new name of a group"),
        pytest.param(
            lambda at: groups.update(at.berlin.pk, {"parent_id": None}), {"HighLoad", "AtEurope"}, id="a move"
        ),
        pytest.param(lambda at: namespaces.create({"name": "new"}), {"Divided", "Split"}, id="a new label"),
        pytest.param(
            lambda at: namespaces.update(at.stage.pk, {"priority": 5}), {"AtLive", "AtStage"}, id="another priority"
        ),
        pytest.param(
            lambda at: namespaces.update(at.site.pk, {"description": "Where"}), set(), id="another description"
        ),
    ],
)
def test_only_what_a_change_can_touch_is_compiled(
    world: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[SimpleNamespace], Any],
    expected: set[str],
) -> None:
    for key, where in (("AtEurope", {"group_id": world.europe.pk}), ("AtLive", {"group_id": world.live.pk})):
        rules.create({"key": key, "query_template": "load1 > 1", **where})
    rules.create({"key": "AtStage", "query_template": "load1 > 2", "namespace_id": world.stage.pk})
    rules.create({"key": "Everywhere", "query_template": "load1 > 3"})
    rules.create({"key": "Divided", "query_template": "sum(load1) > 4", "partition_by": ["stage"]})
    rules.create({"key": "Split", "query_template": "sum(load1) > 5", "allow_split": True})
    seen: set[str] = set()
    compile_key = compile_check.compile_key

    def noticed(topology: Topology, layers: Iterable[Layer], *how: Any) -> KeyPlan:
        plan = compile_key(topology, layers, *how)
        seen.add(plan.key_id[1])
        return plan

    monkeypatch.setattr(compile_check, "compile_key", noticed)
    change(world)
    assert seen == expected
