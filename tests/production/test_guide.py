"""What docs/production.md says of one installation, tried."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from alerts.api.views.agent import LONGEST_WAIT
from config_server.database import POOL
from tests.docs.documents import ROOT
from tests.production.conftest import Installation
from tests.production.guide import GUIDE, body, type_block
from tests.servers.postgresql import PostgreSQL

pytestmark = pytest.mark.slow


@pytest.fixture
def database_url(postgresql: PostgreSQL, tmp_path: Path) -> str:
    return postgresql.create_database(f"guide_{abs(hash(tmp_path))}")


def test_rule_directories_come_back_from_the_database_alone(fleet: Installation, tmp_path: Path) -> None:
    places = [tmp_path / "rules", tmp_path / "servers/part"]
    before = [files(place) for place in places]
    assert all(before)
    for place in places:
        shutil.rmtree(place)
        place.mkdir()
    type_block("rebuild", fleet)
    assert [files(place) for place in places] == before
    # Prometheus held them all the while; nothing is delivered anew.
    assert "nothing to do" in fleet.manage("sync")


def test_a_server_that_never_held_anything_gets_its_rules_before_it_is_up(fleet: Installation, tmp_path: Path) -> None:
    fleet.act("prometheus_servers.create({'name': 'late', 'url': 'http://127.0.0.1:9'})")
    (tmp_path / "servers/late").mkdir()
    assert "compiled anew: it was never seen to hold any" in fleet.manage("rebuild")
    assert files(tmp_path / "servers/late") == files(tmp_path / "rules")
    assert "could not be rebuilt" not in fleet.manage("rebuild", "late")
    fleet.manage("rebuild", "far", expect=1)


def files(rule_dir: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (rule_dir / "current").iterdir()}


def test_a_sound_installation_leaves_two_warnings_to_the_proxy(installation: Installation) -> None:
    type_block("check: deploy", installation, BASE_URL="https://alerts.example")


def test_the_proxy_waits_longer_than_any_agent() -> None:
    (seconds,) = re.findall(r"proxy_read_timeout (\d+)s;", body("nginx"))
    assert int(seconds) > LONGEST_WAIT
    assert f"{LONGEST_WAIT} s" in GUIDE.read_text("utf-8")


def test_the_proxy_lets_go_of_idle_connections_before_the_web_server_does() -> None:
    (seconds,) = re.findall(r"keepalive_timeout (\d+)s;", body("nginx"))
    # Read, not imported: that module is gunicorn's, and changes what it is imported into.
    (theirs,) = re.findall(r"^keepalive = (\d+)$", (ROOT / "config_server/gunicorn.py").read_text(), re.MULTILINE)
    assert int(seconds) < int(theirs)


def test_the_pool_is_as_large_as_the_guide_says() -> None:
    assert f"{POOL['max_size']} at most (a pool)" in GUIDE.read_text("utf-8")
    assert f"web processes × {POOL['max_size']}" in GUIDE.read_text("utf-8")
