"""The rule files a server was last seen to hold, from the database: also when its disk cannot be read."""

from __future__ import annotations

from dataclasses import dataclass

from alerts.models import DEFAULT_SERVER, FileContent, Release, ServerState


@dataclass(frozen=True)
class FileInForce:
    name: str
    sha256: str
    size: int


def release_in_force(server: str = DEFAULT_SERVER) -> Release | None:
    state = ServerState.objects.select_related("loaded_release").filter(pk=server).first()
    return state.loaded_release if state else None


def files_in_force(release: Release) -> list[FileInForce]:
    """By name."""
    stored = FileContent.objects.filter(sha256__in=set(release.manifest.values()))
    sizes = dict(stored.values_list("sha256", "size"))
    return [FileInForce(name, sha256, sizes.get(sha256, 0)) for name, sha256 in sorted(release.manifest.items())]


def content_in_force(release: Release, name: str) -> bytes | None:
    """None when the release has no such file."""
    stored = FileContent.objects.filter(sha256=release.manifest.get(name)).first()
    return bytes(stored.content) if stored else None
