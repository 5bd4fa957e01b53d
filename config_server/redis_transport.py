"""kombu's Redis transport, made to survive a Redis that goes away while tasks are at work.

kombu hands unfinished messages back when it closes a channel, and acknowledges later those whose tasks went on. Without
that connection both raise, and the worker ends with "Unrecoverable error". Here it is left to the visibility timeout.
"""

from __future__ import annotations

import logging
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis

logger = logging.getLogger(__name__)


class QoS(redis.QoS):
    def restore_unacked_once(self, stderr: Any = None) -> None:
        try:
            super().restore_unacked_once(stderr)
        except (*self.channel.connection_errors, AttributeError) as error:  # the latter: it has no connection any more
            logger.warning("%s unfinished messages come back later: %s", len(self._delivered), error)
            self._delivered.clear()
            self._delivered.restored = True  # type: ignore[attr-defined]

    def ack(self, delivery_tag: str) -> None:
        """A task that outlived its connection: its message comes back, and finds nothing to do."""
        if self.channel.connection is None or self.channel.closed:
            logger.info("a message is not acknowledged: its connection is gone")
            return
        super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        if self.channel.connection is not None and not self.channel.closed:
            super().reject(delivery_tag, requeue)


class Channel(redis.Channel):
    QoS = QoS


class Transport(redis.Transport):
    Channel = Channel


def install() -> None:
    """From now on ``redis://`` and ``rediss://`` mean this."""
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:{Transport.__name__}"))
