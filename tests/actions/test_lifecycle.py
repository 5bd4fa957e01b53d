"""Deleting, restoring and purging: all or nothing, and nothing is pulled away from under somebody."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from alerts.actions import groups, namespaces, rules, targets, templates
from alerts.actions.errors import Held, InvalidPolicy, NotFound, PolicyConflict, Taken
from alerts.models import AlertRule, Group, Membership, PolicyState, Target

KINDS = [(namespaces, "site"), (groups, "berlin"), (targets, "web"), (templates, "template"), (rules, "rule")]


def empty_out(world: SimpleNamespace) -> None:
    """Delete everything, from the leaves up."""
    rules.delete([world.rule.pk])
    targets.delete([world.web.pk])
    groups.delete([world.europe.pk, world.berlin.pk, world.live.pk])
    namespaces.delete([world.site.pk, world.stage.pk])
    templates.delete([world.template.pk])


@pytest.mark.parametrize(
    ("module", "name", "holders"),
    [
        (namespaces, "site", [("group", "berlin"), ("group", "europe")]),
        (groups, "europe", [("group", "berlin")]),
        (groups, "berlin", [("target", "web-1"), ("alert-rule", "HighLoad")]),
        (groups, "live", [("target", "web-1")]),
    ],
)
def test_what_others_need_is_held(world: SimpleNamespace, module: Any, name: str, holders: Any) -> None:
    row = getattr(world, name)
    with pytest.raises(Held) as error:
        module.delete([row.pk])
    assert [(holder["type"], holder["name"]) for holder in error.value.held_by] == holders
    assert type(row).objects.living().filter(pk=row.pk).exists()


def test_rules_hold_their_namespace_and_target(world: SimpleNamespace) -> None:
    kept = namespaces.create({"name": "kept"})
    rules.create({"name": "A", "query_template": "up", "namespace_id": kept.pk})
    rules.create({"name": "A", "query_template": "up", "target_id": world.web.pk})
    for module, row in ((namespaces, kept), (targets, world.web)):
        with pytest.raises(Held) as error:
            module.delete([row.pk])
        assert [holder["type"] for holder in error.value.held_by] == ["alert-rule"]


def test_parent_and_child_go_together(world: SimpleNamespace) -> None:
    rules.delete([world.rule.pk])
    targets.update(world.web.pk, {"groups": []})
    assert groups.delete([world.europe.pk, world.berlin.pk]) == [world.europe.pk, world.berlin.pk]


@pytest.mark.parametrize(("module", "name"), KINDS)
def test_a_row_dies_comes_back_and_is_purged(world: SimpleNamespace, module: Any, name: str) -> None:
    row = getattr(world, name)
    model = type(row)
    empty_out(world)
    dead = model.objects.get(pk=row.pk)
    assert (dead.living, dead.version, dead.revision > row.revision) == (False, 2, True)
    for parent_module, parent in ((namespaces, "site"), (namespaces, "stage"), (groups, "europe"), (groups, "live")):
        parent_module.restore([getattr(world, parent).pk])
    if module in (rules, targets):
        groups.restore([world.berlin.pk])
    module.restore([row.pk])
    assert model.objects.get(pk=row.pk).living
    if module in (templates, rules):
        module.delete([row.pk])
        before = PolicyState.current()
        assert module.purge([row.pk]) == [row.pk]
        assert not model.objects.filter(pk=row.pk).exists()
        assert PolicyState.current() == before


def test_everything_can_be_purged_from_the_leaves_up(world: SimpleNamespace) -> None:
    empty_out(world)
    for module, ids in (
        (rules, [world.rule.pk]),
        (targets, [world.web.pk]),
        (groups, [world.europe.pk, world.berlin.pk, world.live.pk]),
        (namespaces, [world.site.pk, world.stage.pk]),
        (templates, [world.template.pk]),
    ):
        module.purge(ids)
    for model in (AlertRule, Target, Group, Membership):
        assert not model.objects.exists()


def test_the_dead_hold_what_they_would_come_back_to(world: SimpleNamespace) -> None:
    empty_out(world)
    with pytest.raises(Held) as error:
        groups.purge([world.berlin.pk])
    assert {holder["type"] for holder in error.value.held_by} == {"target", "alert-rule"}
    with pytest.raises(Held):
        namespaces.purge([world.site.pk])


@pytest.mark.parametrize(("module", "name"), KINDS)
def test_only_what_is_deleted_is_purged(world: SimpleNamespace, module: Any, name: str) -> None:
    with pytest.raises(PolicyConflict) as error:
        module.purge([getattr(world, name).pk])
    assert [finding.code for finding in error.value.findings] == ["not_deleted"]


@pytest.mark.parametrize(("module", "name"), [(groups, "berlin"), (targets, "web"), (rules, "rule")])
def test_nothing_comes_back_below_what_is_deleted(world: SimpleNamespace, module: Any, name: str) -> None:
    empty_out(world)
    before = PolicyState.current()
    with pytest.raises(PolicyConflict) as error:
        module.restore([getattr(world, name).pk])
    assert {finding.code for finding in error.value.findings} == {"deleted_reference"}
    assert PolicyState.current() == before


def test_nothing_comes_back_under_a_taken_name(world: SimpleNamespace) -> None:
    rules.delete([world.rule.pk])
    rules.create({"name": "HighLoad", "group_id": world.berlin.pk, "query_template": "up"})
    with pytest.raises(Taken):
        rules.restore([world.rule.pk])


def test_a_restored_rule_is_judged_again(world: SimpleNamespace) -> None:
    rules.update(world.rule.pk, {"config": {"labels": {"team": "core"}}})
    rules.delete([world.rule.pk])
    namespaces.create({"name": "team"})
    with pytest.raises(PolicyConflict) as error:
        rules.restore([world.rule.pk])
    assert [finding.code for finding in error.value.findings] == ["label_reserved"]


def test_a_restored_target_comes_back_to_its_groups(world: SimpleNamespace) -> None:
    targets.delete([world.web.pk])
    targets.restore([world.web.pk])
    assert Target.objects.living().get().group_ids() == sorted([world.berlin.pk, world.live.pk])


def test_restoring_the_living_changes_nothing(world: SimpleNamespace) -> None:
    before = PolicyState.current()
    assert rules.restore([world.rule.pk]) == [world.rule.pk]
    assert PolicyState.current() == before


@pytest.mark.parametrize("verb", ["delete", "restore", "purge"])
@pytest.mark.parametrize(("module", "name"), KINDS)
def test_every_unknown_id_is_named_and_nothing_is_done(
    world: SimpleNamespace, module: Any, name: str, verb: str
) -> None:
    row = getattr(world, name)
    with pytest.raises(NotFound) as error:
        getattr(module, verb)([10**6, row.pk, 2**70, -1])
    assert error.value.ids == (10**6, 2**70, -1)
    assert type(row).objects.get(pk=row.pk).version == 1


def test_a_deleted_row_cannot_be_deleted_again(world: SimpleNamespace) -> None:
    rules.delete([world.rule.pk])
    with pytest.raises(NotFound):
        rules.delete([world.rule.pk])


def test_an_id_counts_once_and_a_thousand_are_enough(world: SimpleNamespace) -> None:
    assert rules.delete([world.rule.pk] * 3) == [world.rule.pk]
    with pytest.raises(InvalidPolicy):
        rules.purge(range(1, 1002))


def test_many_rows_are_deleted_in_a_handful_of_statements(
    world: SimpleNamespace, django_assert_max_num_queries: Any
) -> None:
    rows = [Target(hostname=f"host-{number}") for number in range(1000)]
    made = [row.pk for row in Target.objects.bulk_create(rows)]
    with django_assert_max_num_queries(7):
        targets.delete(made)
    with django_assert_max_num_queries(10):
        targets.restore(made)
    assert set(Target.objects.filter(pk__in=made).values_list("version", "deleted_at")) == {(3, None)}
    targets.delete(made)
    with django_assert_max_num_queries(25):
        targets.purge(made)
    assert not Target.objects.filter(pk__in=made).exists()
