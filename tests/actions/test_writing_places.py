"""Namespaces, groups, targets and templates: what a write fills in and refuses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from alerts.actions import groups, namespaces, rules, targets, templates
from alerts.actions.errors import Held, InvalidPolicy, PolicyConflict, PolicyError, Taken
from alerts.models import Group, Namespace, PolicyState, Target


def objections(error: pytest.ExceptionInfo[PolicyError]) -> set[tuple[str, str]]:
    return {(finding.pointer, finding.code) for finding in error.value.findings}


# -- namespaces --------------------------------------------------------------------------------------------------------


def test_a_namespace_is_carried_by_its_name_unless_said_otherwise(world: SimpleNamespace) -> None:
    assert world.site.label == "site"
    row = namespaces.create({"name": "Data centre", "label": "dc"})
    assert (row.label, row.priority) == ("dc", 0)
    assert namespaces.update(world.site.pk, {"name": "place", "label": None}).label == "place"


def test_a_new_name_leaves_the_label(world: SimpleNamespace) -> None:
    assert namespaces.update(world.site.pk, {"name": "place"}).label == "site"


@pytest.mark.parametrize("label", ["target", "policy_scope", "severity", "alertname", "job", "instance", "__x", "a-b"])
def test_a_label_that_is_somebody_elses_is_refused(world: SimpleNamespace, label: str) -> None:
    with pytest.raises(InvalidPolicy) as error:
        namespaces.create({"name": "x", "label": label})
    assert {pointer for pointer, _ in objections(error)} == {"/label"}


def test_a_label_that_a_target_or_a_rule_sets_cannot_carry_a_namespace(world: SimpleNamespace) -> None:
    targets.update(world.web.pk, {"labels": {"team": "core"}})
    rules.update(world.rule.pk, {"config": {"labels": {"team": "core"}}})
    with pytest.raises(PolicyConflict) as error:
        namespaces.create({"name": "team"})
    assert [finding.rule_id for finding in error.value.findings] == [None, world.rule.pk]
    assert not Namespace.objects.filter(name="team").exists()
    with pytest.raises(PolicyConflict):
        namespaces.update(world.site.pk, {"label": "team"})


def test_a_namespace_that_rules_are_partitioned_by_keeps_its_name_and_its_life(world: SimpleNamespace) -> None:
    spare = namespaces.create({"name": "spare"})
    row = rules.create({"name": "Few", "query_template": "sum(up) < 3", "partition_by": ["spare"]})
    with pytest.raises(PolicyConflict) as error:
        namespaces.update(spare.pk, {"name": "other"})
    assert objections(error) == {("/name", "name_in_use")}
    with pytest.raises(Held) as held:
        namespaces.delete([spare.pk])
    assert [holder["id"] for holder in held.value.held_by] == [row.pk]
    rules.delete([row.pk])
    assert namespaces.update(spare.pk, {"name": "other"}).name == "other"
    namespaces.delete([spare.pk])


def test_a_taken_name_or_label_is_a_conflict(world: SimpleNamespace) -> None:
    for values, pointer in (({"name": "site", "label": "x"}, "/name"), ({"name": "x", "label": "site"}, "/label")):
        with pytest.raises(Taken) as error:
            namespaces.create(values)
        assert objections(error) == {(pointer, "taken")}


# -- groups ------------------------------------------------------------------------------------------------------------


def test_a_groups_label_value_outlives_its_name(world: SimpleNamespace) -> None:
    assert world.berlin.label_value == "berlin"
    row = groups.update(world.berlin.pk, {"name": "Berlin Mitte"})
    assert (row.name, row.label_value) == ("Berlin Mitte", "berlin")


@pytest.mark.parametrize("field", ["namespace_id", "label_value"])
def test_what_is_fixed_at_creation_stays(world: SimpleNamespace, field: str) -> None:
    same = getattr(world.berlin, field)
    assert groups.update(world.berlin.pk, {field: same}).version == 1
    assert groups.update(world.berlin.pk, {field: None}).version == 1
    with pytest.raises(InvalidPolicy) as error:
        groups.update(world.berlin.pk, {field: {"namespace_id": world.stage.pk, "label_value": "x"}[field]})
    assert {code for _, code in objections(error)} == {"fixed"}


def test_a_group_without_a_namespace_is_refused(world: SimpleNamespace) -> None:
    with pytest.raises(InvalidPolicy) as error:
        groups.create({"name": "x"})
    assert objections(error) == {("/namespace", "required")}


def test_a_parent_of_another_namespace_is_refused(world: SimpleNamespace) -> None:
    with pytest.raises(InvalidPolicy) as error:
        groups.create({"name": "x", "namespace_id": world.site.pk, "parent_id": world.live.pk})
    assert objections(error) == {("/parent", "other_namespace")}


@pytest.mark.parametrize("below", ["europe", "berlin"])
def test_a_cycle_is_refused(world: SimpleNamespace, below: str) -> None:
    with pytest.raises(InvalidPolicy) as error:
        groups.update(world.europe.pk, {"parent_id": getattr(world, below).pk})
    assert objections(error) == {("/parent", "cycle")}


def test_a_group_can_move_and_become_a_root(world: SimpleNamespace) -> None:
    asia = groups.create({"name": "asia", "namespace_id": world.site.pk})
    assert groups.update(world.berlin.pk, {"parent_id": asia.pk}).parent == asia
    assert groups.update(world.berlin.pk, {"parent_id": None}).parent is None
    assert Group.objects.get(pk=world.berlin.pk).version == 3


def test_names_repeat_across_namespaces_only(world: SimpleNamespace) -> None:
    groups.create({"name": "berlin", "namespace_id": world.stage.pk})
    with pytest.raises(Taken) as error:
        groups.create({"name": "berlin", "namespace_id": world.site.pk, "label_value": "b2"})
    assert objections(error) == {("/name", "taken")}
    with pytest.raises(Taken) as error:
        groups.create({"name": "b2", "namespace_id": world.site.pk, "label_value": "berlin"})
    assert objections(error) == {("/label_value", "taken")}


# -- targets -----------------------------------------------------------------------------------------------------------


def test_a_target_sits_in_one_group_per_namespace(world: SimpleNamespace) -> None:
    assert world.web.group_ids() == sorted([world.berlin.pk, world.live.pk])
    with pytest.raises(InvalidPolicy) as error:
        targets.update(world.web.pk, {"groups": [world.live.pk, world.berlin.pk, world.europe.pk]})
    assert objections(error) == {("/groups/2", "two_groups")}


def test_a_target_can_move_and_the_same_groups_are_no_change(world: SimpleNamespace) -> None:
    same = targets.update(world.web.pk, {"groups": [world.live.pk, world.berlin.pk, world.berlin.pk]})
    assert same.version == 1
    moved = targets.update(world.web.pk, {"groups": [world.europe.pk]})
    assert (moved.version, moved.group_ids()) == (2, [world.europe.pk])
    assert Target.objects.get(pk=world.web.pk).group_ids() == [world.europe.pk]


def test_a_dry_run_shows_the_groups_it_would_store(world: SimpleNamespace) -> None:
    row = targets.create({"hostname": "web-2", "groups": [world.live.pk]}, dry_run=True)
    assert row.group_ids() == [world.live.pk]
    moved = targets.update(world.web.pk, {"groups": []}, dry_run=True)
    assert (moved.group_ids(), moved.version) == ([], 2)
    assert Target.objects.get().group_ids() == sorted([world.berlin.pk, world.live.pk])


def test_unknown_and_deleted_groups_are_told_apart(world: SimpleNamespace) -> None:
    empty = groups.create({"name": "empty", "namespace_id": world.stage.pk})
    groups.delete([empty.pk])
    with pytest.raises(InvalidPolicy) as error:
        targets.create({"hostname": "x", "groups": [empty.pk, 10**6, "1"]})
    assert objections(error) == {("/groups/1", "unknown_reference"), ("/groups/2", "unknown_reference")}
    with pytest.raises(PolicyConflict) as conflict:
        targets.create({"hostname": "x", "groups": [empty.pk]})
    assert objections(conflict) == {("/groups/0", "deleted_reference")}


@pytest.mark.parametrize("label", ["site", "target", "policy_scope", "alertname", "__address__", "a b"])
def test_a_targets_own_labels_say_nothing_about_its_position(world: SimpleNamespace, label: str) -> None:
    with pytest.raises(InvalidPolicy) as error:
        targets.update(world.web.pk, {"labels": {label: "x"}})
    assert {pointer for pointer, _ in objections(error)} == {f"/labels/{label}"}


@pytest.mark.parametrize(
    ("values", "pointer"),
    [
        ({"hostname": ""}, "/hostname"),
        ({"hostname": None}, "/hostname"),
        ({"status": "off"}, "/status"),
        ({"endpoints": [{"job": "node", "port": 0}]}, "/endpoints/0/port"),
        ({"address": "a b"}, "/address"),
        ({"hostname": "web-1\0"}, "/hostname"),
        ({"description": "x"}, "/description"),
        ({"groups": 5}, "/groups"),
    ],
)
def test_a_bad_target_is_refused(world: SimpleNamespace, values: Any, pointer: str) -> None:
    with pytest.raises(InvalidPolicy) as error:
        targets.update(world.web.pk, values)
    assert {found for found, _ in objections(error)} == {pointer}


# -- templates ---------------------------------------------------------------------------------------------------------


def test_a_template_is_judged_with_its_variables(world: SimpleNamespace) -> None:
    with pytest.raises(InvalidPolicy) as error:
        templates.update(world.template.pk, {"variables": []})
    assert {pointer for pointer, _ in objections(error)} == {"/query_template"}


def test_a_templates_name_is_taken_until_it_is_deleted(world: SimpleNamespace) -> None:
    values = {"name": "High load", "query_template": "up"}
    with pytest.raises(Taken):
        templates.create(values)
    templates.delete([world.template.pk])
    templates.create(values)


def test_a_change_of_a_template_moves_the_revision_on(world: SimpleNamespace) -> None:
    before = PolicyState.current()
    assert templates.update(world.template.pk, {"description": "x"}).revision == before + 1
