"""``DATABASE_URL`` as Django wants it: SQLite made fit for several writers, PostgreSQL with a pool."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import dj_database_url

from config_server.environment import Environment

SQLITE = "django.db.backends.sqlite3"
POSTGRESQL = "django.db.backends.postgresql"
HINT = "Use postgresql://user:password@host:5432/name or sqlite:////absolute/path.sqlite3."

# A write takes its lock at BEGIN: two thirds of the transactions failed without it.
SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY;",
}
# A restart of the database is waited for a little; then 503. Who gave up reconnecting begins anew at the next request:
# a longer timeout would stretch the pauses between tries to minutes.
POOL = {"min_size": 1, "max_size": 10, "timeout": 3, "reconnect_timeout": 4, "max_idle": 120}
# A database that vanished without a word is noticed: seconds to connect, milliseconds until data counts as lost.
POSTGRESQL_OPTIONS = {"connect_timeout": 3, "tcp_user_timeout": 10_000, "keepalives_idle": 30, "keepalives_interval": 5}


def database(environment: Environment, var_dir: Path) -> dict[str, Any]:
    """The default database. A wrong URL gives one that refuses every query, never another one than was meant."""
    url = environment.given("DATABASE_URL")
    if url is None:
        path = var_dir / "config-server.sqlite3"
        _make_private(path)
        return _sqlite({"ENGINE": SQLITE, "NAME": str(path)}, var_dir)
    try:
        parsed: dict[str, Any] = dict(dj_database_url.parse(url))
    except ValueError:
        return _refused(environment, "cannot be read as a database URL.")
    if parsed["ENGINE"] == SQLITE:
        if parsed["NAME"] == ":memory:":
            return _refused(environment, "names a database in memory, which web and worker cannot share.")
        if not Path(parsed["NAME"]).parent.is_dir():
            return _refused(environment, f"lies in {Path(parsed['NAME']).parent}, which is no directory.")
        return _sqlite(parsed, var_dir)
    if parsed["ENGINE"] == POSTGRESQL:
        if not parsed["NAME"]:
            return _refused(environment, "names no database.")
        options = parsed.setdefault("OPTIONS", {})
        for name, value in POSTGRESQL_OPTIONS.items():
            options.setdefault(name, value)
        options.setdefault("pool", dict(POOL))
        # Each connection is tried before it is used, so what a restart broke is replaced unseen.
        parsed["CONN_HEALTH_CHECKS"] = True
        return parsed
    return _refused(environment, "is neither SQLite nor PostgreSQL.")


def _sqlite(parsed: dict[str, Any], var_dir: Path) -> dict[str, Any]:
    parsed["OPTIONS"] = {**SQLITE_OPTIONS, **parsed.get("OPTIONS", {})}
    # Tests race threads against each other; a database in memory would lock differently.
    parsed["TEST"] = {"NAME": str(var_dir / "test.sqlite3")}
    return parsed


def _make_private(path: Path) -> None:
    # Password hashes live in it; WAL and shared memory files inherit the mode.
    # There already, or not writable: then the first query says so.
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _refused(environment: Environment, message: str) -> dict[str, Any]:
    # The URL is not repeated: it may hold a password.
    environment.wrong("alerts.E001", "DATABASE_URL", message, HINT)
    return {"ENGINE": "django.db.backends.dummy"}


def without_pool() -> None:
    """For processes that fork, or that hold more connections than a pool of web threads has: each thread has its own.

    Only before the first query.
    """
    from django.db import connections

    for connection in connections.all():
        connection.settings_dict["OPTIONS"].pop("pool", None)
