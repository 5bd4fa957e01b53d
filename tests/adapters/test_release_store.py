"""The rule directory: what is on disk after each step, after every kind of hand edit, and when the disk says no."""

from __future__ import annotations

import fcntl
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from alerts.adapters.failpoints import (
    DELIVERY_FAILPOINTS,
    DRIFT_FAILPOINTS,
    FAILPOINTS,
    FENCE_FAILPOINTS,
    STORE_FAILPOINTS,
    reach,
)
from alerts.adapters.release_store import ReleaseStore, StoreError, content_hash, manifest_of
from tests.adapters.store_process import files_of, whole
from tests.servers.binaries import ROOT


@pytest.fixture
def store(tmp_path: Path) -> ReleaseStore:
    (tmp_path / "rules").mkdir()
    return ReleaseStore(tmp_path / "rules")


def deploy(store: ReleaseStore, files: dict[str, bytes]) -> str:
    content = store.stage(files).content_hash
    store.activate(content)
    return content


def on_disk(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


ONE = {"global.yml": b"groups: []\n", "target-a%2Fb.yml": b"groups:\n", "group-env.prod.yml": b"# three\n"}
TWO = ONE | {"global.yml": b"# other\n"}


# ------------------------------------------------------------------------------------------------ sets


def test_a_set_becomes_current_in_one_relative_link(store):
    content = deploy(store, ONE)
    assert os.readlink(store.link) == f"releases/{content}"
    assert on_disk(store.rule_dir / "current") == ONE
    assert store.current() == content
    assert store.drift(manifest_of(ONE)) == []
    assert sorted(os.listdir(store.rule_dir)) == ["current", "releases"]
    assert os.listdir(store.releases_dir) == [content]


def test_the_name_of_a_set_can_be_checked_with_sha256sum(store):
    staged = store.stage(ONE)
    command = "LC_ALL=C; export LC_ALL; sha256sum *.yml | sha256sum"
    printed = subprocess.run(["sh", "-c", command], cwd=staged.path, capture_output=True, text=True, check=True).stdout
    assert printed.split()[0] == staged.content_hash


def test_the_same_files_in_another_order_are_the_same_set(store):
    assert store.stage(ONE).content_hash == store.stage(dict(reversed(ONE.items()))).content_hash


def test_an_empty_set_is_a_set(store):
    content = deploy(store, {})
    assert store.current() == content
    assert list((store.rule_dir / "current").iterdir()) == []
    assert store.drift({}) == []


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize(("dir_mode", "file_mode"), [(0o755, 0o444), (0o750, 0o640)])
def test_modes_do_not_depend_on_the_umask(tmp_path, umask, dir_mode, file_mode):
    store = ReleaseStore(tmp_path / "deep" / "rules", dir_mode=dir_mode, file_mode=file_mode)
    before = os.umask(umask)
    try:
        store.prepare()
        deploy(store, ONE)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (store.rule_dir / "current").iterdir()} == {file_mode}
    assert {path.stat().st_mode & 0o777 for path in (store.rule_dir, store.releases_dir, store.link)} == {dir_mode}


def test_a_set_group_id_bit_hands_files_to_the_readers_group(store):
    store.rule_dir.chmod(0o2755)
    deploy(store, ONE)
    assert store.link.stat().st_mode & 0o7777 == 0o2755


def test_unchanged_files_are_shared_and_only_the_others_are_named_changed(store):
    first, second = deploy(store, ONE), store.stage(TWO | {"namespace-x.yml": b""})
    assert second.changed == ("global.yml", "namespace-x.yml")
    assert second.removed == ()
    inodes = {name: (store.path_of(first) / name).stat().st_ino for name in ONE}
    shared = {name for name in ONE if (second.path / name).stat().st_ino == inodes[name]}
    assert shared == {"group-env.prod.yml", "target-a%2Fb.yml"}


def test_a_file_left_out_is_named_removed(store):
    deploy(store, ONE)
    assert store.stage({"global.yml": ONE["global.yml"]}).removed == ("group-env.prod.yml", "target-a%2Fb.yml")


