"""How keys were compiled is written down for the day they compile no more: whoever dies, sleeps, or comes anew."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.actions import compiled_keys, reconcile, rules, servers, wanted
from alerts.actions.delivery import ReleaseJournal
from alerts.actions.deploy import deploy
from alerts.actions.lease import LeaseLost, take
from alerts.models import AlertRule, CompiledKey, Release, ServerState
from tests.delivery.conftest import break_behind_our_back, delivered, loaded_names
from tests.servers.prometheus import PrometheusServer


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_keys, "_remembered", {})


def lost() -> None:
    raise LeaseLost("default")


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


def test_nothing_is_written_again_for_what_is_remembered(deployed: Release, django_assert_max_num_queries: Any) -> None:
    found = wanted.wanted(server="default")
    with django_assert_max_num_queries(0):
        compiled_keys.remember_compiled(deployed, found, lost)


def test_who_was_overtaken_writes_no_older_compile_over_a_newer_one(deployed: Release) -> None:
    before = list(CompiledKey.objects.values_list("release", "payload"))
    rules.update(AlertRule.objects.get().pk, {"query_template": "up == 5"})
    with pytest.raises(LeaseLost):
        compiled_keys.remember_compiled(deployed, wanted.wanted(server="default"), lost)
    assert list(CompiledKey.objects.values_list("release", "payload")) == before
    release = delivered(deploy("test"))
    assert CompiledKey.objects.get().release == release


def test_keys_that_are_gone_are_not_kept_in_memory(deployed: Release) -> None:
    rule = rules.create({"name": "Short", "query_template": "up == 3"})
    delivered(deploy("test"))
    assert {key for _, key in compiled_keys._remembered["default"]} == {"Down", "Short"}
    rules.delete([rule.pk])
    delivered(deploy("test"))
    assert {key for _, key in compiled_keys._remembered["default"]} == {"Down"}
    assert [key.key for key in CompiledKey.objects.all()] == ["Down"]


def test_who_was_overtaken_does_not_say_how_far_a_release_is(deployed: Release) -> None:
    lease = take("default")
    assert lease is not None
    journal = ReleaseJournal(Release.objects.get(), lease)
    ServerState.objects.update(lease_holder="another", lease_epoch=lease.epoch + 1)
    with pytest.raises(LeaseLost):
        journal.entered("staged")
    lease.release()
    assert Release.objects.get().state == "verified"
    assert servers.spec().enabled
