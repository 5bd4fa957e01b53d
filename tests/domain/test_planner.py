"""What going from one set of rules to another means."""

from __future__ import annotations

from dataclasses import replace

from alerts.domain.planner import DeployedRule, Plan, deployed, plan
from alerts.domain.renderer import render
from tests.domain.policies import EACH_SERIES, compiled, env, layer, threshold

RULE = DeployedRule("global.yml", "global-1", "alerting", "CPU", "cpu > 1", "5m", None, (("severity", "info"),), ())


def compare(before: list[DeployedRule], after: list[DeployedRule]) -> Plan:
    return plan(before, after, {rule.file: "" for rule in before}, {rule.file: " " for rule in after})


def test_the_same_rules_are_no_change() -> None:
    found = plan([RULE], [RULE], {"global.yml": "h"}, {"global.yml": "h"})
    assert found == Plan()
    assert found.empty


def test_a_new_query_is_a_change_that_restarts_nothing() -> None:
    found = compare([RULE], [replace(RULE, expr="cpu > 2")])
    (change,) = found.changed
    assert change.fields == {"expr": ("cpu > 1", "cpu > 2")}
    assert not change.restarts_timer
    assert found.files_changed == ("global.yml",)
    assert (found.added, found.removed, found.identities, found.timers) == ((), (), (), ())


def test_a_rule_that_moves_restarts_its_timer_if_it_has_one() -> None:
    moved = replace(RULE, group="global-2")
    assert compare([RULE], [moved]).timers == (moved,)
    at_once = replace(RULE, for_duration=None)
    assert compare([at_once], [replace(at_once, group="global-2")]).timers == ()
    zero = replace(RULE, for_duration="0s")
    assert compare([zero], [replace(zero, group="global-2")]).timers == ()


def test_another_label_is_another_identity() -> None:
    other = replace(RULE, labels=(("severity", "critical"),))
    found = compare([RULE], [other])
    assert (found.added, found.removed) == ((other,), (RULE,))
    assert found.identities == ((RULE, other),)
    assert found.timers == (other,)


def test_rules_that_come_and_go_alone() -> None:
    other = replace(RULE, name="Disk", file="other.yml")
    found = compare([RULE], [other])
    assert (found.added, found.removed, found.identities) == ((other,), (RULE,), ())
    assert (found.files_added, found.files_removed) == (("other.yml",), ("global.yml",))


def test_rules_of_one_identity_are_told_apart_by_place() -> None:
    """Two keys may make rules of one name and the same labels."""
    twin = replace(RULE, file="twin.yml")
    assert compare([RULE], [RULE, twin]).added == (twin,)
    assert compare([RULE, twin], [twin]).removed == (RULE,)
    found = compare([RULE, twin], [RULE, replace(twin, expr="cpu > 3")])
    assert [change.before for change in found.changed] == [twin]
    assert compare([RULE, twin], [twin, RULE]).changed == ()


def test_an_override_for_one_group_seen_by_the_planner() -> None:
    base = layer(1, query=EACH_SERIES, config={"for_duration": "5m"})
    production = layer(2, env("production"), config=threshold(90))
    for layout, added in (("per-scope", 1), ("consolidated", 0)):
        before, after = (compiled(*layers, layout=layout).rules for layers in ([base], [base, production]))
        found = plan(
            map(deployed, before),
            map(deployed, after),
            {name: file.sha256 for name, file in render(before).items()},
            {name: file.sha256 for name, file in render(after).items()},
        )
        assert len(found.added) == added
        assert [change.fields.keys() for change in found.changed] == [{"expr"}]
        assert (found.removed, found.identities, found.timers) == ((), (), ())
