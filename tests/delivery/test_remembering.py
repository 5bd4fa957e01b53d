"""How keys were compiled is written down for the day they compile no more: whoever dies, sleeps, or comes anew."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.actions import compiled_keys, lease, policy, reconcile, rules, servers, targets, wanted
from alerts.actions.delivery import ReleaseJournal
from alerts.actions.deploy import deploy
from alerts.actions.lease import Lease, LeaseLost, take
from alerts.models import AlertRule, CompiledKey, Release, ServerState
from tests.delivery.conftest import break_behind_our_back, delivered, loaded_names
from tests.servers.prometheus import PrometheusServer


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    become_another_process(monkeypatch)


def become_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a memory of its own; what was remembered before comes back with ``monkeypatch.undo()``."""
    monkeypatch.setattr(compiled_keys, "_remembered", {})
    monkeypatch.setattr(lease, "_alone", {})
    monkeypatch.setattr(policy, "_cache", policy.PolicyCache())


@pytest.fixture
def lost(deployed: Release) -> Lease:
    taken = take("default")
    assert taken is not None
    ServerState.objects.update(lease_holder="another", lease_epoch=taken.epoch + 1)
    taken.release()
    return taken


def test_who_died_right_after_a_release_was_verified_loses_no_last_good(
    deployed: Release, server: PrometheusServer
) -> None:
    CompiledKey.objects.all().delete()  # it was not yet at that
    compiled_keys._remembered.clear()
    reconcile.reconcile()  # as the next worker does when it starts
    assert [key.key for key in CompiledKey.objects.all()] == ["Down"]
    break_behind_our_back(AlertRule.objects.get(), query_template="up ==")
    deploy("test")
    assert loaded_names(server) == {"Down"}


def test_nothing_is_written_again_for_what_is_remembered(
    deployed: Release, lost: Lease, django_assert_max_num_queries: Any
) -> None:
    found = wanted.wanted(server="default")
    with django_assert_max_num_queries(0):
        compiled_keys.remember_compiled(deployed, found, lost)


def test_who_was_overtaken_writes_no_older_compile_over_a_newer_one(deployed: Release, lost: Lease) -> None:
    before = list(CompiledKey.objects.values_list("release", "payload"))
    rules.update(AlertRule.objects.get().pk, {"query_template": "up == 5"})
    with pytest.raises(LeaseLost):
        compiled_keys.remember_compiled(deployed, wanted.wanted(server="default"), lost)
    assert list(CompiledKey.objects.values_list("release", "payload")) == before
    ServerState.objects.update(lease_holder="", lease_until=None)
    release = delivered(deploy("test"))
    assert CompiledKey.objects.get().release == release


def test_what_another_process_wrote_meanwhile_is_not_taken_for_ours(
    deployed: Release, server: PrometheusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It misses that a layer came and went: to it nothing has happened, and yet the key is written anew."""
    rule, web = AlertRule.objects.get(), targets.create({"hostname": "web-1"})
    rules.create({"name": "Other", "query_template": "up == 3"})
    delivered(deploy("test"))
    with monkeypatch.context() as other:
        become_another_process(other)
        layer = rules.create({"name": "Down", "query_template": "up == 7", "target_id": web.pk})
        gone = rules.create({"name": "Gone", "query_template": "up == 4"})
        delivered(deploy("test"))
        rules.delete([layer.pk, gone.pk])
    delivered(deploy("test"))
    written = {key.key: str(key.payload) for key in CompiledKey.objects.all()}
    assert (set(written), "up == 7" in written["Down"]) == ({"Down", "Other"}, False)
    break_behind_our_back(rule, query_template="up ==")
    delivered(deploy("test"))
    assert {one["query"] for group in server.rules() for one in group["rules"]} == {rule.query_template, "up == 3"}


def test_keys_that_are_gone_are_not_kept_in_memory(deployed: Release) -> None:
    rule = rules.create({"name": "Short", "query_template": "up == 3"})
    delivered(deploy("test"))
    assert {key for _, key in compiled_keys._remembered["default"].plans} == {"Down", "Short"}
    rules.delete([rule.pk])
    delivered(deploy("test"))
    assert {key for _, key in compiled_keys._remembered["default"].plans} == {"Down"}
    assert [key.key for key in CompiledKey.objects.all()] == ["Down"]


def test_who_was_overtaken_does_not_say_how_far_a_release_is(deployed: Release) -> None:
    taken = take("default")
    assert taken is not None
    journal = ReleaseJournal(Release.objects.get(), taken)
    ServerState.objects.update(lease_holder="another", lease_epoch=taken.epoch + 1)
    with pytest.raises(LeaseLost):
        journal.entered("staged")
    taken.release()
    assert Release.objects.get().state == "verified"
    assert servers.spec().enabled
