"""Asks the broker, a Redis, how it is; with little patience, since nothing depends on the answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
import redis

PATIENCE = 0.5
LOOKED_AT = 100
"""Messages of a queue that are looked at, the last ones in."""
REMEMBERED = 2.0
SENT_AT = "sent_at"
"""The header in which our messages carry when they were sent, seconds since the epoch."""


@dataclass(frozen=True)
class Waiting:
    """``length``: messages. ``age``: seconds since the one that is taken next was sent, by its sender's clock."""

    length: int = 0
    age: float = 0.0


_lock = threading.Lock()
_last: tuple[float, object, dict[str, Waiting] | None] = (float("-inf"), None, None)


def waiting(url: str, queues: tuple[str, ...]) -> dict[str, Waiting] | None:
    """What waits in each queue; None when the broker does not answer. Asked at most every two seconds."""
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
    name = _headers(message).get("task")
    return name if isinstance(name, str) else None


def _age(messages: Iterable[bytes]) -> float:
    """Clocks of several machines differ: never below 0, and 0 for what is not one of ours."""
    sent = (_headers(message).get(SENT_AT) for message in messages)
    return max((max(0.0, time.time() - at) for at in sent if isinstance(at, int | float)), default=0.0)


def _headers(message: bytes) -> dict[str, Any]:
    """As Celery writes them."""
    with suppress(orjson.JSONDecodeError, AttributeError):  # not one of ours
        headers = orjson.loads(message).get("headers", {})
        return headers if isinstance(headers, dict) else {}
    return {}


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)


def _ask(url: str, queues: tuple[str, ...]) -> dict[str, Waiting] | None:
    try:
        with _client(url) as client, client.pipeline(transaction=False) as pipeline:
            pipeline.ping()
            for queue in queues:
                pipeline.llen(queue)
                pipeline.lrange(queue, -1, -1)  # messages come in at the head, and are taken from the tail
            _, *answers = pipeline.execute()
    except (redis.RedisError, OSError, ValueError):
        return None
    return {
        queue: Waiting(int(length), _age(oldest))
        for queue, length, oldest in zip(queues, answers[::2], answers[1::2], strict=True)
    }
