"""Going back by hand: pins a server to a release until it is resumed (DESIGN 5)."""

from __future__ import annotations

from typing import Any

from alerts.actions import releases, servers, status, waking
from alerts.actions.deploy import request
from alerts.actions.deploy_waiting import deploy_and_wait
from alerts.actions.errors import NotFound, PolicyConflict
from alerts.domain.errors import Finding
from alerts.models import DEFAULT_SERVER, FileContent, Release, ServerState


def find(release_id: int) -> Release:
    """A release, or NotFound."""
    release = Release.objects.filter(pk=release_id).first() if 0 < release_id < 2**63 else None
    if release is None:
        raise NotFound("release", [release_id])
    return release


def roll_back(release_id: int, *, timeout: float = 30.0) -> Release:
    """Pins the release's server to it and delivers it; the release that did so, or will.

    Only what was verified once can be gone back to.
    """
    release = find(release_id)
    if release.verified_at is None:
        raise PolicyConflict(
            Finding(
                "never_verified",
                f"release {release.pk} is {release.state}: Prometheus was never seen to hold it",
                hint="go back to a release that was verified",
            )
        )
    hashes = set(release.manifest.values())
    if FileContent.objects.filter(sha256__in=hashes).count() != len(hashes):
        raise PolicyConflict(Finding("contents_gone", f"the files of release {release.pk} are no longer kept"))
    if release.server not in {server.name for server in servers.enabled()}:
        message = f"the server {release.server} is disabled or deleted: nothing is delivered to it"
        raise PolicyConflict(Finding("server_disabled", message))
    if not releases.held_by(release.server).filter(pk=release.pk).exists():
        message = f"release {release.pk} was held by another server called {release.server}, which was deleted since"
        raise PolicyConflict(Finding("other_server", message, hint="go back to a release of this one"))
    releases.state_of(release.server)
    ServerState.objects.filter(pk=release.server).update(pinned_release=release, retry_at=None)
    waking.server_changed(release.server)
    trigger = f"rollback to {release.pk}"
    outcome = deploy_and_wait(trigger, server=release.server, timeout=timeout)
    if outcome.release is None:  # whoever is at it, or comes next, finds the pin
        outcome = request(trigger, server=release.server)
    return outcome.release or release


def resume(server: str = DEFAULT_SERVER, *, timeout: float = 30.0) -> dict[str, Any]:
    """Takes the pin off; the policy as it is now is delivered. Returns the status after that."""
    releases.state_of(server)
    ServerState.objects.filter(pk=server).update(pinned_release=None, retry_at=None)
    waking.server_changed(server)
    deploy_and_wait("resume", server=server, timeout=timeout)
    return status.status(server, shared=False)
