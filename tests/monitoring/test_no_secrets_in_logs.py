"""Whatever is sent, configured or goes wrong: no process writes a secret, however talkative, in either format."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.monitoring.conftest import WebServer, manage
from tests.servers.postgresql import PostgreSQL
from tests.servers.processes import Process, eventually
from tests.servers.redis import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
DATABASE_PASSWORD = "Dat4base-Pass/word"
BROKER_PASSWORD = "Br0ker-Password"
PROMETHEUS_SECRET = "Pr0metheus-Secret"
SIGNING_KEY = "s1gning-key-" * 5
QUERY_SECRET = "Qu3ry-Secret"
SENT_TOKEN = "cs_" + "S3nt-token" * 4


@pytest.fixture
def database(server_folder: Path) -> Iterator[PostgreSQL]:
    server = PostgreSQL(server_folder / "postgresql").start()
    yield server
    server.stop()


@pytest.fixture(params=["line", "json"])
def variables(request: pytest.FixtureRequest, database: PostgreSQL, redis_server: RedisServer) -> dict[str, str]:
    return {
        "LOG_FORMAT": request.param,
        "LOG_LEVEL": "DEBUG",
        "SECRET_KEY": SIGNING_KEY,
        "DATABASE_URL": database.url().replace("postgres@", f"postgres:{DATABASE_PASSWORD.replace('/', '%2F')}@"),
        "CELERY_BROKER_URL": redis_server.url().replace("redis://", f"redis://:{BROKER_PASSWORD}@"),
        "PROM_AUTH_EU": PROMETHEUS_SECRET,
    }


def ask_in_every_way(web: WebServer) -> None:
    basic = base64.b64encode(f"admin:{QUERY_SECRET}".encode()).decode()
    headers = [
        {"Authorization": f"Bearer {web.token}"},
        {"Authorization": f"Bearer {SENT_TOKEN}"},
        {"Authorization": f"Basic {basic}"},
        {"Authorization": SENT_TOKEN},
        {"Cookie": f"sessionid={SENT_TOKEN}; csrftoken={SENT_TOKEN}"},
        {"X-Request-ID": f"Bearer {SENT_TOKEN}"},
    ]
    for sent in headers:
        for path in ("/api/v1/groups", f"/api/v1/groups?token={QUERY_SECRET}", f"/no/such?password={QUERY_SECRET}"):
            requests.get(web.url + path, headers=sent, timeout=30)
    login = {"username": "admin", "password": QUERY_SECRET}
    requests.post(f"{web.url}/login", data=login, timeout=30)
    web.call("POST", "/api/v1/groups", {"name": QUERY_SECRET, "token": QUERY_SECRET})
    server = {"name": "eu", "url": "http://127.0.0.1:9", "auth": {"bearer": "PROM_AUTH_EU"}}
    web.call("POST", "/api/v1/prometheus-servers", server)
    web.call("POST", "/api/v1/prometheus-servers", {**server, "name": "us", "auth": {"bearer": QUERY_SECRET}})
    web.call("POST", "/api/v1/prometheus-servers", {**server, "url": f"http://u:{QUERY_SECRET}@h:1"})
    web.call("GET", "/api/v1/prometheus/status")
    web.call("POST", "/api/v1/prometheus/rules/regenerate?wait=true&timeout=5")


def test_no_process_writes_a_secret(
    variables: dict[str, str],
    start_web: Callable[..., WebServer],
    run_process: Callable[..., Process],
    database: PostgreSQL,
    tmp_path: Path,
) -> None:
    web = start_web(**variables)
    celery = [sys.executable, "-m", "celery", "-A", "config_server"]
    started = {
        "worker": [sys.executable, "manage.py", "worker"],
        "celery": [*celery, "worker", "--concurrency", "1", "--loglevel", "debug"],
        "beat": [*celery, "beat", "--loglevel", "debug"],
    }
    processes = [run_process(command, env=web.environment, name=name) for name, command in started.items()]
    ask_in_every_way(web)
    eventually(lambda: all(process.output for process in processes), timeout=60, what="words of every process")
    database.stop()
    assert web.call("GET", "/api/v1/groups").status_code == 503
    database.start()
    eventually(lambda: web.call("GET", "/api/v1/groups").ok, timeout=30)
    manage(web.environment, "check")
    for process in (*processes, web.process):
        process.stop()

    secrets = [DATABASE_PASSWORD, DATABASE_PASSWORD.replace("/", "%2F"), BROKER_PASSWORD, PROMETHEUS_SECRET]
    secrets += [SIGNING_KEY, QUERY_SECRET, SENT_TOKEN, web.token, "S3nt-token"]
    secrets += [base64.b64encode(f"admin:{QUERY_SECRET}".encode()).decode()]
    written = {path.name: path.read_text(errors="replace") for path in tmp_path.glob("*.log")}
    assert len(written) == 4
    for name, text in written.items():
        assert len(text.splitlines()) > 1, name
        for secret in secrets:
            assert secret not in text, (name, [line for line in text.splitlines() if secret in line][:3])
    if variables["LOG_FORMAT"] == "json":
        for name in ("web.log", "worker.log"):
            lines = [json.loads(line) for line in written[name].splitlines()]
            assert {"time", "level", "logger", "message"} <= set.intersection(*(set(line) for line in lines))
        assert any(json.loads(line).get("route") == "/api/v1/groups" for line in written["web.log"].splitlines())
    assert os.environ.get("PROM_AUTH_EU") is None
