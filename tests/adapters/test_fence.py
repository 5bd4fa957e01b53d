"""Fencing: a writer that was overtaken changes nothing, whatever it believes and wherever it was frozen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alerts.adapters import fence
from alerts.adapters.failpoints import FENCE_FAILPOINTS, STORE_FAILPOINTS
from alerts.adapters.release_store import ReleaseStore, StoreError, manifest_of
from tests.adapters.store_process import cycle, files_of, whole
from tests.servers.binaries import ROOT
from tests.servers.processes import eventually

pytestmark = pytest.mark.slow


@pytest.fixture
def store(tmp_path: Path) -> ReleaseStore:
    (tmp_path / "rules").mkdir()
    return ReleaseStore(tmp_path / "rules", lock_timeout=0.5)


def snapshot(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything below a directory: inode, time of change and contents, so that any write shows."""
    found = {}
    for path in sorted(directory.rglob("*")):
        status = os.lstat(path)
        data = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(directory))] = (status.st_ino, status.st_mtime_ns, data)
    return found


def start(store: ReleaseStore, mode: str, number: int, number_of_writer: int, failpoint: str = "") -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.adapters.store_process"]
    command += [str(store.rule_dir), mode, str(number), "0", str(number_of_writer)]
    environment = os.environ | {"CONFIG_SERVER_FAILPOINT": failpoint}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


WRITES = {
    "stage": lambda store, number: store.stage(files_of(3), number),
    "activate": lambda store, number: store.activate(store.releases()[0], number),
    "prune": lambda store, number: store.prune((), number),
    "discard": lambda store, number: store.discard(store.releases()[0], number),
}


@pytest.mark.parametrize("write", WRITES)
def test_an_overtaken_writer_changes_nothing(store, write):
    cycle(store, 1, fence=4)
    store.stage(files_of(2), 5)
    before = snapshot(store.rule_dir)
    with pytest.raises(StoreError) as refused:
        WRITES[write](store, 4)
    assert refused.value.code == "fenced_off"
    assert "its number is 5, this one's is 4" in refused.value.message
    assert snapshot(store.rule_dir) == before


def test_the_same_writer_and_a_later_one_go_on(store):
    for number in (1, 1, 7, 7):
        cycle(store, number, fence=number)
    assert fence.recorded(store.rule_dir) == 7
    assert (store.rule_dir / ".fence").read_bytes() == b"7\n"
    assert (store.rule_dir / ".fence").stat().st_mode & 0o777 == 0o640


def test_a_writer_without_a_number_is_not_asked_for_one(store):
    cycle(store, 1)
    assert not (store.rule_dir / ".fence").exists()
    cycle(store, 2, fence=3)
    cycle(store, 4)
    assert fence.recorded(store.rule_dir) == 3


def test_the_record_is_no_drift(store):
    cycle(store, 1, fence=3)
    assert store.drift(manifest_of(files_of(1))) == []


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "words": lambda path: path.write_bytes(b"seven\n"),
    "cut": lambda path: path.write_bytes(b"12"),
    "endless": lambda path: path.write_bytes(b"1" * 5000),
    "negative": lambda path: path.write_bytes(b"-4\n"),
    "gone": lambda path: path.unlink(),
    "directory": lambda path: (path.unlink(), path.mkdir(), (path / "x").touch()),
    "pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "loop": lambda path: (path.unlink(), path.symlink_to(path.name)),
    "link elsewhere": lambda path: (path.unlink(), path.symlink_to("../elsewhere")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_stops_nobody_and_is_written_anew(store, damage):
    (store.rule_dir.parent / "elsewhere").write_bytes(b"999\n")
    cycle(store, 1, fence=3)
    DAMAGES[damage](store.rule_dir / ".fence")
    assert fence.recorded(store.rule_dir) == 0
    cycle(store, 2, fence=3)
    assert fence.recorded(store.rule_dir) == 3
    assert (store.rule_dir.parent / "elsewhere").read_bytes() == b"999\n"
    with pytest.raises(StoreError, match="its number is 3"):
        store.stage(files_of(3), 2)


@pytest.mark.parametrize("failpoint", FENCE_FAILPOINTS)
def test_killed_while_its_number_is_recorded_the_old_or_the_new_one_stands(store, failpoint):
    cycle(store, 1, fence=3)
    process = start(store, "cycle", 2, 4, failpoint)
    assert process.wait(60) == -signal.SIGKILL
    assert fence.recorded(store.rule_dir) == (3 if failpoint == "fence.written" else 4)
    assert store.drift(manifest_of(files_of(1))) == []
    cycle(store, 5, fence=4)
    assert fence.recorded(store.rule_dir) == 4
    assert sorted(os.listdir(store.rule_dir)) == [".fence", "current", "releases"]


@pytest.mark.parametrize("failpoint", STORE_FAILPOINTS)
def test_a_writer_frozen_anywhere_never_writes_after_its_successor(store, failpoint):
    """Frozen inside the lock it holds the successor up, who says so; it ends that step first, and is stopped then."""
    cycle(store, 50, fence=1)
    process = start(store, "forever", 60, 2, f"{failpoint}=sleep:0.5")
    try:
        eventually(lambda: fence.recorded(store.rule_dir) == 2, every=0.01, what="the first writer at work")
        time.sleep(0.2)  # now it stands at the failpoint
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(StoreError, match=rf"process {process.pid} \(stopped\)") as waiting:
            cycle(store, 99, fence=3)
        assert waiting.value.code == "busy"
        assert whole(store)
        os.kill(process.pid, signal.SIGCONT)
        store.lock_timeout = 30
        cycle(store, 99, fence=3)
        before = snapshot(store.rule_dir)
        printed, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert "StoreError fenced_off" in printed
    assert snapshot(store.rule_dir) == before
    assert store.drift(manifest_of(files_of(99))) == []


def test_a_writer_frozen_between_its_steps_is_overtaken_at_once(store):
    cycle(store, 50, fence=1)
    first, second = ReleaseStore(store.rule_dir), ReleaseStore(store.rule_dir)
    staged = first.stage(files_of(60), 2)  # here it sleeps past its lease
    cycle(second, 99, fence=3)
    before = snapshot(store.rule_dir)
    for write in (lambda: first.activate(staged.content_hash, 2), lambda: first.stage(files_of(60), 2)):
        with pytest.raises(StoreError, match="another process writes"):
            write()
    assert snapshot(store.rule_dir) == before


def test_of_two_writers_at_full_speed_the_later_one_wins(store):
    store.lock_timeout = 30
    cycle(store, 1, fence=1)
    first = start(store, "forever", 100, 2)
    try:
        eventually(lambda: fence.recorded(store.rule_dir) == 2, what="the first writer at work")
        for number in range(200, 210):
            cycle(store, number, fence=3)
            assert store.drift(manifest_of(files_of(number))) == []
        printed, _ = first.communicate(timeout=30)
    finally:
        first.kill()
        first.wait()
    assert "StoreError fenced_off" in printed