def test_staging_what_is_there_already_writes_nothing(store):
    content = deploy(store, ONE)
    before = {path: path.lstat() for path in store.rule_dir.rglob("*")}
    staged = store.stage(ONE)
    assert not staged.created
    assert staged.changed == staged.removed == staged.healed == ()
    assert store.activate(content) is False
    assert {path: path.lstat().st_ino for path in store.rule_dir.rglob("*")} == {p: s.st_ino for p, s in before.items()}
    assert store.link.lstat().st_mtime_ns == before[store.link].st_mtime_ns


def test_what_a_killed_process_left_goes_before_the_next_set_is_written(store):
    store.stage(ONE)
    store.releases_dir.joinpath(".tmp-left").mkdir()
    store.rule_dir.joinpath(".current-left").symlink_to("releases")
    content = store.stage(TWO).content_hash
    assert {*os.listdir(store.releases_dir)} == {store.stage(ONE).content_hash, content}
    assert os.listdir(store.rule_dir) == ["releases"]


def test_a_damaged_current_file_is_not_linked_into_the_next_set(store):
    deploy(store, ONE)
    edit_in_place(store.link / "group-env.prod.yml")
    staged = store.stage(TWO)
    assert on_disk(staged.path) == TWO
    assert staged.changed == ("global.yml", "group-env.prod.yml")


@pytest.mark.parametrize(
    "name",
    [
        "../x.yml",
        "a/b.yml",
        "x.yaml",
        ".hidden.yml",
        "-rf.yml",
        "ü.yml",
        "a b.yml",
        "a\n.yml",
        "x.yml\n",
        "",
        ".yml",
        "a" * 252 + ".yml",
    ],
)
def test_a_name_that_could_do_harm_is_refused(store, name):
    with pytest.raises(StoreError) as refused:
        store.stage({name: b""})
    assert refused.value.code == "bad_name"
    assert not store.releases_dir.exists()


# ------------------------------------------------------------------------------------------------ what may be current


def test_only_a_whole_set_becomes_current(store):
    old, new = deploy(store, ONE), store.stage(TWO).content_hash
    edit_in_place(store.path_of(new) / "global.yml")
    with pytest.raises(StoreError) as refused:
        store.activate(new)
    assert refused.value.code == "release_damaged"
    with pytest.raises(StoreError) as refused:
        store.activate("0" * 64)
    assert refused.value.code == "release_missing"
    with pytest.raises(StoreError) as refused:
        store.activate("../../etc")
    assert refused.value.code == "release_missing"
    assert store.current() == old


def test_pruning_keeps_what_is_named_and_what_is_current(store):
    sets = [deploy(store, {"a.yml": bytes([n])}) for n in range(1, 6)]
    (store.releases_dir / "stranger").mkdir()
    (store.releases_dir / ".tmp-left").mkdir()
    (store.releases_dir / ".tmp-left" / "a.yml").write_bytes(b"half")
    (store.rule_dir / ".current-left").symlink_to("nowhere")
    assert store.prune(keep={sets[1]}) == sorted([sets[0], sets[2], sets[3]])
    assert store.releases() == sorted([sets[1], sets[4]])
    assert sorted(os.listdir(store.releases_dir)) == sorted([sets[1], sets[4], "stranger"])
    assert sorted(os.listdir(store.rule_dir)) == ["current", "releases"]


def test_pruning_spares_what_a_hand_made_link_leads_to(store):
    content = deploy(store, ONE)
    store.link.unlink()
    store.link.symlink_to(store.path_of(content))  # absolute
    assert store.current() is None
    assert store.prune(keep=()) == []
    assert store.discard(content) is False
    assert store.releases() == [content]


