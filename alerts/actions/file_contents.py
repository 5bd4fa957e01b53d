"""The bytes of rule files in the database, by their hash: what a set on disk can be made whole from."""

from __future__ import annotations

from collections.abc import Collection

from alerts.actions.cursors import reading_by_pieces
from alerts.actions.wanted import WantedSet, stored_contents
from alerts.models import FileContent, Release


def keep_contents(wanted: WantedSet, kept: Collection[str] = ()) -> None:
    """Stores the bytes of a set, as far as they are not there. ``kept``: hashes that a release in force holds."""
    by_hash = {sha256: name for name, sha256 in wanted.manifest.items()}
    asked = sorted(by_hash.keys() - set(kept))
    known: set[str] = set()
    for start in range(0, len(asked), 500):
        rows = FileContent.objects.filter(sha256__in=asked[start : start + 500])
        known |= set(rows.values_list("sha256", flat=True))
    missing = {sha256: wanted.contents[by_hash[sha256]] for sha256 in asked if sha256 not in known}
    FileContent.objects.bulk_create(
        [FileContent(sha256=sha256, content=content, size=len(content)) for sha256, content in missing.items()],
        ignore_conflicts=True,
        batch_size=200,
    )


def contents(manifest: dict[str, str], names: set[str]) -> dict[str, bytes]:
    """The bytes of some files of a manifest, from the database."""
    stored = stored_contents({manifest[name] for name in names})
    return {name: stored[manifest[name]] for name in names if manifest[name] in stored}


def forget_contents() -> None:
    """Bytes that no release holds go.

    First which bytes there are, then who holds them: a release is stored before its bytes, so what somebody stores
    meanwhile is spared. Who finds bytes there that go just now stores them again (``keep_contents``).
    """
    there = _stored_hashes()
    gone = sorted(there - _held_hashes())
    for start in range(0, len(gone), 500):
        FileContent.objects.filter(sha256__in=gone[start : start + 500]).delete()


def _stored_hashes() -> set[str]:
    with reading_by_pieces():
        return set(FileContent.objects.values_list("sha256", flat=True).iterator())


def _held_hashes() -> set[str]:
    held: set[str] = set()
    with reading_by_pieces():
        for manifest in Release.objects.values_list("manifest", flat=True).iterator():
            held.update(manifest.values())
    return held
