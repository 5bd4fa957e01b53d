"""When the disk says no: a clear reason, nothing half-written, and all is well again once the fault is gone."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from alerts.adapters.release_store import ReleaseStore, StoreError, manifest_of
from tests.adapters.store_process import files_of
from tests.servers.binaries import ROOT

# Run in a namespace of its own, where anybody may mount: prints what happened at each step.
SCRIPT = """
import os, subprocess, sys
from alerts.adapters.release_store import ReleaseStore, StoreError, manifest_of
from tests.adapters.store_process import files_of, whole

rule_dir, fault = sys.argv[1], sys.argv[2]
store = ReleaseStore(rule_dir)

def run(*command): subprocess.run(command, check=True)
def attempt(step):
    try:
        step()
        print("done")
    except StoreError as error:
        print(error.code, "|", error.message, "|", error.hint)

OLD, NEW = files_of(1), files_of(2, 60_000)
options = {"full": "size=1m", "inodes": "nr_inodes=40", "read_only": "size=1m"}[fault]
run("mount", "-t", "tmpfs", "-o", options, "none", rule_dir)
old = store.stage(OLD, 1).content_hash
store.activate(old, 1)
other = store.stage(files_of(3), 1).content_hash  # staged, not current

def fill():
    if fault == "read_only":
        run("mount", "-o", "remount,ro", rule_dir)
    elif fault == "full":
        with open(rule_dir + "/foreign", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
    else:
        os.mkdir(rule_dir + "/foreign")
        try:
            for number in range(1000):
                open(f"{rule_dir}/foreign/{number}", "x").close()
        except OSError:
            pass

def mend():
    run("mount", "-o", "remount,rw", rule_dir) if fault == "read_only" else run("rm", "-r", rule_dir + "/foreign")

fill()
attempt(lambda: store.stage(NEW, 1))
if fault != "full":  # a short link needs an inode, but no room
    attempt(lambda: store.activate(other, 1))
attempt(lambda: store.stage(NEW, 2))  # a new writer, whose number cannot be recorded
print("drift", store.drift(manifest_of(OLD)), "current", store.current() == old, "whole", whole(store))
names = os.listdir(store.releases_dir) + os.listdir(rule_dir)
print("half-written", [name for name in names if name.startswith(".tmp")])
mend()
new = store.stage(NEW, 2).content_hash
store.activate(new, 2)
store.prune((), 2)
print("healed", store.drift(manifest_of(NEW)), sorted(os.listdir(rule_dir)), os.listdir(store.releases_dir) == [new])
"""


def in_a_namespace(rule_dir: Path, fault: str) -> list[str]:
    unshare = ["unshare", "--mount", "--map-root-user"]
    if subprocess.run([*unshare, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode != 0:
        pytest.skip("this machine lets no one mount in a namespace")
    rule_dir.mkdir()
    command = [*unshare, sys.executable, "-c", SCRIPT, str(rule_dir), fault]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("full", "full", "No space left on device"),
        ("inodes", "no_inodes", "No inodes left on device"),
        ("read_only", "read_only", "Read-only file system"),
    ],
)
def test_a_fault_of_the_disk_is_named_and_leaves_the_old_set_whole(tmp_path, fault, code, words):
    *refused, looks, rest, healed = in_a_namespace(tmp_path / "rules", fault)
    assert len(refused) == (2 if fault == "full" else 3)
    for told in refused:
        assert told.startswith(f"{code} | cannot write to the rule directory"), told
        assert words in told
    assert looks == "drift [] current True whole True"
    assert rest == "half-written []"
    assert healed == "healed [] ['.fence', 'current', 'releases'] True"


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """A limit the kernel holds for everybody, root and other machines' builds as well."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def store(tmp_path: Path) -> ReleaseStore:
    (tmp_path / "rules").mkdir()
    return ReleaseStore(tmp_path / "rules")


def test_no_room_for_files_leaves_the_old_set_and_the_next_try_succeeds(store):
    old = store.stage(files_of(1), 1).content_hash
    store.activate(old, 1)
    with files_limited_to(50), pytest.raises(StoreError) as refused:
        store.stage(files_of(2, 5000), 1)
    assert refused.value.code == "full"
    assert os.listdir(store.releases_dir) == [old]
    assert store.drift(manifest_of(files_of(1))) == []
    new = store.stage(files_of(2, 5000), 1).content_hash
    store.activate(new, 1)
    assert store.drift(manifest_of(files_of(2, 5000))) == []


def test_no_room_for_the_writers_number_writes_nothing(store):
    store.activate(store.stage(files_of(1), 1).content_hash, 1)
    with files_limited_to(0), pytest.raises(StoreError) as refused:
        store.stage(files_of(2), 2)
    assert refused.value.code == "full"
    assert (store.rule_dir / ".fence").read_bytes() == b"1\n"
    store.stage(files_of(2), 2)
    assert sorted(os.listdir(store.rule_dir)) == [".fence", "current", "releases"]


def test_no_room_while_healing_leaves_the_rest_as_it_was(store):
    content = store.stage(files_of(1), 1).content_hash
    store.activate(content, 1)
    damaged = store.path_of(content) / "half.yml"
    damaged.chmod(0o644)
    damaged.write_bytes(b"# edited\n")
    with files_limited_to(10), pytest.raises(StoreError) as refused:
        store.stage(files_of(1), 1)
    assert refused.value.code == "full"
    assert [drift.path for drift in store.drift(manifest_of(files_of(1)))] == ["half.yml"]
    store.stage(files_of(1), 1)
    assert store.drift(manifest_of(files_of(1))) == []


def test_a_directory_of_somebody_else_heals_with_its_rights(server_folder):
    """As another user, unless this one may write everywhere and may not become somebody else."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else; test_no_room… stands for refusals here")
    rules = server_folder / "rules"
    rules.mkdir(mode=0o755)
    store = ReleaseStore(rules)
    store.activate(store.stage(files_of(1)).content_hash)
    script = "import os,sys\nfrom alerts.adapters.release_store import *\nfrom tests.adapters.store_process import *\n"
    script += "os.setgid(65534); os.setuid(65534)\nstore = ReleaseStore(sys.argv[1])\n"
    script += "try: cycle(store, 2, 1); print(whole(store))\nexcept StoreError as error: print(error.code)\n"
    command = [sys.executable, "-c", script, str(rules)]

    def as_nobody() -> str:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    assert as_nobody() == "permission"
    assert store.drift(manifest_of(files_of(1))) == []
    for path in (rules, *rules.rglob("*")):
        shutil.chown(path, 65534) if not path.is_symlink() else os.lchown(path, 65534, 65534)
    assert as_nobody() == "True"


@pytest.mark.parametrize("spoilt", ["rule_dir", "releases_dir"])
def test_a_directory_that_cannot_be_looked_at_is_drift_with_a_reason(
    tmp_path: Path, spoilt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ReleaseStore(tmp_path)
    store.activate(store.stage(files_of(1)).content_hash)
    real = Path.stat

    def stale(self: Path, **more: bool) -> os.stat_result:  # as NFS does when the server has lost the file's handle
        if getattr(store, spoilt) in (self, *self.parents):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(self))
        return real(self, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", stale)
        assert store.drift(manifest_of(files_of(1)))
        assert store.current() is None
        with pytest.raises(StoreError, match="Stale file handle"):
            store.stage(files_of(2))
    assert store.drift(manifest_of(files_of(1))) == []
