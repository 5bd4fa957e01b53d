"""The agent's life: finish or heal what was there, then deliver what comes, look every 30 s, report every minute.

One thread does everything to the rule directory and Prometheus; asking and reporting have a thread each, so that
nothing waits for a control plane that hangs.
"""

from __future__ import annotations

import logging
import queue
import signal
import time
from contextlib import nullcontext, suppress

from alerts.adapters.deliverer import problem
from alerts.agent.backoff import Backoff
from alerts.agent.control_plane import Away, ControlPlane, NoNews
from alerts.agent.holding import Account, Holding
from alerts.agent.offer import BrokenBundle, Offer
from alerts.agent.options import Options
from alerts.agent.outbox import Outbox
from alerts.agent.polling import Poller
from alerts.agent.reports import report_of
from config_server.logs import about

logger = logging.getLogger(__name__)

GOOD, UNDELIVERED, AWAY = 0, 1, 3
LAST_WORDS = 5.0
SIGN_OF_LIFE = "alive"
"""A file beside the last good bundle, touched after every turn, be it in vain."""
LONGEST_REST = 60.0
"""Seconds between two turns, should there be nothing to do: so old the sign of life gets while all is well."""


class Agent:
    """``seen``: how the last look or successful delivery went. ``failed``: the offer that is tried again."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.holding = Holding(options)
        self.control_plane = ControlPlane(options)
        self.outbox = Outbox(ControlPlane(options))
        self.inbox: queue.SimpleQueue[Offer | BrokenBundle | None] = queue.SimpleQueue()
        self.stopping = False
        self.backoff = Backoff()
        self.seen = Account()
        self.failed: Offer | None = None
        self.retry_at = self.look_at = self.report_at = 0.0

    def run(self) -> int:
        """Until a signal ends it; with ``once`` the exit code tells how the one pass went."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self._begin()
        if self.options.once:
            return self._once()
        Poller(self.control_plane, self.options.wait, self._etag, self.inbox.put).start()
        while not self.stopping:
            self._give_sign_of_life()
            message = self._next_message()
            if not self.stopping:
                try:
                    self._turn(message)
                except Exception as error:
                    self._stumble(message, error)
        self.outbox.flush(LAST_WORDS)
        logger.info("stopped")
        return GOOD

    @property
    def _etag(self) -> str:
        return self.holding.good.content_hash if self.holding.good else ""

    def _stop(self, *_: object) -> None:
        """What it is in the middle of is finished: that takes seconds."""
        self.stopping = True
        self.inbox.put(None)

    def _give_sign_of_life(self) -> None:
        """Its age tells an agent that hangs from one that only waits for the control plane, or for Prometheus."""
        with suppress(OSError):
            (self.options.keeps_in / SIGN_OF_LIFE).touch(mode=0o600)

    def _begin(self) -> None:
        """What is on disk and loaded comes first, whatever the control plane may say later."""
        unfinished = self.holding.open()
        if unfinished is not None:
            logger.info("an agent died in the middle of this: %s", unfinished)
            self._deliver(unfinished, check_all=True)
        self._heal()
        self._report_seen()
        good = self.holding.good
        logger.info("started, %s", f"holding {good}" if good else "without a set of its own yet")

    def _once(self) -> int:
        try:
            account = self._deliver(self.control_plane.bundle(self._etag, 0))
        except NoNews:
            account = self.seen
            for error in account.errors:
                logger.error("%s", error["message"])
        except (Away, BrokenBundle) as error:
            logger.error("%s", error)
            return AWAY
        self.outbox.flush(2 * LAST_WORDS)
        return GOOD if account.state in ("verified", "active") and not account.errors else UNDELIVERED

    def _stumble(self, message: Offer | BrokenBundle | None, error: Exception) -> None:
        """A fault of ours: said, and tried again; the next turn starts from what is on disk and loaded."""
        logger.exception("this turn failed")
        self.look_at = self.report_at = time.monotonic() + self.options.interval
        if isinstance(message, Offer):
            self.failed = message
        self.retry_at = time.monotonic() + self.backoff.after_failure()
        if self.failed is not None:
            fault = problem("agent_fault", f"the agent failed: {error!r}")
            self._report(self.failed.release, self.failed.content_hash, Account("failed", [fault]))

    def _next_message(self) -> Offer | BrokenBundle | None:
        """The newest one; None when it is time for something else."""
        due = min(self.look_at, self.report_at, self.retry_at if self.failed else self.look_at)
        newest: Offer | BrokenBundle | None = None
        try:
            newest = self.inbox.get(timeout=min(LONGEST_REST, max(0.0, due - time.monotonic())))
            while True:
                newest = self.inbox.get_nowait() or newest
        except queue.Empty:
            return newest

    def _turn(self, message: Offer | BrokenBundle | None) -> None:
        if isinstance(message, BrokenBundle):
            broken = problem("bundle_broken", message.message)
            self._report(message.release, "", Account("failed", [broken], loaded_hash=self.seen.loaded_hash))
        elif message is not None:
            logger.info("offered: %s", message)
            self.backoff.after_success()
            self._deliver(message)
        elif self.failed is not None and time.monotonic() >= self.retry_at:
            self._deliver(self.failed)
        if time.monotonic() >= self.look_at:
            before = self.seen
            self._heal()
            if any((before.drift, before.errors, self.seen.drift, self.seen.errors)):
                self._report_seen()
        if time.monotonic() >= self.report_at:
            self._report_seen()

    def _deliver(self, offer: Offer, *, check_all: bool = False) -> Account:
        with about(server=offer.server, release=offer.release):
            account = self.holding.deliver(offer, check_all=check_all)
            self.failed = None
            if account.state in ("verified", "active"):
                logger.info("%s: %s", account.state, offer)
                self.backoff.after_success()
                self._see(account)
            else:
                logger.error("%s: %s", account.state, "; ".join(error["message"] for error in account.errors[:3]))
                if account.state != "rejected":  # what promtool refuses it refuses again
                    self.failed, self.retry_at = offer, time.monotonic() + self.backoff.after_failure()
            self._report(offer.release, offer.content_hash, account)
        return account

    def _heal(self) -> None:
        good = self.holding.good
        with about(server=good.server, release=good.release) if good else nullcontext():
            self._see(self.holding.heal())
        self.look_at = time.monotonic() + self.options.interval

    def _see(self, account: Account) -> None:
        """What is wrong is said when it begins or changes, not at each look."""
        before, now = _wrong(self.seen), _wrong(account)
        self.seen = account
        for message in now:
            if message not in before:
                logger.warning("%s", message)
        if before and not now:
            logger.info("over: %s", "; ".join(before[:3]))

    def _report_seen(self) -> None:
        good = self.holding.good
        self._report(good.release if good else None, self._etag, self.seen)
        self.report_at = time.monotonic() + self.options.heartbeat

    def _report(self, release: int | None, content: str, account: Account) -> None:
        self.outbox.put(report_of(release, content, account, self.holding.versions()))


def _wrong(account: Account) -> list[str]:
    """But for a set that is yet to come: an agent says so when it starts."""
    return [error["message"] for error in account.errors if error["code"] != "no_bundle"]
