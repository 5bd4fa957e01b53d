"""The backup of docs/production.md, taken and brought back as it says there, by roles made as it says there."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import psycopg
import pytest

from tests.production.conftest import Installation
from tests.production.guide import renamed, sql, type_block
from tests.servers.postgresql import PostgreSQL

pytestmark = pytest.mark.slow


def make_database(postgresql: PostgreSQL) -> tuple[str, str]:
    """The URLs of its owner and of whoever takes backups."""
    name = f"backup_{secrets.token_hex(4)}"
    with psycopg.connect(postgresql.url(), autocommit=True) as connection:
        for statement in sql("sql: roles", name):
            connection.execute(statement)
    there = renamed(postgresql.url(), database=name)
    return renamed(there, user=name), renamed(there, user=f"{name}_backup")


@pytest.fixture
def urls(postgresql: PostgreSQL) -> tuple[str, str]:
    return make_database(postgresql)


@pytest.fixture
def database_url(urls: tuple[str, str]) -> str:
    return urls[0]


def test_a_backup_brought_back_wants_the_same_of_every_server(
    fleet: Installation, urls: tuple[str, str], postgresql: PostgreSQL, tmp_path: Path
) -> None:
    before, release = fleet.wanted(), in_force(fleet)
    assert before.keys() == {"default", "part", "far"}
    assert len(set(before.values())) == 2  # one of them holds only a part
    assert release["changed"] is False
    type_block("backup: keep", fleet, BACKUPS=str(tmp_path), BACKUP_URL=urls[1])

    fresh = fleet.with_database(make_database(postgresql)[0])
    type_block("backup: bring back", fresh, BACKUPS=str(tmp_path))
    assert fresh.wanted() == before
    assert fresh.manage("plan") == "no changes\n"
    assert in_force(fresh) == release
    assert "somebody" in fresh.manage("list_api_tokens")


def test_what_was_delivered_after_the_backup_gives_way_to_what_is_in_it(
    installation: Installation, urls: tuple[str, str], postgresql: PostgreSQL, tmp_path: Path
) -> None:
    current = tmp_path / "rules/current"
    on_disk = current.readlink()
    type_block("backup: keep", installation, BACKUPS=str(tmp_path), BACKUP_URL=urls[1])
    for threshold in (1, 2, 3):  # several leases, too
        rule = {"name": f"Later{threshold}", "query_template": "up == 0", "severity": "warning"}
        installation.act(f"rules.create({rule!r})")
        assert "(delivered)" in installation.manage("sync")
    assert current.readlink() != on_disk

    fresh = installation.with_database(make_database(postgresql)[0])
    type_block("backup: bring back", fresh, BACKUPS=str(tmp_path))
    assert "(delivered)" in fresh.manage("sync")
    assert current.readlink() == on_disk


def in_force(installation: Installation) -> dict[str, object]:
    release = json.loads(installation.manage("sync", "--format", "json"))
    return {name: release[name] for name in ("id", "state", "revision", "content_hash", "changed")}