def test_two_writers_at_once_leave_whole_sets(store):
    def write(seed: int) -> None:
        chance, own = random.Random(seed), ReleaseStore(store.rule_dir)
        for _ in range(40):
            staged = own.stage(files_of(chance.randrange(8)))
            try:
                own.activate(staged.content_hash)
            except StoreError as error:
                if error.code != "release_missing":  # another one pruned it in between
                    raise
            own.prune(keep=())

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert whole(store)
    assert not [name for name in os.listdir(store.releases_dir) if name.startswith(".")]


def test_a_writer_that_holds_the_lock_too_long_is_named(store):
    deploy(store, ONE)
    holder = os.open(store.releases_dir, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    try:
        with pytest.raises(StoreError) as refused:
            ReleaseStore(store.rule_dir, lock_timeout=0.1).stage(TWO)
    finally:
        os.close(holder)
    assert refused.value.code == "busy"


# ------------------------------------------------------------------------------------------------ drift and healing


def edit_in_place(path: Path) -> None:
    """As `sudo sh -c 'echo … >> file'` does: same inode."""
    mode = path.stat().st_mode & 0o7777
    path.chmod(0o644)
    with path.open("ab") as file:
        file.write(b"# edited\n")
    path.chmod(mode)


def replace(path: Path) -> None:
    """As editors do: a new inode."""
    path.with_name("edited").write_bytes(b"# edited\n")
    path.with_name("edited").chmod(0o444)
    path.with_name("edited").rename(path)


def replace_by_link(path: Path) -> None:
    outside = path.parents[3] / "outside.yml"
    outside.write_bytes(path.read_bytes())
    outside.chmod(0o444)
    path.unlink()
    path.symlink_to(outside)


def replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "x").write_bytes(b"")


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def the_file(do):
    return lambda store: do(store.path_of(store.current()) / "global.yml")


def aim(target: str):
    def change(store: ReleaseStore) -> None:
        content = store.current()
        store.link.unlink()
        store.link.symlink_to(target.format(content=content, dir=store.rule_dir))

    return change


def real_directory(store: ReleaseStore) -> None:
    content = store.current()
    store.link.unlink()
    shutil.copytree(store.path_of(content), store.link)


def link_to_a_copy(store: ReleaseStore) -> None:
    path = store.path_of(store.current())
    path.rename(store.rule_dir / "moved")
    path.symlink_to("../moved")


HAND_EDITS = {
    "a file edited in place": (the_file(edit_in_place), {("global.yml", "changed")}),
    "a file replaced": (the_file(replace), {("global.yml", "changed")}),
    "a file removed": (the_file(Path.unlink), {("global.yml", "missing")}),
    "a file made unreadable": (
        the_file(lambda path: path.chmod(0)),
        {("global.yml", "mode"), ("global.yml", "unreadable")},
    ),
    "a file with another mode": (the_file(lambda path: path.chmod(0o600)), {("global.yml", "mode")}),
    "a file that is now a link": (the_file(replace_by_link), {("global.yml", "link")}),
    "a file that is now a directory": (the_file(replace_by_directory), {("global.yml", "unreadable")}),
    "a file that is now a pipe": (the_file(replace_by_pipe), {("global.yml", "unreadable")}),
    "a file added": (lambda store: (store.link / "own.yml").write_bytes(b"groups: []\n"), {("own.yml", "extra")}),
    "a hidden rule file added": (lambda store: (store.link / ".own.yml").write_bytes(b"x"), {(".own.yml", "extra")}),
    "a directory added": (lambda store: (store.link / "own").mkdir(), {("own", "extra")}),
    "the set closed to others": (
        lambda store: store.path_of(store.current()).chmod(0o700),
        {("releases/{content}", "mode")},
    ),
    "all sets closed to others": (lambda store: store.releases_dir.chmod(0o700), {("releases", "mode")}),
    "the set removed": (
        lambda store: shutil.rmtree(store.path_of(store.current())),
        {("current", "link"), ("releases/{content}", "missing")},
    ),
    "the set replaced by a link": (link_to_a_copy, {("releases/{content}", "link")}),
    "all sets removed": (
        lambda store: shutil.rmtree(store.releases_dir),
        {("current", "link"), ("releases/{content}", "missing")},
    ),
    "current removed": (lambda store: store.link.unlink(), {("current", "missing")}),
    "current dangling": (aim("releases/nothing"), {("current", "link")}),
    "current absolute": (aim("{dir}/releases/{content}"), {("current", "link")}),
    "current pointing to itself": (aim("current"), {("current", "link")}),
    "current pointing elsewhere": (aim("."), {("current", "link")}),
    "current a real directory": (real_directory, {("current", "link")}),
    "current a file": (lambda store: (store.link.unlink(), store.link.write_bytes(b"")), {("current", "link")}),
}


