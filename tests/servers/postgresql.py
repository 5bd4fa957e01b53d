"""A PostgreSQL server of our own. It refuses to run as root, so root runs it as `nobody`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from tests.servers import took_part
from tests.servers.binaries import find, library_path, unpacked_root, version_of
from tests.servers.processes import Process, ServerFailed, free_port, started

# No durability: the data lives as long as the test run.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "jit": "off",
    "max_connections": "60",
    "listen_addresses": "127.0.0.1",
}


class PostgreSQL:
    """``settings`` of its own: ``synchronous_commit="on"`` for tests that stop it and look for what was confirmed."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.settings = SETTINGS | settings
        self.bin = find("initdb").parent
        self.user = "nobody" if os.geteuid() == 0 else None
        self.port = 0
        self._process: Process | None = None

    def start(self) -> PostgreSQL:
        """Starts, or starts again on the same port with the same data."""
        if not (self.folder / "data").exists():
            self._make_data()
        again = bool(self.port)

        def make(_: int) -> Process:
            self.port = self.port if again else free_port()
            options = [part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")]
            return Process(
                [self.bin / "postgres", "-D", "data", "-p", str(self.port), "-k", self.folder, *options],
                self.folder,
                env=self._environment(),
                user=self.user,
            )

        self._process = started(make, "ready to accept connections", taken="could not bind")
        took_part.note(f"postgresql {version_of(self.bin / 'postgres')}")
        return self

    def _make_data(self) -> None:
        self.folder.mkdir(parents=True)
        if self.user:
            shutil.chown(self.folder, self.user, "nogroup")
            self._make_reachable()
        self._run(
            "initdb",
            "--pgdata=data",
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        )

    @property
    def pid(self) -> int:
        assert self._process, "it is not running"
        return self._process.pid

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Makes an empty database and returns its URL."""
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", name)
        return self.url(name)

    def stop(self, *, number: int = signal.SIGQUIT) -> None:
        """At once: nothing in it is worth a tidy shutdown."""
        if self._process:
            self._process.stop(number=number)
            self._process = None

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC", **library_path(self.bin / "postgres")}

    def _run(self, program: str, *arguments: str) -> None:
        process = Process(
            [self.bin / program, *arguments], self.folder, env=self._environment(), user=self.user
        ).start()
        if process.wait(60):
            raise ServerFailed(process.output)
        process.kill()

    def _make_reachable(self) -> None:
        """A clone below a private home is closed to `nobody`: use a copy of the unpacked server instead."""
        probe = [
            "setpriv",
            "--reuid",
            "nobody",
            "--regid",
            "nogroup",
            "--clear-groups",
            str(self.bin / "postgres"),
            "--version",
        ]
        if subprocess.run(probe, capture_output=True, env=self._environment()).returncode == 0:
            return
        unpacked = unpacked_root(self.bin)
        shutil.copytree(unpacked, self.folder / "server", symlinks=True)
        self.bin = self.folder / "server" / self.bin.relative_to(unpacked)
