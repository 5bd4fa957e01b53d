"""The worker: sees that the policy moved on, lets a burst of edits settle, and deploys; reconciles now and then.

It asks for the wanted state a few times a second (one indexed row) instead of waiting for messages, so none can be
lost.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from django.db import OperationalError, close_old_connections
from django.utils import timezone

from alerts.actions import releases
from alerts.actions.deploy import deploy
from alerts.actions.reconcile import reconcile
from alerts.models import DEFAULT_SERVER, PolicyState, Release, ServerState

logger = logging.getLogger(__name__)

POLL = 0.2
SETTLED = 0.3
LONGEST_WAIT = 1.5
RECONCILE_EVERY = 30.0


@dataclass
class Burst:
    """Edits that follow one another: waited for until none came for a moment, but not for long."""

    revision: int = -1
    first_seen: float = 0.0
    last_seen: float = 0.0

    def settled(self, revision: int, now: float) -> bool:
        if self.revision < 0:
            self.first_seen = now
        if revision != self.revision:
            self.revision, self.last_seen = revision, now
        return now - self.last_seen >= SETTLED or now - self.first_seen >= LONGEST_WAIT

    def over(self) -> None:
        self.revision = -1


class Worker:
    """One server's worker. ``stop`` lets it finish what it is in the middle of."""

    def __init__(self, server: str = DEFAULT_SERVER, *, reconcile_every: float = RECONCILE_EVERY) -> None:
        self.server = server
        self.reconcile_every = reconcile_every
        self._stopping = threading.Event()
        self._burst = Burst()
        self._tried = -1
        self._reconciled = float("-inf")

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        """Until ``stop``. A database that is away, or a fault of our own, is logged and tried again."""
        delay = POLL
        while not self._stopping.is_set():
            try:
                self.step(time.monotonic())
                delay = POLL
            except OperationalError as error:
                logger.error("the database is away: %s", error)
                delay = min(delay * 2, 10.0)
            except Exception:
                logger.exception("a pass of the worker failed")
                delay = min(delay * 2, 60.0)
            close_old_connections()
            self._stopping.wait(delay)

    def step(self, now: float) -> None:
        """One look, and what follows from it."""
        revision = PolicyState.current()
        if now - self._reconciled >= self.reconcile_every and self._may_try(revision):
            self._tried, self._reconciled = revision, time.monotonic()
            reconcile(server=self.server)
            self._burst.over()
            return
        if not self._wanted(revision):
            self._burst.over()
            return
        if self._burst.settled(revision, now) and self._may_try(revision):
            self._tried = revision
            deploy("policy", server=self.server)
            self._burst.over()

    def _wanted(self, revision: int) -> bool:
        state = ServerState.objects.filter(pk=self.server).only("loaded_revision", "pinned_release", "retry_at").first()
        if Release.objects.filter(server=self.server, state=Release.State.PENDING).exists():
            return True
        if state is None or state.retry_at is not None:
            return True
        return state.pinned_release_id is None and state.loaded_revision != revision

    def _may_try(self, revision: int) -> bool:
        """After a failure the same revision waits for its time; a new one is tried at once."""
        retry_at = releases.state_of(self.server).retry_at
        return retry_at is None or revision != self._tried or retry_at <= timezone.now()