@pytest.mark.parametrize("edit", HAND_EDITS)
def test_a_hand_edit_is_drift_and_is_healed(store, edit):
    content, manifest = deploy(store, ONE), manifest_of(ONE)
    other = store.stage(TWO).content_hash
    change, expected = HAND_EDITS[edit]
    change(store)

    found = store.drift(manifest)
    possible = {(path.format(content=content), kind) for path, kind in expected}
    assert found
    assert {(drift.path, drift.kind) for drift in found} <= possible
    assert all(drift.detail and drift.path in str(drift) for drift in found)

    store.stage(ONE)
    store.activate(content)
    assert store.drift(manifest) == []
    assert on_disk(store.link) == ONE
    assert store.verify(manifest_of(TWO)) == [] or not store.path_of(other).exists()


@pytest.mark.parametrize("name", ["vim's .global.yml.swp", "what NFS keeps of an open file"])
def test_dot_files_that_nobody_loads_are_not_drift(store, name):
    deploy(store, ONE)
    (store.link / {"v": ".global.yml.swp", "w": ".nfs0001"}[name[0]]).write_bytes(b"")
    assert store.drift(manifest_of(ONE)) == []


def test_healing_a_shared_file_mends_every_set_that_shares_it(store):
    contents = [{"own.yml": bytes([n]), "shared.yml": b"the same"} for n in range(4)]
    for files in contents:
        deploy(store, files)
    assert (store.link / "shared.yml").stat().st_nlink == 4
    edit_in_place(store.link / "shared.yml")
    damaged = (store.link / "shared.yml").stat().st_ino
    assert all(store.verify(manifest_of(files)) for files in contents)

    deploy(store, contents[-1])

    assert all(store.verify(manifest_of(files)) == [] for files in contents)
    assert all((store.path_of(content) / "shared.yml").stat().st_ino != damaged for content in store.releases())


def test_a_set_that_healing_another_does_not_mend_is_dropped(store):
    first = deploy(store, ONE)
    deploy(store, TWO)
    edit_in_place(store.link / "group-env.prod.yml")
    edit_in_place(store.path_of(first) / "global.yml")
    second = deploy(store, TWO)
    assert store.releases() == [second]


def test_a_directory_in_place_of_current_is_kept_aside(store):
    deploy(store, ONE)
    real_directory(store)
    (store.link / "precious.txt").write_text("mine")
    deploy(store, ONE)
    (displaced,) = store.rule_dir.glob("current.displaced-*")
    assert (displaced / "precious.txt").read_text() == "mine"


# ------------------------------------------------------------------------------------------------ when the disk says no


def test_a_missing_rule_directory_is_not_made_up(tmp_path):
    store = ReleaseStore(tmp_path / "not-mounted")
    for attempt in (lambda: store.stage(ONE), store.probe, lambda: store.prune(()), lambda: store.activate("0" * 64)):
        with pytest.raises(StoreError) as refused:
            attempt()
        assert refused.value.code == "rule_dir_missing"
        assert refused.value.hint
    assert not store.rule_dir.exists()
    assert store.current() is None
    assert store.releases() == []
    assert [drift.kind for drift in store.drift(manifest_of(ONE))] == ["missing", "missing"]


