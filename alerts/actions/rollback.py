"""Going back by hand: pins a server to a release until it is resumed (DESIGN 5)."""

from __future__ import annotations

from alerts.actions import releases
from alerts.actions.deploy import Outcome, deploy_and_wait
from alerts.actions.errors import NotFound, PolicyConflict
from alerts.domain.errors import Finding
from alerts.models import FileContent, Release, ServerState


def find(release_id: int) -> Release:
    """A release, or NotFound."""
    release = Release.objects.filter(pk=release_id).first() if 0 < release_id < 2**63 else None
    if release is None:
        raise NotFound("release", [release_id])
    return release


def roll_back(release_id: int, *, timeout: float = 30.0) -> Outcome:
    """Pins the release's server to it and delivers it. Only what was verified once can be gone back to."""
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
    releases.state_of(release.server)
    ServerState.objects.filter(pk=release.server).update(pinned_release=release, retry_at=None)
    return deploy_and_wait(f"rollback to {release.pk}", server=release.server, timeout=timeout)


def resume(server: str, *, timeout: float = 30.0) -> Outcome:
    """Takes the pin off; the policy as it is now is delivered."""
    releases.state_of(server)
    ServerState.objects.filter(pk=server).update(pinned_release=None, retry_at=None)
    return deploy_and_wait("resume", server=server, timeout=timeout)
