"""`manage.py check --database default`: a database that cannot serve is told of, without its secrets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.binaries import ROOT
from tests.servers.postgresql import PostgreSQL
from tests.servers.processes import free_port


@pytest.fixture
def environment(product_environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    (tmp_path / "rules").mkdir(exist_ok=True)
    return product_environment | {"SECRET_KEY": "k" * 50, "PROMETHEUS_RULE_DIR": str(tmp_path / "rules")}


def manage(environment: dict[str, str], *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def check(environment: dict[str, str]) -> tuple[int, str]:
    return manage(environment, "check", "--database", "default")


@pytest.mark.parametrize("kind", ["nobody listens", "unknown option"])
def test_a_database_that_cannot_be_asked_is_an_error(environment: dict[str, str], kind: str) -> None:
    url = {
        "nobody listens": f"postgresql://me:hidden@127.0.0.1:{free_port()}/d",
        "unknown option": "postgresql://me:hidden@127.0.0.1:1/d?bogus=1",
    }[kind]
    for code, said in (
        check(environment | {"DATABASE_URL": url}),
        manage(environment | {"DATABASE_URL": url}, "migrate"),
    ):
        assert code == 1, said
        assert "(alerts.E026)" in said
        assert "Traceback" not in said
        assert "hidden" not in said
        assert url not in said
        assert "bogus" in said or "unknown" not in kind


def test_one_without_tables_is_a_warning_that_migrate_takes_away(environment: dict[str, str], tmp_path: Path) -> None:
    environment["DATABASE_URL"] = f"sqlite:///{tmp_path}/policy.sqlite3"
    code, said = check(environment)
    assert (code, "(alerts.W008)" in said, "E0" in said) == (0, True, False), said
    assert manage(environment, "migrate", "--verbosity", "0")[0] == 0
    code, said = check(environment)
    assert (code, "(alerts." in said.replace("(alerts.W001)", "")) == (0, False), said


def test_on_postgresql_the_server_s_reason_is_told(environment: dict[str, str], postgresql: PostgreSQL) -> None:
    url = postgresql.create_database("checked")
    code, said = check(environment | {"DATABASE_URL": url.replace("checked", "missing")})
    assert (code, "(alerts.E026)" in said, '"missing" does not exist' in said) == (1, True, True), said
    code, said = check(environment | {"DATABASE_URL": url})
    assert (code, "(alerts.W008)" in said) == (0, True), said
    assert manage(environment | {"DATABASE_URL": url}, "migrate", "--verbosity", "0")[0] == 0
    code, said = check(environment | {"DATABASE_URL": url})
    assert (code, "(alerts." in said.replace("(alerts.W001)", "")) == (0, False), said
