"""Makes a server hold what the database wants: the one way to deploy, behind API, commands, worker and tasks.

    look → compile → render → deliver → record → prune

Level-triggered: it starts from the wanted state, never from a message, so calling it too often does nothing and calling
it late loses nothing. Unchanged content is neither written nor loaded again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from alerts.actions import releases, servers, waking, wanted
from alerts.actions.compile_check import promtool_version
from alerts.actions.delivery import Delivery, Undelivered, drift_problem, problem
from alerts.actions.lease import Lease, LeaseLost, held
from alerts.actions.outcomes import record_failure, record_success
from alerts.actions.wanted import WantedSet
from alerts.adapters.failpoints import reach
from alerts.adapters.promtool import Refusal
from alerts.adapters.server_spec import ServerSpec
from alerts.domain.errors import Finding
from alerts.domain.layers import KeyId
from alerts.models import DEFAULT_SERVER, PolicyState, Release, ServerState

logger = logging.getLogger(__name__)

State = Release.State


@dataclass(frozen=True)
class Outcome:
    """``release``: what the server holds or was to hold; ``changed``: whether anything was delivered for it.

    ``release`` None: somebody else is writing to this server.
    """

    release: Release | None
    changed: bool = False

    @property
    def good(self) -> bool:
        return self.release is not None and self.release.state in releases.IN_FORCE


def deploy(trigger: str, *, server: str = DEFAULT_SERVER, force: bool = False) -> Outcome:
    """Brings ``server`` to the wanted state, once. ``force``: deliver and read back even when nothing seems changed."""
    with held(server) as lease:
        if lease is None:
            return Outcome(None)
        try:
            return _deploy(trigger, lease, force)
        except LeaseLost:
            logger.warning("the lease of %s was taken over; this deploy stops", server)
            return Outcome(None)


def request(trigger: str, *, server: str = DEFAULT_SERVER) -> Outcome:
    """Asks for a deploy by whichever worker comes first; nothing to ask for: the release in force."""
    state = releases.state_of(server)
    if releases.in_sync(servers.spec(server), state):
        return Outcome(state.loaded_release)
    pending = Release.objects.filter(server=server, state=State.PENDING).first()
    if pending is None:
        pending = Release.objects.create(server=server, revision=PolicyState.current(), trigger=trigger)
        waking.server_changed(server)
    return Outcome(pending, changed=True)


def deploy_and_wait(trigger: str, *, server: str = DEFAULT_SERVER, timeout: float = 30.0) -> Outcome:
    """Deploys in this process; waits for a worker that is at it already. ``release`` None: not within ``timeout``."""
    deadline = time.monotonic() + timeout
    while True:
        outcome = deploy(trigger, server=server)
        if outcome.release is not None or time.monotonic() >= deadline:
            return outcome
        time.sleep(0.1)


def _deploy(trigger: str, lease: Lease, force: bool) -> Outcome:
    spec = servers.spec(lease.server)
    state = releases.state_of(lease.server)
    releases.abandon_unfinished(lease.server)
    pending = releases.take_pending(lease.server)
    start = time.perf_counter()
    reach("compile.before")
    wanted_set = _wanted(state)
    reach("render.after")
    compile_seconds = round(time.perf_counter() - start, 4)
    drift = releases.disk_drift(spec, state.loaded_release)
    if not force and not drift and releases.holds(state, wanted_set):
        return Outcome(releases.note_unchanged(state, wanted_set, pending))
    release = pending or releases.reusable_failure(state, wanted_set) or Release(server=lease.server)
    release.trigger = release.trigger or trigger
    release.timings = {"compile": compile_seconds}
    release.errors, release.warnings = [], [drift_problem(found) for found in drift]
    if state.loaded_revision > wanted_set.revision and state.pinned_release is None:
        # An older state never goes over a newer one.
        return Outcome(state.loaded_release)
    return _deliver(spec, release, wanted_set, state, lease, check_all=force or bool(drift))


def _wanted(state: ServerState) -> WantedSet:
    if state.pinned_release is not None:
        return wanted.of_release(state.pinned_release)
    found = wanted.wanted(server=state.name)
    reach("compile.after")
    return found


def _deliver(
    spec: ServerSpec, release: Release, wanted_set: WantedSet, state: ServerState, lease: Lease, check_all: bool
) -> Outcome:
    for _ in range(3):
        releases.describe(release, wanted_set, state)
        delivery = Delivery(spec, wanted_set, release, lease, partial(releases.last_good, state), check_all)
        try:
            delivery.run()
        except Undelivered as undelivered:
            blamed = _blame(undelivered.refusals, wanted_set)
            if blamed and state.pinned_release is None:
                # promtool refuses some keys: they stay as last compiled, and the others go ahead.
                release.warnings.extend(undelivered.problems)
                wanted_set = wanted.wanted(blamed, server=state.name)
                continue
            record_failure(release, state, lease.renew, outcome=undelivered.state, problems=undelivered.problems)
            return Outcome(release, changed=True)
        return _succeeded(spec, release, wanted_set, state, delivery)
    left = problem("promtool_refused", "promtool refuses what is left, too")
    record_failure(release, state, lease.renew, outcome=State.REJECTED, problems=[left])
    return Outcome(release, changed=True)


def _blame(refusals: Sequence[Refusal], wanted_set: WantedSet) -> dict[KeyId, tuple[Finding, ...]]:
    """The keys whose rules promtool refused; empty when a refusal cannot be traced to a key."""
    blamed: dict[KeyId, tuple[Finding, ...]] = {}
    for refusal in refusals:
        file = wanted_set.files.get(refusal.file)
        group = next((group for group in file.groups if group.name == refusal.group), None) if file else None
        if group is None or refusal.rule_index is None or refusal.rule_index > len(group.rules):
            return {}
        rule = group.rules[refusal.rule_index - 1]
        found = Finding("promtool_refused", refusal.message, key=rule.key)
        blamed[(rule.kind, rule.key)] = (*blamed.get((rule.kind, rule.key), ()), found)
    return blamed


def _succeeded(
    spec: ServerSpec, release: Release, wanted_set: WantedSet, state: ServerState, delivery: Delivery
) -> Outcome:
    verified = release.state != State.ACTIVE or "read_back" in release.timings
    # Asked before the transaction: nobody else's write should wait for Prometheus.
    seen = {"prometheus_version": _version(delivery), "promtool_version": promtool_version() or ""}
    record_success(release, state, delivery.lease.renew, verified=verified, **seen)
    if verified:
        releases.remember_compiled(release, wanted_set)
    releases.prune(spec, state)
    if release.pk % releases.HOUSEKEEPING_EVERY == 0:
        releases.forget_old(state.name)
    return Outcome(release, changed=True)


def _version(delivery: Delivery) -> str:
    try:
        return delivery.server.version() or ""
    except Exception:
        return ""
