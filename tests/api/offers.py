"""Releases as a worker offers them to the agent of the server ``eu``, and what that agent says."""

from __future__ import annotations

import hashlib
from typing import Any

from alerts.actions import bundles, releases
from alerts.actions.wanted import WantedSet
from alerts.adapters.release_store import content_hash
from alerts.models import FileContent, Release, ServerState

FILES = {"global.yml": b"groups: []\n", "group-a.yml": "groups: [] # \u00e9\n".encode()}


def hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def wanted(files: dict[str, bytes], revision: int = 5) -> WantedSet:
    return WantedSet(revision, files, {name: hash_of(content) for name, content in files.items()})


def release_of(files: dict[str, bytes], revision: int = 5, server: str = "eu") -> Release:
    """As a worker leaves it after the central check."""
    for content in files.values():
        FileContent.objects.get_or_create(sha256=hash_of(content), defaults={"content": content, "size": len(content)})
    manifest = wanted(files).manifest
    return Release.objects.create(
        server=server,
        revision=revision,
        state=Release.State.CHECKED,
        manifest=manifest,
        content_hash=content_hash(manifest),
    )


def offered(files: dict[str, bytes] = FILES, revision: int = 5) -> Release:
    release = release_of(files, revision)
    bundles.offer(release, releases.state_of("eu"), nobody)
    return release


def nobody() -> None:
    """Nobody else writes to the server."""


def told(release: Release, state: str = "verified", **more: Any) -> dict[str, Any]:
    return {"release": release.pk, "content_hash": release.content_hash, "state": state, **more}


def state() -> ServerState:
    return ServerState.objects.get(pk="eu")
