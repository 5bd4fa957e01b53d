"""Rule directories from the database alone: for the day a disk, a volume or a whole machine is gone.

Reconciling would heal the same in time. This does it at once, also before Prometheus is up: it starts with the right
rules then, instead of with none.
"""

from __future__ import annotations

from dataclasses import dataclass

from alerts.actions import releases, servers
from alerts.actions.delivery import put_back, rule_store
from alerts.actions.deploy import deploy
from alerts.actions.lease import LeaseLost, held
from alerts.adapters.release_store import StoreError
from alerts.adapters.server_spec import ServerSpec
from alerts.models import Release

BY_AGENT = "its agent puts back its own last good release, or fetches it again; nothing is to be done here"
BUSY = "another process is delivering to it; try again"


@dataclass(frozen=True)
class Rebuilt:
    """What is in place for one server. ``problem``: why nothing is; empty when all went well.

    ``anew``: the policy as it is now, since the server was never seen to hold a release.
    """

    server: str
    release_id: int | None = None
    files: int = 0
    rules: int = 0
    content_hash: str = ""
    problem: str = ""
    anew: bool = False


def rebuild(server: str) -> Rebuilt:
    """Writes the files that the server was last seen to hold (or is pinned to) and puts them in force on disk.

    One that never held any gets the policy as it is now, judged by promtool as ever. Prometheus is not asked: reload
    it, or let the worker see to it.
    """
    spec = servers.spec(server)
    if spec.delivery == "agent":
        return Rebuilt(server, problem=BY_AGENT)
    state = releases.state_of(server)
    release = state.pinned_release or releases.good_release(state)
    try:
        rule_store(spec).prepare()
        return _first(spec) if release is None else _again(spec, release)
    except StoreError as error:
        return Rebuilt(server, release.pk if release else None, problem=str(error))


def _again(spec: ServerSpec, release: Release) -> Rebuilt:
    with held(spec.name) as lease:
        if lease is None:
            return Rebuilt(spec.name, release.pk, problem=BUSY)
        try:
            put_back(spec, release, lease)
        except LeaseLost:
            return Rebuilt(spec.name, release.pk, problem="another process delivers to it since; it goes on")
    return _in_place(release)


def _first(spec: ServerSpec) -> Rebuilt:
    if not spec.enabled:
        return Rebuilt(spec.name, problem="it is disabled, and was never seen to hold a release")
    outcome = deploy("rebuild", server=spec.name, load=False)
    release = outcome.release
    if release is None:
        return Rebuilt(spec.name, problem=BUSY)
    if not outcome.good:
        said = "; ".join(error["message"] for error in release.errors[:3])
        return Rebuilt(spec.name, release.pk, problem=said or release.state)
    return _in_place(release, anew=True)


def _in_place(release: Release, *, anew: bool = False) -> Rebuilt:
    files, rules = len(release.manifest), release.rule_count
    return Rebuilt(release.server, release.pk, files, rules, release.content_hash, anew=anew)
