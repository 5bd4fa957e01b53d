"""Asks the broker, a Redis, how it is; with little patience, since nothing depends on the answer."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import orjson
import redis

PATIENCE = 0.5
LOOKED_AT = 100
"""Messages of a queue that are looked at, the last ones in."""
REMEMBERED = 2.0

_lock = threading.Lock()
_last: tuple[float, object, dict[str, int] | None] = (float("-inf"), None, None)


def queue_lengths(url: str, queues: tuple[str, ...]) -> dict[str, int] | None:
    """Messages that wait in each queue; None when the broker does not answer. Asked at most every two seconds."""
    global _last
    with _lock:
        asked, about, known = _last
        if about != (url, queues) or time.monotonic() - asked >= REMEMBERED:
            known = _ask(url, queues)
            _last = (time.monotonic(), (url, queues), known)
        return known


def waits(url: str, queue: str, task: str) -> bool:
    """Whether a message of this task is among the last that came into the queue, and was not taken yet."""
    try:
        with _client(url) as client:
            messages = client.lrange(queue, 0, LOOKED_AT - 1)
    except (redis.RedisError, OSError, ValueError):
        return False
    return any(_task(message) == task for message in messages)


def _task(message: bytes) -> str | None:
    """As Celery writes them."""
    with suppress(orjson.JSONDecodeError, AttributeError):  # not one of ours
        name = orjson.loads(message).get("headers", {}).get("task")
        return name if isinstance(name, str) else None
    return None


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)


def _ask(url: str, queues: tuple[str, ...]) -> dict[str, int] | None:
    try:
        with _client(url) as client, client.pipeline(transaction=False) as pipeline:
            pipeline.ping()
            for queue in queues:
                pipeline.llen(queue)
            return {queue: int(length) for queue, length in zip(queues, pipeline.execute()[1:], strict=True)}
    except (redis.RedisError, OSError, ValueError):
        return None
