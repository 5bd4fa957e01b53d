"""Asks the broker, a Redis, how it is; with little patience, since nothing depends on the answer."""

from __future__ import annotations

import threading
import time

import redis

PATIENCE = 0.5
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


def _ask(url: str, queues: tuple[str, ...]) -> dict[str, int] | None:
    try:
        client = redis.Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)
        with client, client.pipeline(transaction=False) as pipeline:
            pipeline.ping()
            for queue in queues:
                pipeline.llen(queue)
            return {queue: int(length) for queue, length in zip(queues, pipeline.execute()[1:], strict=True)}
    except (redis.RedisError, OSError, ValueError):
        return None
