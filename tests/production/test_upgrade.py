"""A new version on the database of the one before: nothing is lost, and both can be at work while it happens."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.production.conftest import HERE, Installation
from tests.production.previous_release import LAST_MIGRATION

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_the_database_of_the_previous_release_becomes_this_ones(installation: Installation, tmp_path: Path) -> None:
    before, on_disk = installation.wanted(), (tmp_path / "rules/current").readlink()
    # The way back, too: what is left is a database as the previous release leaves it, with its rows.
    installation.manage("migrate", "alerts", LAST_MIGRATION, "--verbosity", "0")
    installation.manage("migrate", "--check", expect=1)

    installation.manage("migrate", "--no-input", "--verbosity", "0")
    installation.manage("check", "--database", "default")
    assert "default" in before
    assert installation.wanted() == before
    assert installation.manage("plan") == "no changes\n"
    assert "nothing to do" in installation.manage("sync")
    assert (tmp_path / "rules/current").readlink() == on_disk
    assert "somebody" in installation.manage("list_api_tokens")


def test_the_way_back_takes_the_tokens_of_agents_along(fleet: Installation) -> None:
    fleet.manage("create_agent_token", "far")
    assert "agent" in fleet.manage("list_api_tokens")
    fleet.manage("migrate", "alerts", LAST_MIGRATION, "--verbosity", "0")

    fleet.manage("migrate", "--no-input", "--verbosity", "0")
    left = fleet.manage("list_api_tokens")
    assert "somebody" in left
    assert "agent" not in left


def test_the_previous_release_goes_on_writing_after_the_tables_have_changed(installation: Installation) -> None:
    """So web and workers can be replaced one after the other once the tables are migrated."""
    installation.run(sys.executable, HERE / "previous_release.py")
    assert "WrittenByThePreviousRelease" in installation.manage("plan", expect=2)
    assert "(delivered)" in installation.manage("sync")
