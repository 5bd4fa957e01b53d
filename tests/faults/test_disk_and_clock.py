"""The rule directory fills up or becomes read-only under a worker, and its host's clock jumps: said, and it heals."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from alerts.adapters.release_store import ReleaseStore
from tests.servers.processes import Process, eventually
from tests.servers.stand_in import StandIn
from tests.tasks.conftest import Installation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
HERE = Path(__file__).parent
WORKER = [sys.executable, "manage.py", "worker", "--reconcile-every", "2"]
# A file system of its own, seen by this process and its children alone.
MOUNTED = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
MOUNT = 'mount -t tmpfs -o size=1m,nr_inodes=100 none "$PROMETHEUS_RULE_DIR" && exec "$@"'
HOURS = 5 * 3600


class Disk:
    """The mounted rule directory, from outside."""

    def __init__(self, worker: Process, rule_dir: Path) -> None:
        self.worker = worker
        self.seen = Path(f"/proc/{worker.pid}/root{rule_dir}")
        self.rule_dir = rule_dir

    def full(self) -> None:
        with (self.seen / "foreign").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass

    def not_full(self) -> None:
        (self.seen / "foreign").unlink()

    def no_inodes(self) -> None:
        try:
            for number in range(200):
                (self.seen / f"foreign-{number}").touch()
        except OSError:
            pass

    def inodes(self) -> None:
        for path in self.seen.glob("foreign-*"):
            path.unlink()

    def read_only(self, options: str = "remount,ro") -> None:
        enter = ["nsenter", "--target", str(self.worker.pid), "--mount", "--user", "--preserve-credentials"]
        subprocess.run([*enter, "mount", "-o", options, str(self.rule_dir)], check=True, capture_output=True)

    def writable(self) -> None:
        self.read_only("remount,rw")


def test_a_disk_that_says_no_is_named_in_the_status_and_delivery_goes_on_by_itself_afterwards(
    make_installation: Callable[..., Installation], start_stand_in: Callable[..., StandIn]
) -> None:
    if subprocess.run([*MOUNTED, "mount -t tmpfs none /mnt"], capture_output=True).returncode != 0:
        pytest.skip("this machine lets no one mount in a namespace")
    installation = make_installation(1, PROMETHEUS_RELOAD_ENABLED="true")
    del installation.environment["CELERY_BROKER_URL"]
    rule_dir = installation.rule_dir("default")
    server = start_stand_in(rule_dir)
    installation.environment["PROMETHEUS_URL"] = server.url
    installation.start_web()
    rule = installation.call("POST", "/alert-rules", name="Down", query_template="up == 0")["id"]
    worker = installation.run([*MOUNTED, MOUNT, "sh", *WORKER], env=installation.environment, name="worker")
    eventually(lambda: f"{rule_dir} tmpfs" in Path(f"/proc/{worker.pid}/mounts").read_text(), what="the mount")
    disk = Disk(worker, rule_dir)
    server.reads_at = disk.seen
    store = ReleaseStore(disk.seen)
    server.await_query("up == 0")

    def status() -> dict[str, object]:
        """From the database: the web process does not see the mount."""
        servers = installation.call("GET", "/prometheus-servers?name=default")
        found: dict[str, object] = servers["results"][0]["status"]
        return found

    faults = {"full": disk.not_full, "no_inodes": disk.inodes, "read_only": disk.writable}
    for value, (code, mend) in enumerate(faults.items(), start=1):
        eventually(lambda: status()["in_sync"], timeout=30, what="being in sync")
        held = store.current()
        getattr(disk, code)()
        installation.call("PATCH", f"/alert-rules/{rule}", query_template=f"up == {value}")
        told = eventually(lambda: status()["error"], timeout=30, what="an error")
        assert told["code"] == code, told  # type: ignore[index]
        assert "cannot write to the rule directory" in told["message"]  # type: ignore[index]
        assert store.current() == held
        assert server.queries() == {"Down": f"up == {value - 1}"}
        assert [name for name in os.listdir(store.releases_dir) if name.startswith(".tmp")] == []
        mend()
        start = time.monotonic()
        server.await_query(f"up == {value}")
        print(f"\n{code}: delivered {time.monotonic() - start:.1f} s after the fault was gone", end="")
    eventually(lambda: status()["in_sync"] and status()["error"] is None, timeout=30, what="being in sync")


def test_a_host_whose_clock_jumps_by_hours_goes_on_delivering_healing_and_trying_again(
    make_installation: Callable[..., Installation],
    start_stand_in: Callable[..., StandIn],
    tmp_path: Path,
    own_database: str,
) -> None:
    """Web, both kinds of workers and beat jump there and back; the database's clock stays."""
    clock = tmp_path / "clock"
    clock.write_text("0")
    jumping = {"PYTHONPATH": str(HERE / "jumping_clock"), "JUMPING_CLOCK": str(clock)}
    installation = make_installation(
        1,
        PROMETHEUS_RELOAD_ENABLED="true",
        LEASE_SECONDS="5",
        DATABASE_URL=own_database,
        SECRET_KEY="x" * 60,
        **jumping,
    )
    rule_dir = installation.rule_dir("default")
    server = start_stand_in(rule_dir)
    installation.environment["PROMETHEUS_URL"] = server.url
    installation.start_web()
    rule = installation.call("POST", "/alert-rules", name="Down", query_template="up == 0")["id"]
    polling = installation.run(WORKER, env=installation.environment, name="polling")
    installation.start_worker()
    installation.start_beat()
    server.await_query("up == 0")

    def jump(seconds: int) -> None:
        fresh = clock.with_name("clock-next")
        fresh.write_text(str(seconds))
        fresh.rename(clock)

    def failed_twice() -> bool:
        return bool(installation.call("GET", "/prometheus/status")["failures"] >= 2)

    for value, offset in enumerate((HOURS, 0, -HOURS, HOURS), start=1):
        # A failure is recorded by the clock of before the jump, the next try is due by that of after it.
        server.mode = "garbage"
        installation.call("PATCH", f"/alert-rules/{rule}", query_template=f"up == {value}")
        eventually(
            lambda: installation.call("GET", "/prometheus/status")["failures"] >= 2, timeout=30, what="a failure"
        )
        jump(offset)
        server.mode = "well"
        start = time.monotonic()
        server.await_query(f"up == {value}", timeout=30)
        tried = time.monotonic() - start
        installation.call("PATCH", f"/alert-rules/{rule}", query_template=f"up == {value}0")
        server.await_query(f"up == {value}0", timeout=30)
        file = next((rule_dir / "current").glob("*.yml"))
        file.chmod(0o644)
        file.write_text("groups: []\n")
        start = time.monotonic()
        eventually(lambda file=file: "up == " in file.read_text(), timeout=40, what="the healed file")
        print(f"\nclock at {offset / 3600:+g} h: tried again after {tried:.1f} s, ", end="")
        print(f"drift healed after {time.monotonic() - start:.1f} s", end="")
    assert "Traceback" not in polling.output
    assert polling.running
