"""A PgBouncer before a PostgreSQL server, which gives a connection away after every transaction."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.servers import took_part
from tests.servers.binaries import find, library_path, version_of
from tests.servers.postgresql import PostgreSQL
from tests.servers.processes import Process, free_port, started

CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={behind} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {connections}
"""


class PgBouncer:
    def __init__(self, folder: Path, before: PostgreSQL, *, connections: int) -> None:
        self.folder = folder
        self.before = before
        self.connections = connections
        self.binary = find("pgbouncer")
        self.user = "nobody" if os.geteuid() == 0 else None  # it refuses to run as root
        self.port = 0
        self._process: Process | None = None

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> PgBouncer:
        self.folder.mkdir(parents=True)
        binary = Path(shutil.copy(self.binary, self.folder))  # a clone below a private home is closed to `nobody`

        def make(_: int) -> Process:
            self.port = free_port()
            values = {"behind": self.before.port, "port": self.port, "connections": self.connections}
            (self.folder / "pgbouncer.ini").write_text(CONFIGURATION.format(**values))
            environment = {"PATH": "/usr/bin:/bin", **library_path(self.binary)}
            return Process([binary, "pgbouncer.ini"], self.folder, env=environment, user=self.user)

        self._process = started(make, "process up", taken="cannot listen")
        took_part.note(f"pgbouncer {version_of(self.binary)}")
        return self

    def stop(self) -> None:
        if self._process:
            self._process.stop()
            self._process = None
