"""Beat that does not pile up what nobody takes: of each kind one message waits, however long no worker runs.

It looks into the queue itself, so there is no mark that could be lost or left behind: after a flush the next tick sends
again. A queue that cannot be looked into is sent to.
"""

from __future__ import annotations

from typing import Any

from celery.beat import PersistentScheduler, ScheduleEntry
from celery.utils.log import get_logger

from alerts.adapters.broker import waits

logger = get_logger(__name__)


class Frugal(PersistentScheduler):
    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        queue = self.app.amqp.router.route({}, entry.task)["queue"].name
        if waits(self.app.conf.broker_url, queue, entry.task):
            logger.info("%s still waits in %s: no other is sent", entry.task, queue)
        else:
            super().apply_entry(entry, producer)
