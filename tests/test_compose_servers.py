"""PostgreSQL and Redis of docker-compose.yml: the control plane gets a role, a password, and no more than it needs."""

from __future__ import annotations

import re
import secrets
import shlex
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import redis

from tests.production.guide import body
from tests.servers.binaries import ROOT, find, library_path
from tests.servers.composed import SERVICES, ComposedPostgreSQL, ComposedRedis
from tests.servers.postgresql import PostgreSQL

TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
PASSWORDS = {"SECRET_KEY", "POSTGRES_PASSWORD", "DATABASE_PASSWORD", "REDIS_PASSWORD"}


def asked(url: str, query: str, **options: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True, **options) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []


# ------------------------------------------------------------------------------------------------ the file


def test_no_password_has_a_default_and_the_header_makes_each() -> None:
    used = re.findall(r"\$\{(\w*(?:PASSWORD|KEY))([^}]*)\}", TEXT)
    assert {name for name, _ in used} == PASSWORDS
    assert {rest[:2] for _, rest in used} == {":?"}
    (made,) = re.findall(r"^#.*for name in ([A-Z_ ]+);", TEXT, re.MULTILINE)
    assert set(made.split()) == PASSWORDS


def test_nobody_but_the_database_knows_the_superusers_password() -> None:
    assert "POSTGRES_USER" not in SERVICES["postgresql"]["environment"], "the image's own: postgres"
    knowing = [name for name, one in SERVICES.items() if "POSTGRES_PASSWORD" in str(one.get("environment"))]
    assert knowing == ["postgresql"]


def test_the_script_makes_what_the_guide_recommends() -> None:
    def statements(text: str) -> set[str]:
        return set(re.findall(r"^(?:CREATE|REVOKE|ALTER|GRANT) .*;", text, re.MULTILINE))

    script = statements((ROOT / "docker/postgresql.sh").read_text("utf-8"))
    guide = {line for line in statements(body("sql: roles")) if "backup" not in line}
    (ours,) = script - guide
    assert guide - script == {"CREATE ROLE config_server LOGIN PASSWORD 'change me';"}
    assert ours == "CREATE ROLE config_server LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';"


# ------------------------------------------------------------------------------------------------ PostgreSQL


def test_the_role_owns_its_database_and_can_do_nothing_else(composed_postgresql: ComposedPostgreSQL) -> None:
    ours = composed_postgresql.owners_url()
    rights = "rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls"
    mine = asked(ours, f"SELECT {rights} FROM pg_roles WHERE rolname = current_user")
    assert mine == [(True, False, False, False, False, False)]
    owned = asked(ours, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()")
    assert owned == [("config_server",)]
    for forbidden in ("CREATE DATABASE more", "CREATE ROLE more", "COPY (SELECT 1) TO PROGRAM 'true'"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            asked(ours, forbidden)


def test_the_role_is_asked_for_its_password_and_others_do_not_get_in(composed_postgresql: ComposedPostgreSQL) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        asked(composed_postgresql.owners_url(password="another"), "SELECT 1")
    asked(composed_postgresql.url(), "CREATE ROLE stranger LOGIN")
    stranger = composed_postgresql.url("config_server").replace("postgres@", "stranger@")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        asked(stranger, "SELECT 1")


def test_what_takes_too_long_ends_but_for_migrations(composed_postgresql: ComposedPostgreSQL) -> None:
    query = """SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),
               current_setting('idle_in_transaction_session_timeout')"""
    assert asked(composed_postgresql.owners_url(), query) == [("1min", "30s", "1min")]
    options = SERVICES["init"]["environment"]["PGOPTIONS"]
    assert asked(composed_postgresql.owners_url(), query, options=options) == [("0", "30s", "1min")]


@pytest.mark.slow
def test_a_volume_with_one_role_is_brought_over_as_the_guide_says(
    composed_postgresql: ComposedPostgreSQL,
    postgresql: PostgreSQL,
    product_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    def manage(*words: str, url: str) -> str:
        environment = product_environment | {"DATABASE_URL": url, "SECRET_KEY": "k" * 50}
        command = [sys.executable, "manage.py", *words]
        return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout

    def typed(block: str, program: str, server: PostgreSQL) -> list[str | Path]:
        """The guide's words, at our server instead of in its container."""
        line = next(line for line in body(block).splitlines() if f" {program} --username" in line)
        words = shlex.split(re.split(r"[<>]", line.partition(f" {program} ")[2])[0])
        return [find(program), "--host", "127.0.0.1", "--port", str(server.port), *words]

    name = f"old_{secrets.token_hex(4)}"
    manage("migrate", "-v0", url=postgresql.create_database(name))
    manage("create_api_token", "--user", "somebody", "--role", "admin", url=postgresql.url(name))
    dump = tmp_path / "config-server.dump"
    *out, _ = typed("compose: out of the old volume", "pg_dump", postgresql)
    out = [*("postgres" if word == "config_server" else word for word in out), name]  # as they are called here
    environment = library_path(find("pg_dump")) | {"PATH": "/usr/bin:/bin"}
    with dump.open("wb") as file:
        subprocess.run(out, stdout=file, env=environment, check=True)

    into = typed("compose: into the new volume", "pg_restore", composed_postgresql)
    with dump.open("rb") as file:
        subprocess.run(into, stdin=file, env=environment, check=True)
    ours = composed_postgresql.owners_url()
    assert asked(ours, "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'") == [("config_server",)]
    manage("migrate", "--check", url=ours)
    assert "somebody" in manage("list_api_tokens", url=ours)


# ------------------------------------------------------------------------------------------------ Redis


def test_redis_wants_its_password(composed_redis: ComposedRedis) -> None:
    assert composed_redis.healthy()
    assert not composed_redis.healthy(password="another")
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=composed_redis.port).ping()
    given = SERVICES["web"]["environment"]["CELERY_BROKER_URL"]
    required = SERVICES["redis"]["environment"]["REDISCLI_AUTH"]
    assert given == f"redis://:{required}@redis:6379/0"


def test_redis_is_set_as_the_guide_says_and_its_password_is_in_no_list_of_processes(
    composed_redis: ComposedRedis,
) -> None:
    client = redis.Redis.from_url(composed_redis.url(), decode_responses=True)
    assert client.config_get("save", "appendonly", "maxmemory", "maxmemory-policy") == {
        "save": "",
        "appendonly": "no",
        "maxmemory": str(64 * 2**20),
        "maxmemory-policy": "noeviction",
    }
    shown = Path(f"/proc/{composed_redis.pid}/cmdline").read_bytes()
    assert b"redis-server" in shown, "the shell is gone: signals reach the server"
    assert composed_redis.PASSWORD.encode() not in shown
