"""One writer per server: who holds the lease, for how long, and how it is lost."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from alerts.actions import lease
from alerts.actions.lease import LeaseLost, held, take
from alerts.adapters import process_identity
from alerts.models import DEFAULT_SERVER as SERVER
from alerts.models import ServerState
from tests.servers.processes import eventually

pytestmark = [pytest.mark.database, pytest.mark.django_db]
HOUR = timedelta(hours=1)


def somebody_else(**values: Any) -> None:
    """Another machine holds the lease for another minute."""
    given = {"lease_holder": "elsewhere/0/1/1/abcd", "lease_until": Now() + timedelta(minutes=1)} | values
    ServerState.objects.update_or_create(pk=SERVER, defaults=given)


def row() -> ServerState:
    return ServerState.objects.get(pk=SERVER)


def test_the_epoch_grows_at_each_take_and_a_lease_is_given_back() -> None:
    epochs = []
    for _ in range(3):
        with held(SERVER) as mine:
            assert mine is not None
            epochs.append(mine.epoch)
            assert row().lease_epoch == mine.epoch
            assert take(SERVER) is None
    assert epochs == [epochs[0], epochs[0] + 1, epochs[0] + 2]
    assert row().lease_holder == ""


def test_a_lease_that_somebody_holds_is_not_taken_whatever_this_host_thinks_of_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    somebody_else()
    now = timezone.now()
    for jump in (0 * HOUR, 10 * HOUR, -10 * HOUR):
        monkeypatch.setattr(timezone, "now", lambda jump=jump: now + jump)
        assert take(SERVER) is None


@pytest.mark.parametrize("until", [-timedelta(seconds=1), 10 * HOUR], ids=["run out", "absurdly far away"])
def test_a_lease_that_has_run_out_or_never_will_is_free(until: timedelta) -> None:
    somebody_else(lease_until=Now() + until)
    with held(SERVER) as mine:
        assert mine is not None


def test_who_lost_it_notices_at_the_next_step_and_stores_nothing() -> None:
    with held(SERVER) as mine:
        assert mine is not None
        mine.renew()
        somebody_else(lease_epoch=F("lease_epoch") + 1)
        with pytest.raises(LeaseLost), transaction.atomic():
            mine.guard()
        assert mine.lost
        with pytest.raises(LeaseLost):
            mine.renew()
    assert row().lease_holder.startswith("elsewhere"), "somebody else's lease was given back"


def test_a_guard_outside_a_transaction_is_a_mistake() -> None:
    with held(SERVER) as mine:
        assert mine is not None
        connection = connections["default"]
        before, connection.in_atomic_block = connection.in_atomic_block, False
        try:
            with pytest.raises(transaction.TransactionManagementError):
                mine.guard()
        finally:
            connection.in_atomic_block = before


def test_the_lease_of_a_dead_process_of_this_machine_is_free_and_of_a_living_one_is_not() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    here = process_identity.myself().split("/")[:2]
    start = process_identity._stat(child.pid)[1]
    identity = "/".join([*here, str(child.pid), start])
    somebody_else(lease_holder=f"{identity}/abcd")
    assert take(SERVER) is None
    child.kill()
    while process_identity._stat(child.pid)[0] not in "Z?":
        time.sleep(0.01)
    assert process_identity.is_gone(identity), "a zombie writes nothing"
    child.wait()
    with held(SERVER) as mine:
        assert mine is not None


@pytest.mark.parametrize(
    ("identity", "gone"),
    [
        ("{host}/{place}/{pid}/{start}", False),
        ("{host}/{place}/{pid}/1", True),  # the pid is used again
        ("{host}/{place}/999999999/1", True),
        ("{host}/elsewhere/999999999/1", False),  # a container of the same name counts its own pids
        ("other/{place}/999999999/1", False),
        ("{host}/{place}/999999999/", False),
        ("{host}:999999999:abcd", False),  # as it was written once
        ("", False),
    ],
)
def test_a_process_is_gone_only_when_that_is_certain(identity: str, gone: bool) -> None:
    host, place, pid, start = process_identity.myself().split("/")
    assert process_identity.is_gone(identity.format(host=host, place=place, pid=pid, start=start)) is gone


def test_a_lease_that_this_process_forgot_together_with_the_database_is_free() -> None:
    mine = take(SERVER)
    assert mine is not None
    lease._held_here.discard(mine.holder)  # as release() does when the database is away
    lease._heart.let_go(mine)
    with held(SERVER) as again:
        assert again is not None


@pytest.mark.django_db(transaction=True)
def test_a_holder_that_is_long_at_it_keeps_its_lease_and_notices_when_it_is_gone(settings: Any) -> None:
    settings.LEASE_SECONDS = 1.0
    with held(SERVER) as mine:
        assert mine is not None
        first = row().lease_until
        time.sleep(1.5)
        later = row().lease_until
        assert first is not None
        assert later is not None
        assert later > first + timedelta(seconds=0.5)
        assert take(SERVER) is None
        somebody_else(lease_epoch=F("lease_epoch") + 1)
        end = time.monotonic() + 5
        while not mine.lost and time.monotonic() < end:
            time.sleep(0.02)
        assert mine.lost


@pytest.mark.django_db(transaction=True)
def test_a_holder_that_hangs_while_its_process_lives_is_succeeded(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LEASE_SECONDS = 1.0
    monkeypatch.setattr(lease, "LONGEST_STEP", 1.0)
    mine = take(SERVER)
    assert mine is not None
    time.sleep(0.7)
    mine.renew()
    time.sleep(0.7)
    assert take(SERVER) is None, "it goes on, step by step"
    end = time.monotonic() + 10
    while (other := take(SERVER)) is None and time.monotonic() < end:
        time.sleep(0.05)
    assert other is not None
    with pytest.raises(LeaseLost):
        mine.renew()
    for one in (mine, other):
        one.release()


@pytest.mark.django_db(transaction=True)
def test_one_thread_keeps_all_leases_of_a_process_and_ends_with_the_last(settings: Any) -> None:
    settings.LEASE_SECONDS = 1.0
    before = threading.active_count()
    mine = [take(f"prom-{number:02}") for number in range(20)]
    assert threading.active_count() == before + 1
    time.sleep(1.5)
    free = ServerState.objects.filter(lease_until__lt=Now() + timedelta(seconds=0.2))
    assert not free.exists()
    for one in mine:
        assert one is not None
        assert not one.lost
        one.release()
    eventually(lambda: threading.active_count() == before, timeout=5, what="its end")
    with held("prom-00"):
        assert threading.active_count() == before + 1, "and begins anew"


@pytest.mark.django_db(transaction=True)
def test_of_many_leases_only_the_one_that_was_taken_over_is_lost(settings: Any) -> None:
    settings.LEASE_SECONDS = 1.0
    with held(SERVER) as mine, held("other") as other:
        assert mine is not None
        assert other is not None
        somebody_else(lease_epoch=F("lease_epoch") + 1)
        time.sleep(1.5)
        assert mine.lost
        assert not other.lost
        assert take("other") is None


@pytest.mark.django_db(transaction=True)
def test_a_row_that_somebody_locks_keeps_no_other_lease_from_being_renewed(settings: Any) -> None:
    if connections["default"].vendor != "postgresql":
        pytest.skip("SQLite knows no locks on rows")
    settings.LEASE_SECONDS = 1.0
    with held(SERVER) as mine, held("other") as other:
        assert mine is not None
        assert other is not None
        with transaction.atomic():
            mine.guard()
            time.sleep(2)
            rows = {row.name: row.lease_until for row in ServerState.objects.all()}
            now = ServerState.objects.annotate(now=Now()).values_list("now", flat=True)[0]
            assert rows["other"] > now - timedelta(seconds=2) + timedelta(seconds=1.5)
        assert not mine.lost
        time.sleep(1.5)
        mine.renew()
        assert ServerState.objects.filter(lease_until__gt=Now()).count() == 2


@pytest.mark.django_db(transaction=True)
def test_of_many_that_ask_at_once_one_gets_it() -> None:
    ServerState.objects.get_or_create(pk=SERVER)
    barrier = threading.Barrier(8)
    got = []

    def ask() -> None:
        try:
            barrier.wait()
            got.append(take(SERVER))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [mine for mine in got if mine is not None]
    assert len(got) == 8
    assert len(winners) == 1
    winners[0].release()