def test_a_file_in_place_of_the_rule_directory_is_named(tmp_path):
    (tmp_path / "rules").write_text("")
    with pytest.raises(StoreError) as refused:
        ReleaseStore(tmp_path / "rules").stage(ONE)
    assert refused.value.code == "not_a_directory"
    (tmp_path / "rules").unlink()
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "releases").write_text("")
    with pytest.raises(StoreError) as refused:
        ReleaseStore(tmp_path / "rules").stage(ONE)
    assert refused.value.code == "not_a_directory"


def test_a_healthy_directory_passes_the_probe_and_shows_no_trace_of_it(store):
    store.probe()
    assert os.listdir(store.releases_dir) == []


def test_a_write_cut_short_leaves_the_old_set_and_no_rest(store):
    """A real limit on file size stands for the full disk: it holds for root as well."""
    content = deploy(store, ONE)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StoreError) as refused:
            store.stage(ONE | {"large.yml": b"#" * 5000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert refused.value.code == "full"
    assert store.releases() == os.listdir(store.releases_dir) == [content]
    assert store.drift(manifest_of(ONE)) == []


def in_a_namespace(script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount things, seen by nobody else."""
    unshare = ["unshare", "--mount", "--map-root-user"]
    if subprocess.run([*unshare, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode != 0:
        pytest.skip("this machine lets no one mount in a namespace")
    return subprocess.run([*unshare, "sh", "-ec", script], cwd=ROOT, capture_output=True, text=True, check=False)


STAGE = f"{sys.executable} -m tests.adapters.store_process"


def test_a_really_full_disk_leaves_the_old_set(tmp_path):
    done = in_a_namespace(
        f"mount -t tmpfs -o size=1m none {tmp_path};"
        f"{STAGE} {tmp_path} deploy 1 20000; {STAGE} {tmp_path} deploy 2 900000"
    )
    assert "StoreError full" in done.stdout, done
    assert f"current {content_hash(manifest_of(files_of(1, 20000)))} whole True temporary 0" in done.stdout


def test_a_read_only_directory_says_so(tmp_path):
    deploy(ReleaseStore(tmp_path), files_of(1))
    done = in_a_namespace(
        f"mount --bind {tmp_path} {tmp_path}; mount -o remount,bind,ro {tmp_path}; {STAGE} {tmp_path} deploy 2"
    )
    assert "StoreError read_only" in done.stdout, done
    assert f"current {content_hash(manifest_of(files_of(1)))} whole True temporary 0" in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write where the owner may not")
def test_another_users_directory_says_so(server_folder):
    (server_folder / "rules").mkdir(mode=0o755)
    deploy(ReleaseStore(server_folder / "rules"), files_of(1))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_RIGHTS, str(server_folder / "rules")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == "permission\n", done


# The interpreter may be closed to other users, so everything is imported first.
WITHOUT_RIGHTS = """
import os, sys
from alerts.adapters.release_store import ReleaseStore, StoreError
os.setgid(65534); os.setuid(65534)
try:
    ReleaseStore(sys.argv[1]).stage({"a.yml": b""})
except StoreError as error:
    print(error.code)
"""


# ------------------------------------------------------------------------------------------------ kill -9


def run_until(store: ReleaseStore, mode: str, failpoint: str = "") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"CONFIG_SERVER_FAILPOINT": failpoint}
    command = [sys.executable, "-m", "tests.adapters.store_process", str(store.rule_dir), mode, "0"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)


def assert_whole_and_converging(store: ReleaseStore, promtool: Path) -> None:
    assert whole(store), "current must lead to a whole set at every instant"
    paths = [str(path) for path in (store.rule_dir / "current").glob("*.yml")]
    judged = subprocess.run([promtool, "check", "rules", *paths], capture_output=True, text=True)
    assert judged.returncode == 0, judged.stderr
    staged = store.stage(files_of(99))
    store.activate(staged.content_hash)
    store.prune(keep=())
    assert store.releases() == os.listdir(store.releases_dir) == [staged.content_hash]
    assert {name for name in os.listdir(store.rule_dir) if "displaced" not in name} == {"current", "releases"}
    assert store.drift(staged.manifest) == []


@pytest.mark.parametrize(
    "failpoint", [*STORE_FAILPOINTS, "stage.file:2", "swap.renamed:2", "prune.removed:2", "stage.renamed:3"]
)
def test_killed_at_any_step_current_is_a_whole_set(store, promtool, failpoint):
    deploy(store, files_of(50))
    assert run_until(store, "cycle", failpoint).returncode == -9
    assert_whole_and_converging(store, promtool)


@pytest.mark.parametrize("failpoint", [name for name in DRIFT_FAILPOINTS if name.startswith("heal")] + ["heal.file:2"])
def test_killed_while_healing_the_set_only_gets_better(store, promtool, failpoint):
    content = deploy(store, files_of(0))
    for path in list(store.link.iterdir())[:2]:
        edit_in_place(path)
    damaged = len(store.drift(manifest_of(files_of(0))))
    assert run_until(store, "cycle", failpoint).returncode == -9
    assert store.current() == content
    left = store.drift(manifest_of(files_of(0)))
    assert len(left) <= damaged
    assert {drift.kind for drift in left} <= {"changed"}
    store.stage(files_of(0))
    assert_whole_and_converging(store, promtool)


def test_killed_with_a_foreign_directory_just_out_of_the_way_the_next_start_converges(store, promtool):
    deploy(store, files_of(0))
    real_directory(store)
    assert run_until(store, "cycle", "swap.displaced").returncode == -9
    assert not store.link.exists()
    deploy(store, files_of(0))
    assert_whole_and_converging(store, promtool)


@pytest.mark.parametrize("kills", [60, pytest.param(200, marks=pytest.mark.full)])
def test_killed_at_random_current_is_a_whole_set(store, promtool, kills):
    chance = random.Random(kills)
    deploy(store, files_of(50))
    seen = set()
    for number in range(kills):
        command = [sys.executable, "-m", "tests.adapters.store_process", str(store.rule_dir), "forever", str(number)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        assert process.stdout
        assert process.stdout.readline() == b"started\n"
        time.sleep(chance.uniform(0, 0.03))
        process.kill()
        process.wait()
        process.stdout.close()
        assert whole(store), f"kill number {number}"
        seen.add(store.current())
    assert len(seen) > 2, "the process was killed in the middle of its work"
    assert_whole_and_converging(store, promtool)


# ------------------------------------------------------------------------------------------------ failpoints


def test_every_failpoint_of_the_store_is_reached_by_name():
    source = "".join((ROOT / f"alerts/adapters/{name}.py").read_text() for name in ("release_store", "fence"))
    listed = STORE_FAILPOINTS + DRIFT_FAILPOINTS + FENCE_FAILPOINTS
    assert sorted(set(re.findall(r'reach\("([^"]+)"\)', source))) == sorted(listed)
    assert len(set(FAILPOINTS)) == len(FAILPOINTS)


def test_no_failpoint_is_armed_by_itself(monkeypatch):
    monkeypatch.delenv("CONFIG_SERVER_FAILPOINT", raising=False)
    for name in FAILPOINTS:
        reach(name)


def test_a_failpoint_may_stall_instead(monkeypatch):
    monkeypatch.setenv("CONFIG_SERVER_FAILPOINT", f"{DELIVERY_FAILPOINTS[0]}:2=sleep:0.2")
    start = time.monotonic()
    reach(DELIVERY_FAILPOINTS[0])
    assert time.monotonic() - start < 0.1
    reach(DELIVERY_FAILPOINTS[0])
    assert time.monotonic() - start >= 0.2


@pytest.mark.parametrize("wanted", ["stage.befor", "stage.before:0", "stage.before:x", "stage.before=sleep"])
def test_a_misspelt_failpoint_does_not_pass_for_a_survived_one(monkeypatch, wanted):
    monkeypatch.setenv("CONFIG_SERVER_FAILPOINT", wanted)
    with pytest.raises(ValueError, match="names no failpoint"):
        reach("stage.before")
