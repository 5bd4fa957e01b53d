"""Rule directories from the database alone: for the day a disk, a volume or a whole machine is gone.

Reconciling would heal the same in time. This does it at once, also before Prometheus is up: it starts with the right
rules then, instead of with none.
"""

from __future__ import annotations

from dataclasses import dataclass

from alerts.actions import releases, servers, wanted
from alerts.actions.delivery import rule_store
from alerts.actions.lease import held
from alerts.adapters.release_store import StoreError


@dataclass(frozen=True)
class Rebuilt:
    """What was put back for one server. ``problem``: why nothing was; empty when all went well."""

    server: str
    release_id: int | None = None
    files: int = 0
    rules: int = 0
    content_hash: str = ""
    problem: str = ""


def rebuild(server: str) -> Rebuilt:
    """Writes the files that the server was last seen to hold (or is pinned to) and puts them in force on disk.

    Prometheus is not asked: reload it, or let the worker see to it.
    """
    spec = servers.spec(server)
    if spec.delivery == "agent":
        return Rebuilt(server, problem="its agent does this by itself, from its own last good release or the server's")
    state = releases.state_of(server)
    release = state.pinned_release or state.loaded_release
    if release is None:
        return Rebuilt(
            server, problem=f"it was never seen to hold a release; `manage.py sync {server}` makes its first"
        )
    missing = set(release.manifest.values()) - wanted.stored_contents(set(release.manifest.values())).keys()
    if missing:
        return Rebuilt(server, release.pk, problem=f"{len(missing)} of its files are no longer kept in the database")
    with held(server) as lease:
        if lease is None:
            return Rebuilt(server, release.pk, problem="another process is delivering to it; try again")
        store, contents = rule_store(spec), wanted.of_release(release).contents
        try:
            store.prepare()
            staged = store.stage(contents)
            lease.renew()
            store.activate(staged.content_hash)
        except StoreError as error:
            return Rebuilt(server, release.pk, problem=str(error))
    return Rebuilt(server, release.pk, len(contents), release.rule_count, staged.content_hash)
