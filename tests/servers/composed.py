"""PostgreSQL and Redis as docker-compose.yml has them: its script makes the role, its command starts the server."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from urllib.parse import quote

import psycopg
import yaml

from tests.servers.binaries import ROOT, find, library_path
from tests.servers.postgresql import PostgreSQL
from tests.servers.redis import RedisServer

SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


class ComposedPostgreSQL(PostgreSQL):
    """On an empty volume; the role has to show its password."""

    PASSWORD = "it's the role's"

    def start(self) -> ComposedPostgreSQL:
        super().start()
        rules = self.folder / "data/pg_hba.conf"
        rules.write_text("host all config_server 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute("SELECT pg_reload_conf()")
        psql = find("psql")
        own = {"PATH": f"{psql.parent}:/usr/bin:/bin", "PGHOST": "127.0.0.1", "PGPORT": str(self.port)}
        given = {"POSTGRES_USER": "postgres", "DATABASE_PASSWORD": self.PASSWORD}
        (script,) = (volume for volume in SERVICES["postgresql"]["volumes"] if "/docker-entrypoint-initdb.d/" in volume)
        subprocess.run([ROOT / script.split(":")[0]], env=own | library_path(psql) | given, check=True)
        return self

    def owners_url(self, database: str = "config_server", password: str = PASSWORD) -> str:
        return f"postgresql://config_server:{quote(password)}@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """One more that belongs to the role; returns the URL that the role uses."""
        server = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres")
        self._run("createdb", *server, "--owner", "config_server", name)
        return self.owners_url(name)


class ComposedRedis(RedisServer):
    PASSWORD = "of-the-messengers"

    def url(self, database: int = 0) -> str:
        return f"redis://:{self.PASSWORD}@127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int:
        assert self._process, "it is not running"
        return self._process.pid

    def healthy(self, password: str = PASSWORD) -> bool:
        kind, program, *words = SERVICES["redis"]["healthcheck"]["test"]
        assert (kind, program) == ("CMD", "redis-cli")
        command = [find(program), "-p", str(self.port), *words]
        environment = {**os.environ, **library_path(self.binary), "REDISCLI_AUTH": password}
        return subprocess.run(command, env=environment, capture_output=True).returncode == 0

    def _command(self) -> list[str | Path]:
        place = f"{self.binary} - --bind 127.0.0.1 --port {self.port}"
        words = [word.replace("$$", "$") for word in SERVICES["redis"]["command"]]
        return [word.replace("redis-server -", place) for word in words]

    def _environment(self) -> dict[str, str]:
        return super()._environment() | {"REDISCLI_AUTH": self.PASSWORD}
