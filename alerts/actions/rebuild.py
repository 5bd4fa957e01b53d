"""Rule directories from the database alone: for the day a disk, a volume or a whole machine is gone.

Reconciling would heal the same in time. This does it at once, also before Prometheus is up: it starts with the right
rules then, instead of with none.
"""

from __future__ import annotations

from dataclasses import dataclass

from alerts.actions import file_contents, releases, servers
from alerts.actions.delivery import rule_store
from alerts.actions.lease import Lease, LeaseLost, held
from alerts.adapters.release_store import StoreError
from alerts.adapters.server_spec import ServerSpec
from alerts.models import Release


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
    release = state.pinned_release or releases.good_release(state)
    if release is None:
        return Rebuilt(
            server, problem=f"it was never seen to hold a release; `manage.py sync {server}` makes its first"
        )
    with held(server) as lease:
        if lease is None:
            return Rebuilt(server, release.pk, problem="another process is delivering to it; try again")
        try:
            rule_store(spec).prepare()
            put_back(spec, release, lease)
        except StoreError as error:
            return Rebuilt(server, release.pk, problem=str(error))
        except LeaseLost:
            return Rebuilt(server, release.pk, problem="another process delivers to it since; it goes on")
    return Rebuilt(server, release.pk, len(release.manifest), release.rule_count, release.content_hash)


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
