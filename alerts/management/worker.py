"""The worker: looks a few times a second at what servers need, and delivers to several of them at once.

It asks the database instead of waiting for messages, so none can be lost: one tiny query tells whether anything seems
to have moved, and a survey of all servers, at once then and now and then anyhow, tells what is due. One server that
hangs holds one thread and delays no other.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from django.conf import settings
from django.db import InterfaceError, OperationalError, connections

from alerts.actions.deploy import Outcome, deploy
from alerts.actions.due import Survey, glance, survey
from alerts.actions.errors import NotFound
from alerts.actions.housekeeping import keep_house
from alerts.actions.reconcile import reconcile
from alerts.management.desks import Burst, Desk, Look

logger = logging.getLogger(__name__)

POLL = 0.2
ALL_BUSY = 1.0
"""Seconds between two looks while every server is being delivered to, unless one of these jobs ends."""
RECONCILE_EVERY = 30.0
KEEP_HOUSE_EVERY = 3600.0
PARALLEL = 32
PATIENCE_WITH_DATABASE = 5.0
SIGN_OF_LIFE = "worker-alive"
"""A file below VAR_DIR, touched after every look at the database, be it in vain: at least once a minute."""
HOUSE = ""
"""Stands for a server's name: the house is kept in the same pool."""


class Worker:
    """All enabled servers' worker. ``stop`` lets it finish what it is in the middle of."""

    def __init__(
        self, *, reconcile_every: float = RECONCILE_EVERY, parallel: int = PARALLEL, poll: float = POLL
    ) -> None:
        self.reconcile_every = reconcile_every
        self.poll = poll
        self._stopping = threading.Event()
        self._stirred = threading.Event()
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="deliver")
        self._desks: dict[str, Desk] = {}
        self._burst = Burst()
        self._next_reconcile = float("-inf")
        self._last: Look | None = None

    def stop(self) -> None:
        self._stopping.set()
        self._stirred.set()

    def run(self) -> None:
        """Until ``stop``. A database that is away, or a fault of our own, is logged and tried again."""
        delay = 0.0
        while not self._rest(delay):
            try:
                self.step(time.monotonic())
                delay = POLL if self._burst.revision >= 0 else self.poll
            except (OperationalError, InterfaceError) as error:
                logger.error("the database is away: %s", str(error).strip())
                delay = min(max(delay, POLL) * 2, PATIENCE_WITH_DATABASE)
                connections.close_all()  # else it is kept: PostgreSQL forks a process for each
            except Exception:
                logger.exception("a look of the worker failed")
                delay = min(max(delay, POLL) * 2, 60.0)
                connections.close_all()
            _give_sign_of_life()
        connections.close_all()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _rest(self, delay: float) -> bool:
        """Waits for the next look; whether there shall be none."""
        if self._stopping.is_set():
            return True
        if self._last is not None and self._last.all_busy(self._desks):
            self._stirred.wait(max(delay, ALL_BUSY))
            return self._stopping.is_set()
        return self._stopping.wait(delay)

    def step(self, now: float) -> None:
        """One look at all servers, and what follows from it."""
        self._stirred.clear()
        found = self._survey(now)
        for gone in self._desks.keys() - {*found.servers, HOUSE}:
            if not self._desks[gone].busy:
                del self._desks[gone]
        free = [need for need in found.due if not self._desk(need.server).busy]
        open_needs = [need for need in free if not self._desk(need.server).has_done(need, found)]
        ready = [need for need in open_needs if self._desk(need.server).may_try(need, now)]
        edited = [need for need in ready if need.why == "policy"]
        if not edited or self._burst.settled(found.revision, now):
            self._burst.over()
        else:
            ready = [need for need in ready if need.why != "policy"]
        for need in ready:
            self._desk(need.server).note(need, now, found)
            self._start(need.server, partial(deploy, need.why, server=need.server))
        self._look_around(found, now)
        self._keep_house(now)

    def _survey(self, now: float) -> Survey:
        """All servers as they are now, or as they were some seconds ago when nothing suggests a change."""
        # Before they are looked at: what moves meanwhile is seen to have moved the next time.
        seen, ended = glance(), [desk for desk in self._desks.values() if not desk.busy]
        if self._last is None or not self._last.holds(now, seen, self._desks):
            self._last = Look(survey(), now, seen)
            for desk in ended:
                desk.looked_after = desk.job
        return self._last.found

    def _look_around(self, found: Survey, now: float) -> None:
        """Reconciles one by one, spread over the time between two looks at the same server."""
        if now < self._next_reconcile or not self._stale(found, now):
            return
        if self._last is not None and self._last.at != now:  # somebody else may have looked at it since
            self._last = None
            found = self._survey(now)
        pace = self.reconcile_every * 0.8 / max(1, len(found.servers))
        self._next_reconcile = now + pace
        for name in self._stale(found, now)[: max(1, math.ceil(self.poll / pace))]:
            self._desk(name).reconciled = now
            self._start(name, partial(reconcile, server=name))

    def _stale(self, found: Survey, now: float) -> list[str]:
        return [
            name
            for name in found.stale(0.0)
            if not self._desk(name).busy and self._is_stale(found.age(name), now - self._desk(name).reconciled)
        ]

    def _is_stale(self, age: float, ours: float) -> bool:
        """``age``: since anybody looked; ``ours``: since this worker did. At its start it looks at every server."""
        return ours >= self.reconcile_every / 2 and (age >= self.reconcile_every or ours == float("inf"))

    def _keep_house(self, now: float) -> None:
        desk = self._desk(HOUSE)
        if not desk.busy and now >= desk.not_before:
            if desk.not_before:  # not at every start
                self._start(HOUSE, keep_house)
            desk.not_before = now + KEEP_HOUSE_EVERY

    def _desk(self, server: str) -> Desk:
        return self._desks.setdefault(server, Desk())

    def _start(self, server: str, job: Callable[[], object]) -> None:
        started = self._desk(server).job = self._pool.submit(_run, server, job)
        started.add_done_callback(lambda _: self._stirred.set())


def _give_sign_of_life() -> None:
    """For whoever watches the process: its age tells a worker that hangs from one that only waits for the database."""
    with contextlib.suppress(OSError):
        (settings.VAR_DIR / SIGN_OF_LIFE).touch()


def _run(server: str, job: Callable[[], object]) -> bool:
    """Whether the server then holds what it should."""
    try:
        outcome = job()
        return isinstance(outcome, Outcome) and outcome.good
    except (OperationalError, InterfaceError) as error:
        logger.error("%s: the database is away: %s", server or "housekeeping", str(error).strip())
    except NotFound:
        logger.info("%s: it was deleted meanwhile", server)
    except Exception:
        logger.exception("%s: a job failed", server or "housekeeping")
    finally:
        connections.close_all()  # this thread's own
    return False
