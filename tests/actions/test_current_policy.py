"""The policy a process keeps in memory is the one in the database, whatever was written meanwhile."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from alerts.actions import effective, groups, namespaces, policy, rules, targets
from alerts.domain.layers import Policy
from alerts.models import PolicyState


def said(found: Policy) -> set[tuple[object, ...]]:
    """All a policy says, without the identities of its objects."""
    layers = {(layer.rule_id, layer.key_id, layer.scope, layer.query, layer.enabled) for layer in found.layers}
    return layers | {*found.topology.namespaces, *found.topology.groups}  # type: ignore[arg-type]


EDITS = {
    "a rule changes": lambda world: rules.update(world.rule.pk, {"query_template": "load1 > 5"}),
    "a rule goes": lambda world: rules.delete([world.rule.pk]),
    "a rule comes back": lambda world: (rules.delete([world.rule.pk]), rules.restore([world.rule.pk])),
    "a rule moves": lambda world: rules.update(world.rule.pk, {"group_id": None, "namespace_id": world.stage.pk}),
    "a target is renamed": lambda world: targets.update(world.web.pk, {"hostname": "web-2"}),
    "a target moves": lambda world: targets.update(world.web.pk, {"groups": [world.live.pk]}),
    "a namespace is renamed": lambda world: namespaces.update(world.site.pk, {"name": "place"}),
    "a group moves": lambda world: groups.update(world.berlin.pk, {"parent_id": None}),
    "a rule is gone for good": lambda world: (rules.delete([world.rule.pk]), rules.purge([world.rule.pk])),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_what_is_kept_in_memory_follows_every_edit(world: SimpleNamespace, edit) -> None:
    rules.create({"key": "HighLoad", "target_id": world.web.pk, "enabled": False})
    policy.current()
    edit(world)
    assert said(policy.current().policy) == said(policy.load())


def test_a_mute_at_a_target_follows_its_new_hostname(world: SimpleNamespace) -> None:
    rules.create({"key": "HighLoad", "target_id": world.web.pk, "enabled": False})
    assert effective.effective_for_target(world.web.pk)["rules"] == []
    targets.update(world.web.pk, {"hostname": "web-2"})
    assert effective.effective_for_target(world.web.pk)["rules"] == []


def test_every_commit_of_the_policy_is_dated(world: SimpleNamespace) -> None:
    before = PolicyState.last_commit()
    rules.update(world.rule.pk, {"query_template": "load1 > 6"})
    after = PolicyState.last_commit()
    assert after.revision == before.revision + 1
    assert after.at > before.at
    assert policy.current().loaded.commit == after
    assert policy.current("consolidated").loaded is policy.current("per-scope").loaded
