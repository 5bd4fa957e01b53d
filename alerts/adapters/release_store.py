"""Sets of rule files on disk, and which of them Prometheus sees.

The law:

1. A set is a directory ``<rule_dir>/releases/<content hash>/``. It gets that name only when it is whole and synced,
   by rename from a temporary name beside it; nothing in it is ever written in place.
2. ``<rule_dir>/current`` is a relative symlink to one of them, replaced by rename. So the whole set changes in one
   step: ``kill -9`` at any instant leaves the old set or the new one.
3. Only a set that was hashed just before becomes current, and the current one is never removed.
4. Unchanged files are hard links into the current set, whose hash was just verified. Somebody who edits such a file
   in place damages every set that shares it: healing writes a new inode by rename and hands it to all of them.
5. What a killed process left under temporary names is removed by the next one. One process at a time, by a lock that
   dies with its holder; and never one with a lower ``fence`` than another before it (see ``fence``).

Only where a person has put a real directory in the place of ``current``, or something else in the place of a release,
is it moved out of the way first; a kill between the two steps leaves no ``current`` until the next start.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from alerts.adapters import directory_lock, release_files
from alerts.adapters import fence as fencing
from alerts.adapters.failpoints import reach
from alerts.adapters.release_files import (
    Drift,
    Manifest,
    StoreError,
    content_hash,
    manifest_of,
    os_errors_as_store_errors,
)

__all__ = ["Drift", "Manifest", "ReleaseStore", "StagedRelease", "StoreError", "content_hash", "manifest_of"]

logger = logging.getLogger(__name__)

CONTENT_HASH = re.compile(r"[0-9a-f]{64}")
TEMPORARY = ".tmp-"
TEMPORARY_LINK = ".current-"


@dataclass(frozen=True)
class StagedRelease:
    """A whole set on disk, not necessarily the current one.

    ``changed`` are the files that promtool has to look at: those which the current set does not hold just so.
    """

    content_hash: str
    path: Path
    manifest: Manifest
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    healed: tuple[Drift, ...] = ()
    created: bool = True


class ReleaseStore:
    def __init__(
        self, rule_dir: str | Path, *, dir_mode: int = 0o755, file_mode: int = 0o444, lock_timeout: float = 30.0
    ) -> None:
        self.rule_dir = Path(os.path.abspath(rule_dir))
        self.releases_dir = self.rule_dir / "releases"
        self.link = self.rule_dir / "current"
        self.dir_mode = dir_mode
        self.file_mode = file_mode
        self.lock_timeout = lock_timeout

    def prepare(self) -> None:
        """Make the rule directory, for a first start on one machine; elsewhere a missing one is a missing mount."""
        with os_errors_as_store_errors(self.rule_dir):
            if not self.rule_dir.exists():
                self.rule_dir.mkdir(parents=True)
                release_files.set_directory_mode(self.rule_dir, self.dir_mode)
        with self._locked():
            pass

    def probe(self) -> None:
        """Raise the StoreError that a release would meet now; leaves nothing behind."""
        with self._locked(), self._workshop() as workshop:
            release_files.write_fresh(workshop / "probe.yml", b"groups: []\n", self.file_mode)

    def path_of(self, content: str) -> Path:
        return self.releases_dir / content

    def current(self) -> str | None:
        """The content hash that ``current`` names; None unless it is exactly our kind of link, to something there."""
        try:
            aim = os.readlink(self.link)
        except OSError:
            return None
        content = aim.removeprefix("releases/")
        if aim != f"releases/{content}" or not CONTENT_HASH.fullmatch(content):
            return None
        return content if self._is_directory(self.path_of(content)) else None

    def releases(self) -> list[str]:
        """The content hashes of all sets on disk."""
        try:
            return sorted(name for name in os.listdir(self.releases_dir) if CONTENT_HASH.fullmatch(name))
        except OSError:
            return []

    def stage(
        self,
        files: Mapping[str, bytes],
        fence: int | None = None,
        manifest: Manifest | None = None,
        *,
        in_place: Manifest | None = None,
        found: Callable[[Drift], object] = lambda _: None,
    ) -> StagedRelease:
        """Put a whole set on disk under its content hash, beside the current one.

        A set that is already there is verified, and healed file by file where it was damaged. ``manifest``: of these
        files, where it is known; the set is hashed on disk before it becomes the current one. ``in_place``: the set
        that should be current now; ``found`` is told how the disk differs from it before any file is mended or written.
        """
        if manifest is None:
            manifest = manifest_of(files)
        else:
            release_files.check_names(files)
        content = content_hash(manifest)
        path = self.path_of(content)
        with self._locked(fence) as reopened:
            reach("stage.before")
            self._sweep()
            active = self.current()
            healed = self._reopen(self.path_of(active)) if active else []
            base = release_files.scan(self.path_of(active)) if active else {}
            if in_place is not None:
                for drift in (*reopened, *self._differing(in_place, active, base, healed)):
                    found(drift)
            created = not self._is_directory(path)
            if created:
                release_files.remove(path)
                self._write(path, files, manifest, base)
            else:
                healed += self._reopen(path)
                healed += self._heal(path, files, manifest)
            reach("stage.after")
        changed = tuple(name for name in manifest if name not in base or base[name].sha256 != manifest[name])
        removed = tuple(sorted(base.keys() - manifest.keys()))
        return StagedRelease(content, path, manifest, changed, removed, tuple(healed), created)

    def activate(self, content: str, fence: int | None = None) -> bool:
        """Make a staged set the current one; False when it was already. Refuses one that is not whole."""
        with self._locked(fence):
            reach("swap.before")
            self._require_whole(content)
            aim = f"releases/{content}"
            if self.link.is_symlink() and os.readlink(self.link) == aim:
                reach("swap.after")
                return False
            fresh = self.rule_dir / f"{TEMPORARY_LINK}{secrets.token_hex(8)}"
            os.symlink(aim, fresh)
            reach("swap.linked")
            if self._is_directory(self.link):
                displaced = self.rule_dir / f"current.displaced-{secrets.token_hex(4)}"
                os.rename(self.link, displaced)
                logger.warning("%s was a directory; moved to %s", self.link, displaced)
                reach("swap.displaced")
            os.replace(fresh, self.link)
            reach("swap.renamed")
            release_files.sync(self.rule_dir)
            reach("swap.after")
            return True

    def verify(self, manifest: Manifest) -> list[Drift]:
        """How the set of this manifest differs on disk from what was staged; empty when it is whole."""
        content = content_hash(manifest)
        path = self.path_of(content)
        where = f"releases/{content}"
        if not self._is_directory(path):
            if os.path.lexists(path):
                return [Drift(where, "link", "is not a directory")]
            return [Drift(where, "missing", "was removed")]
        try:
            drifts = self._mode_drift(self.releases_dir) + self._mode_drift(path)
            return drifts + release_files.differences(release_files.scan(path), manifest, self.file_mode)
        except OSError as error:
            return [Drift(where, "unreadable", f"cannot be read: {error.strerror}")]

    def drift(self, manifest: Manifest) -> list[Drift]:
        """How the disk differs from this set being current. ``stage`` and ``activate`` of the same set heal it all."""
        try:
            return self._link_drift(content_hash(manifest)) + self.verify(manifest)
        except OSError as error:  # a mount that went stale, a directory nobody may enter
            return [Drift("current", "unreadable", f"cannot be read: {error.strerror}")]

    def _differing(
        self, in_place: Manifest, active: str | None, base: Mapping[str, release_files.Found], mended: list[Drift]
    ) -> list[Drift]:
        """As ``drift``, for who has looked through the ``active`` set, and ``mended`` the mode of its directory."""
        if active != content_hash(in_place):
            return self.drift(in_place)
        modes = [*self._mode_drift(self.releases_dir), *mended]  # that of somebody else's directory cannot be mended
        return [*self._link_drift(active), *modes, *release_files.differences(base, in_place, self.file_mode)]

    def discard(self, content: str, fence: int | None = None) -> bool:
        """Remove one set, unless it is current."""
        with self._locked(fence):
            return self._discard(content)

    def prune(self, keep: Collection[str], fence: int | None = None) -> list[str]:
        """Remove the sets not named, and what killed processes left. Returns what is gone."""
        with self._locked(fence):
            reach("prune.before")
            self._sweep()
            gone = [content for content in self.releases() if content not in keep and self._discard(content)]
            reach("prune.after")
            return gone

    # Below, the lock is held.

    @contextmanager
    def _locked(self, fence: int | None = None) -> Iterator[list[Drift]]:
        """Yields how the mode of the directory of all sets had to be mended."""
        with os_errors_as_store_errors(self.rule_dir):
            is_there = self.rule_dir.is_dir()
        if not is_there:
            missing = not os.path.lexists(self.rule_dir)
            raise StoreError(
                "rule_dir_missing" if missing else "not_a_directory",
                f"the rule directory {self.rule_dir} " + ("does not exist" if missing else "is not a directory"),
                "create it, or mount the volume that Prometheus reads",
            )
        with os_errors_as_store_errors(self.rule_dir):
            with suppress(FileExistsError):
                self.releases_dir.mkdir()
            lock = os.open(self.releases_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                directory_lock.take(lock, self.rule_dir, self.lock_timeout)
                fencing.pass_through(self.rule_dir, fence)
                reopened = list[Drift]()
                with suppress(PermissionError):
                    reopened = self._reopen(self.releases_dir)
                yield reopened
            finally:
                os.close(lock)

    def _write(
        self,
        path: Path,
        files: Mapping[str, bytes],
        manifest: Manifest,
        base: Mapping[str, release_files.Found],
    ) -> None:
        with self._workshop() as workshop:
            reach("stage.temporary")
            fresh = []
            for name in sorted(files):
                known = base.get(name)
                same = known and known.sha256 == manifest[name] and known.mode == self.file_mode
                if not (known and same and release_files.link_unchanged(known, f"{workshop}/{name}")):
                    release_files.write_fresh(workshop / name, files[name], self.file_mode)
                    fresh.append(name)
                reach("stage.file")
            for name in fresh:  # after all are written: the disk can take them together
                release_files.sync(workshop / name)
            release_files.sync(workshop)
            reach("stage.written")
            os.rename(workshop, path)
        reach("stage.renamed")
        release_files.sync(self.releases_dir)

    def _heal(self, path: Path, files: Mapping[str, bytes], manifest: Manifest) -> list[Drift]:
        """Every step leaves the set nearer to what it should be, so it can be cut off anywhere."""
        drifts = self.verify(manifest)
        if not drifts:
            return []
        damaged = {drift.path for drift in drifts if drift.path in manifest}
        inodes = self._inodes(path)
        with self._workshop() as workshop:
            for name in sorted(damaged):
                release_files.write_fresh(workshop / name, files[name], self.file_mode)
                release_files.sync(workshop / name)
                reach("heal.written")
                if self._is_directory(path / name):
                    release_files.remove(path / name)
                os.replace(workshop / name, path / name)
                reach("heal.file")
            for drift in drifts:
                if drift.kind == "extra":
                    release_files.remove(path / drift.path)
            release_files.sync(path)
            self._mend_siblings(path, {inode: name for name, inode in inodes.items() if name in damaged}, workshop)
        reach("heal.after")
        logger.warning("healed %s: %s", path, "; ".join(map(str, drifts[:10])))
        return drifts

    def _mend_siblings(self, path: Path, damaged: Mapping[tuple[int, int], str], workshop: Path) -> None:
        """Give the fresh inode to the other sets that shared a damaged one; drop what does not become whole by that."""
        for content in self.releases():
            sibling = self.path_of(content)
            if sibling == path or not self._is_directory(sibling):
                continue
            shared = [name for name, inode in self._inodes(sibling).items() if damaged.get(inode) == name]
            for name in shared:
                os.link(path / name, workshop / name)
                os.replace(workshop / name, sibling / name)
            if shared:
                release_files.sync(sibling)
                if release_files.hash_on_disk(sibling) != content:
                    self._discard(content)

    def _discard(self, content: str) -> bool:
        path = self.path_of(content)
        if not CONTENT_HASH.fullmatch(content) or not os.path.lexists(path) or self._leads_to(path):
            return False
        doomed = self.releases_dir / f"{TEMPORARY}{secrets.token_hex(8)}"
        os.rename(path, doomed)
        reach("prune.renamed")
        release_files.remove(doomed)
        reach("prune.removed")
        return True

    def _leads_to(self, path: Path) -> bool:
        """Whether ``current`` leads to this set, whoever made it so."""
        return os.path.realpath(self.link) == os.path.realpath(path)

    def _sweep(self) -> None:
        left = ((self.releases_dir, TEMPORARY), (self.rule_dir, TEMPORARY_LINK), (self.rule_dir, fencing.TEMPORARY))
        for parent, prefix in left:
            for name in os.listdir(parent):
                if name.startswith(prefix):
                    release_files.remove(parent / name)

    @contextmanager
    def _workshop(self) -> Iterator[Path]:
        """A temporary directory, gone afterwards unless renamed. What ran out is asked before it makes room again."""
        workshop = self.releases_dir / f"{TEMPORARY}{secrets.token_hex(8)}"
        try:
            workshop.mkdir()
            release_files.set_directory_mode(workshop, self.dir_mode)
            yield workshop
        except OSError as error:
            raise release_files.as_store_error(error, self.rule_dir) from error
        finally:
            with suppress(OSError):
                release_files.remove(workshop)

    def _require_whole(self, content: str) -> None:
        path = self.path_of(content)
        if not CONTENT_HASH.fullmatch(content) or not self._is_directory(path):
            raise StoreError("release_missing", f"the set {content} is not on disk", "stage it again")
        if release_files.hash_on_disk(path) != content:
            raise StoreError("release_damaged", f"the set {content} is not what was staged", "stage it again")

    def _link_drift(self, content: str) -> list[Drift]:
        aim = f"releases/{content}"
        if not os.path.lexists(self.link):
            return [Drift("current", "missing", "is missing")]
        if not self.link.is_symlink():
            return [Drift("current", "link", "is not a symbolic link")]
        found = os.readlink(self.link)
        if found == aim:
            return []
        how = "dangles: it points to" if not self.link.exists() else "points to"
        return [Drift("current", "link", f"{how} {found} instead of {aim}")]

    def _mode_drift(self, path: Path) -> list[Drift]:
        mode = stat.S_IMODE(os.stat(path).st_mode) & 0o777  # a set-group-id bit is the operator's
        if mode == self.dir_mode:
            return []
        shown = os.path.relpath(path, self.rule_dir)
        return [Drift(shown, "mode", f"has mode {mode:04o} instead of {self.dir_mode:04o}")]

    def _reopen(self, directory: Path) -> list[Drift]:
        drifts = self._mode_drift(directory)
        if drifts:
            release_files.set_directory_mode(directory, self.dir_mode)
        return drifts

    @staticmethod
    def _inodes(directory: Path) -> dict[str, tuple[int, int]]:
        found = {}
        with os.scandir(directory) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                found[entry.name] = (status.st_dev, status.st_ino)
        return found

    @staticmethod
    def _is_directory(path: Path) -> bool:
        try:
            return path.is_dir() and not path.is_symlink()
        except OSError:
            return False  # it cannot be looked at: whoever writes there finds out why
