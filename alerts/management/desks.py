"""What the worker remembers from one look to the next: of each server, of a burst of edits, and of all servers."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from alerts.actions.due import Due, Survey

SURVEY_EVERY = 5.0
"""Seconds until all servers are looked at, though nothing seemed to have moved."""
SETTLED = 0.3
LONGEST_WAIT = 1.5
NO_PROGRESS = (0.5, 5.0)
"""Seconds until the same need is tried again, first and at most: somebody else is at it, or a fault of our own."""


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


@dataclass
class Desk:
    """What this worker remembers of one server. ``looked_after``: the job that had ended before the last survey."""

    job: Future[bool] | None = None
    looked_after: Future[bool] | None = None
    tried: Due | None = None
    tried_in: Survey | None = None
    not_before: float = 0.0
    pause: float = 0.0
    reconciled: float = field(default=float("-inf"))

    @property
    def busy(self) -> bool:
        return self.job is not None and not self.job.done()

    @property
    def went_well(self) -> bool:
        """Whether the last job has ended, and its server then held what it should."""
        job = self.job
        return job is not None and job.done() and not job.cancelled() and job.exception() is None and job.result()

    @property
    def left_something(self) -> bool:
        """Whether a job has ended badly since the last survey."""
        return not self.busy and self.job is not self.looked_after and not self.went_well

    def has_done(self, need: Due, survey: Survey) -> bool:
        """Whether what was due at the last survey is done since. A survey after its end knows better.

        What is asked for by hand may be asked for again while it is done, and looks the same: there only a job that was
        begun after that survey counts.
        """
        by_hand = need.why in ("pending", "pin")
        done = need == self.tried and self.job is not self.looked_after and self.went_well
        return done and (not by_hand or self.tried_in is survey)

    def may_try(self, need: Due, now: float) -> bool:
        return need != self.tried or now >= self.not_before

    def note(self, need: Due, now: float, survey: Survey) -> None:
        """The same need again means that the last try changed nothing: less and less often."""
        first, most = NO_PROGRESS
        self.pause = min(most, max(first, self.pause * 2)) if need == self.tried else first
        self.tried, self.tried_in, self.not_before = need, survey, now + self.pause


@dataclass(frozen=True)
class Look:
    """A survey, when it was, and the glance right before it: the policy's revision first."""

    found: Survey
    at: float
    glance: tuple[int, ...]

    def holds(self, now: float, glance: tuple[int, ...], desks: Mapping[str, Desk]) -> bool:
        """Whether there is no sign that anything moved since, or nothing could be begun anyhow.

        What is due and neither under way nor done is looked at anew, and so is what a job left that did not go well.
        """
        if not 0 <= now - self.at < SURVEY_EVERY or self.found.may_retry():
            return False
        if self.all_busy(desks) and glance[0] == self.glance[0]:
            return True
        if glance != self.glance or any(desk.left_something for desk in desks.values()):
            return False
        at_hand = ((need, desks.get(need.server)) for need in self.found.due)
        return all(desk is not None and (desk.busy or desk.has_done(need, self.found)) for need, desk in at_hand)

    def all_busy(self, desks: Mapping[str, Desk]) -> bool:
        return bool(self.found.servers) and all(name in desks and desks[name].busy for name in self.found.servers)
