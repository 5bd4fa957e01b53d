"""What the agent does to its Prometheus: delivers an offer, looks, heals. One attempt each.

Laws:

- A set goes in only after it was written down (``Kept.begin``), and is the last good one only after it was read back.
- What lies in place after a ``kill -9`` is finished first when it is the set that was just being tried, else healed.
- A set that was verified before goes back on disk even while Prometheus is away: damaged files may keep it from
  starting.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from alerts.adapters.deliverer import Entered, Problem, Undelivered, deliver, problem
from alerts.adapters.directory_delivery import DirectoryDelivery
from alerts.adapters.prometheus import Prometheus, PrometheusError
from alerts.adapters.promtool import Promtool, PromtoolError, Refusal
from alerts.adapters.release_store import ReleaseStore, StoreError
from alerts.agent import AGENT_VERSION
from alerts.agent.kept import Kept
from alerts.agent.offer import Offer
from alerts.agent.options import Options

logger = logging.getLogger(__name__)

SETS_ON_DISK = 3
SETTLED = 2.0
CLOSE_LOOKS = 10
"""Every so many looks one is close all the same: it also finds rules that cannot be evaluated."""


@dataclass
class Account:
    """How an attempt went: what a report is made of. Also the journal of its delivery."""

    state: str = "verified"
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    drift: list[Problem] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    loaded_hash: str = ""

    def before(self, step: str) -> None:
        """Nobody takes this server over: the lock on the directory is held by this process."""

    def entered(self, state: Entered) -> None: ...

    def took(self, step: str, seconds: float) -> None:
        self.timings[step] = round(self.timings.get(step, 0.0) + seconds, 4)

    def warn(self, problem: Problem) -> None:
        self.warnings.append(problem)


@dataclass
class Sight:
    """When looking closely again is of no use: rules change by a reload only, and a server tells when the last one was.

    It tells it in seconds. So a time counts once it was known for longer than one, before that close look began.
    """

    loaded_at: str | None = None
    since: float = 0.0
    clean_hash: str = ""
    failing: list[Problem] = field(default_factory=list)
    looks: int = 0
    settled: bool = False

    def is_fresh(self, content_hash: str, loaded_at: str | None) -> bool:
        if loaded_at is None or loaded_at != self.loaded_at:
            self.loaded_at, self.since, self.clean_hash = loaded_at, time.monotonic(), ""
        self.settled = loaded_at is not None and time.monotonic() - self.since > SETTLED
        self.looks += 1
        return self.clean_hash == content_hash and self.looks % CLOSE_LOOKS != 0

    def clean(self, content_hash: str, failing: list[Problem]) -> None:
        """A close look, after ``is_fresh``, found nothing but these rules that cannot be evaluated."""
        self.failing = failing
        self.clean_hash = content_hash if self.settled else ""


class Holding:
    """``good``: the offer that was last read back, and is to stay whatever happens."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.store = ReleaseStore(options.rule_dir)
        self.promtool = Promtool(options.promtool)
        self.prometheus = Prometheus(
            options.prometheus,
            timeout=min(options.timeout, 10.0),
            reload_timeout=options.timeout,
            credentials=options.access,
        )
        self.kept = Kept(options.keeps_in)
        self.good: Offer | None = None
        self.sight = Sight()

    def open(self) -> Offer | None:
        """The last good offer, and, when an agent died here in the middle of one that is in place, that one."""
        self.kept.open()
        self.good = self.kept.last_good()
        self._prune()  # and what somebody who was killed left
        unfinished = self.kept.unfinished()
        if unfinished is not None and self.store.current() == unfinished.content_hash:
            return unfinished
        self.kept.give_up()
        return None

    def deliver(self, offer: Offer, *, check_all: bool = False) -> Account:
        account = Account()
        try:
            self.kept.begin(offer)
        except OSError as error:
            account.state, account.errors = "failed", [self._why_not_written(error)]
            return self._end(account)
        try:
            read_back = deliver(self._delivery(account, check_all), offer.bundle)
        except Undelivered as undelivered:
            account.state, account.errors = undelivered.state, undelivered.problems
            account.refusals = undelivered.refusals
            self.kept.give_up()
            return self._end(account)
        account.state = "verified" if read_back else "active"
        self.kept.succeed()
        self.good = offer
        account.loaded_hash = offer.content_hash if read_back else ""
        self._prune()
        return account

    def look(self) -> Account:
        """What differs from the last good set. Changes nothing."""
        account = Account()
        if self.good is None:
            account.state, account.errors = "failed", [problem("no_bundle", "nothing was delivered yet")]
            account.errors += self._unreachable()
            return account
        if self._is_as_last_seen(self.good):
            account.loaded_hash, account.warnings = self.good.content_hash, list(self.sight.failing)
            return account
        seen = self._delivery(account, check_all=True).look(self.good.bundle)
        if not seen.any and not seen.unreachable:
            self.sight.clean(self.good.content_hash, seen.failing)
        account.drift = [*seen.on_disk, *seen.loaded]
        account.warnings += seen.failing
        if seen.unreachable:
            account.errors.append(problem("prometheus_unavailable", seen.unreachable))
        if not account.drift and not account.errors:
            account.loaded_hash = self.good.content_hash
        elif seen.on_disk or self.options.reload:
            account.state = "failed"
        else:
            account.state = "active"  # in place; what is loaded is for whoever reloads it
        return account

    def heal(self) -> Account:
        """Looks, and brings the last good set back where something differs. ``drift`` is what was found."""
        found = self.look()
        if self.good is None or not found.drift:
            return found
        for drift in found.drift[:5]:
            logger.warning("drift: %s", drift["message"])
        if found.state == "active":
            return found
        good, account = self.good, found
        if not found.errors:
            account = self.deliver(good, check_all=True)
            account.drift = found.drift
        if account.state in ("verified", "active"):
            logger.info("healed: %s", good)
        elif self.store.drift(good.bundle.manifest):  # nobody there to load it, or not able to: the disk at least
            told = {error["code"] for error in account.errors}
            account.errors += [error for error in self._put_back(good) if error["code"] not in told]
        return account

    def versions(self) -> Mapping[str, str]:
        """Of all that takes part; "" for what does not tell now."""
        prometheus = flavour = ""
        with suppress(PrometheusError):
            prometheus, flavour = self.prometheus.version() or "", self.prometheus.flavour()
        try:
            promtool = self.promtool.version() if self.promtool.available else ""
        except PromtoolError:
            promtool = ""
        return {
            "prometheus_version": prometheus,
            "promtool_version": promtool,
            "flavour": flavour,
            "agent_version": AGENT_VERSION,
        }

    def _delivery(self, account: Account, check_all: bool) -> DirectoryDelivery:
        good = self.good
        return DirectoryDelivery(
            self.store,
            self.promtool,
            self.prometheus,
            journal=account,
            fallback=lambda: good.bundle.contents if good is not None else {},
            rule_dir=self.options.rule_dir,
            reload_enabled=self.options.reload,
            check_all=check_all,
            in_parts=self._filters(),
        )

    def _is_as_last_seen(self, good: Offer) -> bool:
        """Nothing on disk differs, and Prometheus loaded nothing since it was last looked at closely."""
        try:
            loaded_at = self.prometheus.runtime().loaded_at
        except PrometheusError:
            return False
        return self.sight.is_fresh(good.content_hash, loaded_at) and not self.store.drift(good.bundle.manifest)

    def _filters(self) -> bool:
        """Whether this server sends only the rules it is asked for: Prometheus since 3.0."""
        try:
            major = (self.prometheus.version() or "").partition(".")[0]
            return self.prometheus.flavour() == "prometheus" and major.isdigit() and int(major) >= 3
        except PrometheusError:
            return False

    def _end(self, account: Account) -> Account:
        """After a failure: what is loaded now, if that can be told."""
        account.loaded_hash = self.look().loaded_hash
        return account

    def _why_not_written(self, error: OSError) -> Problem:
        """Most often it is the rule directory, in which the agent keeps its own: then in that one's words."""
        try:
            self.store.probe()
        except StoreError as found:
            return _store_problem(found)
        message = f"what is about to be delivered cannot be written down in {self.kept.directory}: {error.strerror}"
        return problem("agent_state", message)

    def _put_back(self, offer: Offer) -> list[Problem]:
        try:
            self.store.activate(self.store.stage(offer.bundle.contents).content_hash)
        except StoreError as error:
            return [_store_problem(error)]
        logger.info("put back on disk, to be loaded later: %s", offer)
        return []

    def _prune(self) -> None:
        """Keeps the last few sets: unchanged files of the next one are links into them."""

        def age(content: str) -> float:
            try:
                return time.time() - self.store.path_of(content).stat().st_mtime
            except OSError:
                return 0.0

        try:
            self.store.prune(sorted(self.store.releases(), key=age)[:SETS_ON_DISK])
        except StoreError as error:
            logger.warning("old sets cannot be removed: %s", error)

    def _unreachable(self) -> list[Problem]:
        try:
            self.prometheus.runtime()
        except PrometheusError as error:
            return [problem("prometheus_unavailable", str(error))]
        return []


def _store_problem(error: StoreError) -> Problem:
    return problem(error.code, error.message, hint=error.hint or None)
