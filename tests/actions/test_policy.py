"""What a process keeps of the policy is, after any change, what it would read anew."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from alerts.actions import groups, policy, rules
from alerts.domain.layers import Policy


def grouped(found: Policy) -> dict[tuple[str, str], list[tuple[int, str, str | None]]]:
    return {
        key_id: [(layer.rule_id, layer.scope.text, layer.query) for layer in layers]
        for key_id, layers in found.by_key.items()
    }


EDITS = {
    "a query": lambda world: rules.update(world.rule.pk, {"query_template": "load1 > 5"}),
    "another key": lambda world: rules.update(world.rule.pk, {"key": "Aaa"}),
    "a new key": lambda world: rules.create({"name": "New", "query_template": "up == 0"}),
    "a layer more": lambda world: rules.create({"name": "HighLoad", "query_template": "load1 > 9"}),
    "a scope": lambda world: rules.update(world.rule.pk, {"group_id": world.live.pk}),
    "a death": lambda world: rules.delete([world.rule.pk]),
    "a death without a trace": lambda world: (rules.delete([world.rule.pk]), rules.purge([world.rule.pk])),
    "a resurrection": lambda world: (rules.delete([world.rule.pk]), policy.current(), rules.restore([world.rule.pk])),
    "a group": lambda world: groups.create({"name": "paris", "namespace_id": world.site.pk}),
    "a place in the tree": lambda world: groups.update(world.berlin.pk, {"parent_id": None}),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_the_policy_kept_in_memory_follows(world: SimpleNamespace, edit: object) -> None:
    rules.create({"name": "Other", "query_template": "up == 0"})
    before = policy.current()
    edit(world)  # type: ignore[operator]
    after = policy.current()
    assert after.revision > before.revision
    assert grouped(after.policy) == grouped(policy.load())
    assert list(after.policy.by_key) == list(policy.load().by_key), "in the order of keys"
    assert after.compiled.rules == policy.compile_policy(policy.load(), policy.options()).rules


def test_keys_nobody_touched_are_not_compiled_again(world: SimpleNamespace) -> None:
    rules.create({"name": "Other", "query_template": "up == 0"})
    before = policy.current().compiled.plans
    rules.update(world.rule.pk, {"query_template": "load1 > 5"})
    after = policy.current().compiled.plans
    assert after["alerting", "Other"] is before["alerting", "Other"]
    assert after["alerting", "HighLoad"] is not before["alerting", "HighLoad"]
