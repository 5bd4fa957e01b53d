"""Asking a real Redis how long its queues are, with little patience."""

from __future__ import annotations

import json
import time

import pytest

from alerts.adapters import broker
from tests.servers.processes import free_port
from tests.servers.redis import RedisServer

QUEUES = ("deploy", "reconcile")


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "_last", (float("-inf"), None, None))


def push(url: str, queue: str, times: int) -> None:
    import redis

    with redis.Redis.from_url(url) as client:
        for number in range(times):
            client.lpush(queue, str(number))


def lengths(url: str) -> dict[str, int]:
    found = broker.waiting(url, QUEUES)
    assert found is not None
    return {queue: waiting.length for queue, waiting in found.items()}


def test_every_queue_has_a_length(redis_server: RedisServer) -> None:
    push(redis_server.url(), "deploy", 3)
    assert lengths(redis_server.url()) == {"deploy": 3, "reconcile": 0}
    assert broker.waiting(redis_server.url(), ()) == {}


def test_it_is_not_asked_at_every_scrape(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lengths(redis_server.url()) == {"deploy": 0, "reconcile": 0}
    push(redis_server.url(), "deploy", 1)
    assert lengths(redis_server.url()) == {"deploy": 0, "reconcile": 0}
    monkeypatch.setattr(broker, "REMEMBERED", 0.0)
    assert lengths(redis_server.url()) == {"deploy": 1, "reconcile": 0}


def test_a_queue_is_as_old_as_the_message_that_is_taken_next(redis_server: RedisServer) -> None:
    import redis

    def message(ago: float) -> str:
        return json.dumps({"body": "", "headers": {"task": "alerts.sweep", broker.SENT_AT: time.time() - ago}})

    with redis.Redis.from_url(redis_server.url()) as client:
        client.lpush("deploy", message(90), message(5))
        client.lpush("reconcile", message(-3600))
    found = broker.waiting(redis_server.url(), QUEUES)
    assert found is not None
    assert 90 <= found["deploy"].age < 95
    assert found["reconcile"].age == 0, "a clock that is ahead makes nothing younger than it is"


@pytest.mark.parametrize("odd", ["", "7", "[]", '{"headers": 3}', '{"headers": {}}', '{"headers": {"sent_at": "x"}}'])
def test_a_message_that_is_none_of_ours_has_no_age(redis_server: RedisServer, odd: str) -> None:
    import redis

    with redis.Redis.from_url(redis_server.url()) as client:
        client.lpush("deploy", odd)
    found = broker.waiting(redis_server.url(), QUEUES)
    assert found == {"deploy": broker.Waiting(1, 0.0), "reconcile": broker.Waiting()}


def test_a_broker_that_is_away_costs_half_a_second_at_most(redis_server: RedisServer) -> None:
    start = time.monotonic()
    assert broker.waiting(f"redis://127.0.0.1:{free_port()}/0", QUEUES) is None
    assert redis_server._process is not None
    redis_server._process.freeze()
    try:
        assert broker.waiting(redis_server.url(), QUEUES) is None
    finally:
        redis_server._process.thaw()
    assert time.monotonic() - start < 5
    assert broker.waiting("redis://127.0.0.1:1/0", QUEUES) is None


def test_a_queue_that_is_no_list_is_as_bad_as_none(redis_server: RedisServer) -> None:
    import redis

    with redis.Redis.from_url(redis_server.url()) as client:
        client.set("deploy", "x")
    assert broker.waiting(redis_server.url(), QUEUES) is None


@pytest.mark.parametrize("odd", ["", "7", "[]", "{}", '{"headers": 3}', '{"headers": {"task": 3}}'])
def test_a_task_that_waits_is_found_among_what_others_sent(redis_server: RedisServer, odd: str) -> None:
    import redis

    url = redis_server.url()
    assert not broker.waits(url, "deploy", "alerts.sweep")
    with redis.Redis.from_url(url) as client:
        client.lpush("deploy", json.dumps({"body": "", "headers": {"task": "alerts.sweep"}}), odd)
        assert broker.waits(url, "deploy", "alerts.sweep")
        assert not broker.waits(url, "deploy", "alerts.deploy")
        assert not broker.waits(url, "reconcile", "alerts.sweep")
        client.flushall()
    assert not broker.waits(url, "deploy", "alerts.sweep")
    redis_server.stop()
    assert not broker.waits(url, "deploy", "alerts.sweep"), "what cannot be seen is sent again"
