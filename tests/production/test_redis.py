"""Redis as docs/production.md sets it: what its settings are worth when it is full."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from tests.docs.documents import table
from tests.production.conftest import Installation
from tests.production.guide import GUIDE
from tests.servers.processes import Process, eventually
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.slow


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'policy.sqlite3'}"


def test_a_full_redis_refuses_messages_and_no_edit(
    installation: Installation, redis_server: RedisServer, run_process: Callable[..., Process], tmp_path: Path
) -> None:
    client = redis.Redis(port=redis_server.port)
    for names, values, _ in table(GUIDE.read_text("utf-8"), "## Redis")[:3]:
        for name, value in zip(names.split(", "), values.split(", "), strict=True):
            client.config_set(name.strip("`"), value.strip('`"'))
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    client.config_set("maxmemory", "1000")
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        client.set("a", "b")

    installation = replace(
        installation, environment=installation.environment | {"CELERY_BROKER_URL": redis_server.url()}
    )
    run_process([sys.executable, "manage.py", "worker", "--poll", "5"], env=installation.environment, name="worker")
    installation.act("rules.create({'name': 'Full', 'query_template': 'up == 0', 'severity': 'warning'})")
    current = tmp_path / "rules/current"
    eventually(
        lambda: any("Full" in path.read_text() for path in current.glob("*.yml")),
        timeout=60,
        what="delivery of the edit",
    )
