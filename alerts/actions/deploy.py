"""Makes a server hold what the database wants: the one way to deploy, behind API, commands, worker and tasks.

    look → compile → render → deliver → record → prune

Level-triggered: it starts from the wanted state, never from a message, so calling it too often does nothing and calling
it late loses nothing. Unchanged content is neither written nor loaded again.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from django.db import InterfaceError, OperationalError, transaction

from alerts.actions import bundles, changes, compiled_keys, fleet_findings, releases, servers, waking, wanted
from alerts.actions.attempts import Attempt, without_refused
from alerts.actions.errors import NotFound
from alerts.actions.lease import Lease, LeaseLost, held
from alerts.actions.outcomes import record_fault
from alerts.actions.wanted import WantedSet
from alerts.adapters.failpoints import reach
from alerts.adapters.server_spec import ServerSpec
from alerts.domain.errors import Finding, PolicyConflict
from alerts.models import DEFAULT_SERVER, PolicyState, Release, ServerState
from config_server.logs import about

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


def deploy(trigger: str, *, server: str = DEFAULT_SERVER, force: bool = False, load: bool = True) -> Outcome:
    """Brings ``server`` to the wanted state, once. ``force``: deliver and read back even when nothing seems changed.

    Without ``load`` the files are put in force on disk, for a server that is away: it is not asked, so the release
    stays ``active`` until somebody reads it back. One that is not enabled keeps what it has.
    """
    before = servers.spec(server)
    if not before.enabled:
        return Outcome(releases.state_of(server).loaded_release)
    with about(server=server), held(server, before) as lease:
        if lease is None:
            return Outcome(None)
        try:
            return _deploy(trigger, lease, force, load)
        except NotFound:
            logger.info("it was deleted meanwhile; this deploy stops")
            return Outcome(None)
        except LeaseLost:
            logger.warning("the lease of %s was taken over; this deploy stops", server)
            return Outcome(None)
        except (OperationalError, InterfaceError):
            raise  # it begins anew when the database is back
        except Exception as error:
            record_fault(releases.state_of(server), lease.guard, error, trigger)
            raise


def request(trigger: str, *, server: str = DEFAULT_SERVER) -> Outcome:
    """Asks for a deploy by whichever worker comes first; nothing to ask for: the release in force."""
    state, spec = releases.state_of(server), servers.spec(server)
    if not spec.enabled:
        hint = "Enable it first."
        raise PolicyConflict(Finding("server_disabled", f"The server {server} is disabled.", hint=hint))
    if releases.in_sync(spec, state):
        return Outcome(state.loaded_release)
    pending = Release.objects.filter(server=server, state=State.PENDING).first()
    if pending is None:
        pending = Release.objects.create(server=server, revision=PolicyState.current(), trigger=trigger)
        waking.server_changed(server)
    return Outcome(pending, changed=True)


def _deploy(trigger: str, lease: Lease, force: bool, load: bool) -> Outcome:
    begun = releases.begun(lease.server)
    # After what was asked for: its answer holds what was written before. Who moves the server takes the lease away.
    state = releases.state_of(lease.server)
    pending = releases.take_up(begun, state)
    spec, revision = servers.spec_at_revision(lease.server)
    if not spec.enabled:
        return Outcome(state.loaded_release)
    start = time.perf_counter()
    reach("compile.before")
    wanted_set = _wanted(spec, revision, state)
    reach("render.after")
    compile_seconds = round(time.perf_counter() - start, 4)
    if spec.delivery == "agent":
        if (offered := bundles.standing(state, wanted_set, lease)) is not None:
            releases.answer_pending(pending, wanted_set)
            return Outcome(offered)
    elif not force and _stands(spec, state, wanted_set, load):
        with transaction.atomic():
            lease.guard()
            unchanged = releases.note_unchanged(state, wanted_set, pending)
        if unchanged is not None and unchanged.state == State.VERIFIED:
            # Whoever delivered it may have died before this.
            compiled_keys.remember_compiled(unchanged, wanted_set, lease)
        return Outcome(unchanged)
    if state.loaded_revision > wanted_set.revision and state.pinned_release is None:
        # An older state never goes over a newer one.
        return Outcome(state.loaded_release)
    # What an agent's promtool refused stays written down: whoever compiles the same again has to know.
    refused_there = bundles.refusals(state, wanted_set) if spec.delivery == "agent" else []
    again = None if refused_there else releases.reusable_failure(state, wanted_set)
    release = pending or again or Release(server=lease.server)
    release.trigger = release.trigger or trigger
    release.timings = {"compile": compile_seconds}
    release.errors, release.warnings = [], []
    if wanted_set.current is not None:
        release.warnings += fleet_findings.warnings(spec.name, wanted_set.current)[: changes.LISTED]
    attempt = Attempt(spec, release, wanted_set, state, lease)
    if spec.delivery == "agent":
        attempt.offer(refused_there)
    elif not load:
        attempt.place()
    else:
        attempt.deliver(check_all=force)
    return Outcome(release, changed=True)


def _stands(spec: ServerSpec, state: ServerState, wanted_set: WantedSet, load: bool) -> bool:
    """Whether this very content is in force already. What was placed unseen has yet to be loaded by whoever may."""
    in_force = state.loaded_release
    unseen = in_force is not None and in_force.state == State.ACTIVE and spec.reload_enabled and load
    return not unseen and releases.holds(state, wanted_set) and not releases.disk_drift(spec, in_force)


def _wanted(spec: ServerSpec, revision: int, state: ServerState) -> WantedSet:
    if state.pinned_release is not None:
        return wanted.of_release(state.pinned_release)
    found = without_refused(state, wanted.wanted(server=state.name, known=(spec, revision)))
    reach("compile.after")
    return found
