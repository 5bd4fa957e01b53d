"""Beat without a worker: what nobody takes does not pile up, and losing it loses nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import redis

from alerts.adapters import broker
from config_server.celery import LOOK_AROUND_EVERY, SWEEP_EVERY
from tests.servers.processes import eventually
from tests.tasks.conftest import Installation

pytestmark = pytest.mark.timeout(180)


def test_of_each_kind_one_message_waits_however_long_nobody_takes_it(
    make_installation: Callable[..., Installation],
) -> None:
    installation = make_installation()
    client = redis.Redis.from_url(installation.redis.url())

    def waiting() -> dict[str, int]:
        return {queue: client.llen(queue) for queue in ("deploy", "reconcile")}

    beat = installation.start_beat()
    eventually(lambda: waiting() == {"deploy": 1, "reconcile": 1}, timeout=SWEEP_EVERY + 15)
    time.sleep(2 * LOOK_AROUND_EVERY + 1)
    assert waiting() == {"deploy": 1, "reconcile": 1}
    assert "alerts.reconcile_all still waits in reconcile" in beat.output
    oldest = broker.waiting(installation.redis.url(), ("deploy", "reconcile"))
    assert oldest is not None
    assert all(2 * LOOK_AROUND_EVERY < found.age < 60 for found in oldest.values()), "its age tells that nobody does"
    client.flushall()
    eventually(lambda: waiting() == {"deploy": 1, "reconcile": 1}, timeout=SWEEP_EVERY + 15, what="what was flushed")
    installation.start_worker()
    eventually(lambda: waiting() == {"deploy": 0, "reconcile": 0}, what="taken")
    sent = beat.output.count("Sending due task look around")
    eventually(lambda: beat.output.count("Sending due task look around") >= sent + 2, timeout=3 * LOOK_AROUND_EVERY)
