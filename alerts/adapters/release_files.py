"""Single files and directories of a release: naming, hashing, writing, linking, and what can be wrong with them."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Manifest = Mapping[str, str]
"""File name → sha256 of its bytes."""

DriftKind = Literal["changed", "missing", "extra", "link", "mode", "unreadable"]

FILE_NAME = re.compile(r"[A-Za-z0-9_%+][A-Za-z0-9_.%+-]*\.yml")
MAX_NAME = 255
CHUNK = 1 << 18


class StoreError(Exception):
    """The rule directory cannot do what was asked. ``current`` is what it was before.

    ``code`` is one of rule_dir_missing, not_a_directory, read_only, permission, full, no_inodes, busy, io, bad_name,
    release_missing, release_damaged, fenced_off. The last four are not cured by waiting for the disk to get better.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        self.code = code
        self.message = message
        self.hint = hint
        super().__init__(f"{message} ({hint})" if hint else message)


@dataclass(frozen=True)
class Drift:
    """One way in which the disk is not what we left there. ``path`` is relative to the release, or ``current``."""

    path: str
    kind: DriftKind
    detail: str

    def __str__(self) -> str:
        return f"{self.path}: {self.detail}"


@dataclass(frozen=True)
class Found:
    """What lies at one path: the sha256 of a readable regular file, or what is there instead."""

    path: str
    sha256: str | None
    mode: int = 0
    inode: tuple[int, int] = (0, 0)
    stamp: tuple[int, int] = (0, 0)
    kind: DriftKind = "changed"
    detail: str = ""


def check_names(files: Iterable[str]) -> None:
    """Nothing a release holds can point outside it."""
    for name in files:
        if len(name) > MAX_NAME or not FILE_NAME.fullmatch(name):
            raise StoreError("bad_name", f"{name[:MAX_NAME]!r} cannot be the name of a rule file")


def manifest_of(files: Mapping[str, bytes]) -> dict[str, str]:
    check_names(files)
    return {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}


def content_hash(manifest: Manifest) -> str:
    """The name of a set of files: what ``sha256sum *.yml | sha256sum`` prints inside it."""
    lines = "".join(f"{manifest[name]}  {name}\n" for name in sorted(manifest))
    return hashlib.sha256(lines.encode("ascii")).hexdigest()


def inspect(path: str) -> Found:
    """Read one file without following a link or waiting for a pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return Found(path, None, kind="link", detail="is a symbolic link")
        return Found(path, None, kind="unreadable", detail=f"cannot be read: {error.strerror}")
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return Found(path, None, kind="unreadable", detail="is not a regular file")
        digest = _sha256(descriptor, status.st_size)
    finally:
        os.close(descriptor)
    inode = (status.st_dev, status.st_ino)
    return Found(path, digest, stat.S_IMODE(status.st_mode), inode, (status.st_size, status.st_mtime_ns))


def _sha256(descriptor: int, size: int) -> str:
    digest = hashlib.sha256()
    room = min(size + 1, CHUNK)  # more would be asked of the kernel, and given back, for every file
    while part := os.read(descriptor, room):
        digest.update(part)
    return digest.hexdigest()


def scan(directory: Path) -> dict[str, Found]:
    """Everything in a release directory; dot files that editors and NFS leave behind are not loaded, so not ours."""
    names = sorted(name for name in os.listdir(directory) if not name.startswith(".") or name.endswith(".yml"))
    return {name: inspect(f"{directory}/{name}") for name in names}


def hash_on_disk(directory: Path) -> str | None:
    """The content hash of what lies there now; None when that is not a set of regular, well-named files."""
    found = scan(directory)
    if not all(FILE_NAME.fullmatch(name) and entry.sha256 for name, entry in found.items()):
        return None
    return content_hash({name: entry.sha256 or "" for name, entry in found.items()})


def differences(found: Mapping[str, Found], manifest: Manifest, file_mode: int) -> list[Drift]:
    """How what was found in a release directory differs from the set it was made as."""
    drifts = [Drift(name, "extra", "was added by somebody else") for name in sorted(found.keys() - manifest.keys())]
    for name in sorted(manifest):
        entry = found.get(name)
        if entry is None:
            drifts.append(Drift(name, "missing", "was removed"))
        elif entry.sha256 is None:
            drifts.append(Drift(name, entry.kind, entry.detail))
        elif entry.sha256 != manifest[name]:
            drifts.append(Drift(name, "changed", "has other contents"))
        elif entry.mode != file_mode:
            drifts.append(Drift(name, "mode", f"has mode {entry.mode:04o} instead of {file_mode:04o}"))
    return drifts


def write_fresh(path: Path, data: bytes, mode: int) -> None:
    """A new inode with exactly this mode, whatever the umask. Not yet synced."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(descriptor, mode)


def link_unchanged(verified: Found, path: str) -> bool:
    """Share the inode of a file that was just found to hold what is wanted. False when that is not possible.

    Linked first and looked at afterwards: what counts is that the inode now in the new set is the one that was hashed.
    """
    try:
        os.link(verified.path, path, follow_symlinks=False)
    except OSError:
        return False  # other owner, too many links, a filesystem without links
    status = os.lstat(path)
    if (status.st_dev, status.st_ino) == verified.inode and (status.st_size, status.st_mtime_ns) == verified.stamp:
        return True
    os.unlink(path)
    return False


def set_directory_mode(path: Path, mode: int) -> None:
    """Keeps a set-group-id bit: it is how an operator hands files to the group Prometheus runs in."""
    os.chmod(path, mode | (os.stat(path).st_mode & stat.S_ISGID))


def sync(path: Path) -> None:
    """Make a file, or the names in a directory, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Whatever is there, without following a link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


_CODES = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EFBIG: "full",
    errno.EROFS: "read_only",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.ENOTDIR: "not_a_directory",
}
_HINTS = {
    "full": "free some space; the set in force is untouched",
    "no_inodes": "remove some files there, or make the filesystem with more inodes; the set in force is untouched",
    "read_only": "mount the rule directory writable for this process",
    "permission": "let the user of this process write there",
    "not_a_directory": "a directory is needed there",
}


def as_store_error(error: OSError, rule_dir: Path) -> StoreError:
    """The same, for people. To be asked while the disk is as it was when the error happened."""
    code = _CODES.get(error.errno or 0, "io")
    reason = error.strerror or str(error)
    if error.errno == errno.ENOSPC and _no_inodes(rule_dir):
        code, reason = "no_inodes", "No inodes left on device"  # the kernel has one word for both
    where = error.filename if isinstance(error.filename, (str, os.PathLike)) else rule_dir
    message = f"cannot write to the rule directory {rule_dir}: {reason} (at {os.fspath(where)})"
    return StoreError(code, message, _HINTS.get(code, ""))


def _no_inodes(rule_dir: Path) -> bool:
    try:
        status = os.statvfs(rule_dir)
    except OSError:
        return False
    return status.f_files > 0 and status.f_favail == 0  # some filesystems have no table of them: 0 of 0


@contextmanager
def os_errors_as_store_errors(rule_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise as_store_error(error, rule_dir) from error
