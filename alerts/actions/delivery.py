"""Gives one server one set of files, on behalf of a release: what ``DirectoryDelivery`` does, told to the database.

The lease is asked before every step that changes something outside, and its number goes with every write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from django.conf import settings

from alerts.actions import file_contents
from alerts.actions.compile_check import promtool
from alerts.actions.lease import Lease, LeaseLost
from alerts.actions.wanted import WantedSet
from alerts.adapters import directory_delivery
from alerts.adapters.deliverer import Bundle, Entered, Overtaken, Problem, Seen, Undelivered, deliver, problem
from alerts.adapters.directory_delivery import DirectoryDelivery, drift_problem, refusal_problem
from alerts.adapters.prometheus import Prometheus
from alerts.adapters.release_store import Drift, ReleaseStore, StoreError
from alerts.adapters.server_spec import ServerSpec
from alerts.models import Release

__all__ = [
    "Delivery",
    "Problem",
    "Undelivered",
    "briefly",
    "drift_problem",
    "look",
    "problem",
    "prometheus",
    "put_back",
    "refusal_problem",
    "rule_store",
]


PATIENCE = 3.0
"""Seconds."""


def rule_store(spec: ServerSpec) -> ReleaseStore:
    return ReleaseStore(spec.rule_dir, file_mode=spec.file_mode)


def prometheus(spec: ServerSpec) -> Prometheus:
    return Prometheus.of(
        spec, credentials_dir=settings.PROMETHEUS_CREDENTIALS_DIR, allowed=settings.PROMETHEUS_ALLOWED_HOSTS
    )


def briefly(spec: ServerSpec) -> ServerSpec:
    """For questions that somebody waits for at a page or an answer: a server that hangs must not hold them up."""
    return replace(spec, timeout=min(spec.timeout, PATIENCE))


@dataclass
class Delivery:
    """One attempt. The release's state is stored after every step; its ``timings`` are seconds by step.

    ``in_place``: the files of the release in force, by their hashes; ``drift``: how the disk was found to differ.
    """

    spec: ServerSpec
    wanted: WantedSet
    release: Release
    lease: Lease
    fallback: Callable[[], Mapping[str, bytes]]
    in_place: Mapping[str, str] | None = None
    check_all: bool = False

    def __post_init__(self) -> None:
        self.store = rule_store(self.spec)
        self.server = prometheus(self.spec)
        self.drift: list[Drift] = []

    def run(self) -> bool:
        """All steps; whether it was read back. Raises Undelivered with the state the release ends in, or LeaseLost."""
        deliverer = DirectoryDelivery(
            self.store,
            promtool(),
            self.server,
            journal=ReleaseJournal(self.release, self.lease),
            fallback=self.fallback,
            rule_dir=self.spec.rule_dir,
            reload_enabled=self.spec.reload_enabled,
            fence=self.lease.epoch,
            in_place=self.in_place,
            check_all=self.check_all,
        )
        try:
            return deliver(deliverer, _bundle(self.wanted))
        except Overtaken as overtaken:  # the directory knew before the database was asked
            raise LeaseLost(self.lease.server) from overtaken
        finally:
            self.drift = deliverer.drift


@dataclass
class ReleaseJournal:
    """Writes how it goes on into the release's row, and stops it when the lease is gone."""

    release: Release
    lease: Lease

    def before(self, step: str) -> None:
        self.lease.confirm()

    def entered(self, state: Entered) -> None:
        release = self.release
        release.state = state
        rows = Release.objects.filter(pk=release.pk)
        self.lease.update(rows, state=state, timings=release.timings, warnings=release.warnings)

    def took(self, step: str, seconds: float) -> None:
        self.release.timings[step] = round(self.release.timings.get(step, 0.0) + seconds, 4)

    def warn(self, problem: Problem) -> None:
        self.release.warnings.append(problem)


def put_back(spec: ServerSpec, release: Release, lease: Lease) -> None:
    """A release's files in force on disk, and nothing else: the next start reads them. Raises StoreError, LeaseLost."""
    contents = file_contents.contents(release.manifest, set(release.manifest))
    if missing := len(release.manifest) - len(contents):
        raise StoreError("contents_gone", f"{missing} of its files are no longer kept in the database")
    store = rule_store(spec)
    try:
        lease.renew()
        staged = store.stage(contents, lease.epoch)
        lease.renew()
        store.activate(staged.content_hash, lease.epoch)
    except StoreError as error:
        if error.code == "fenced_off":
            raise LeaseLost(lease.server) from error
        raise


def look(spec: ServerSpec, wanted: WantedSet) -> Seen:
    """How the server's disk and what it has loaded differ from a wanted set. Changes nothing."""
    return directory_delivery.look(rule_store(spec), prometheus(spec), _bundle(wanted), spec.rule_dir)


def _bundle(wanted: WantedSet) -> Bundle:
    return Bundle(wanted.contents, wanted.manifest, wanted.files)
