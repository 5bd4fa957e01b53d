"""The servers the other tests stand on really start, answer, and go away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psycopg
import pytest
import redis
import requests

from tests.servers.binaries import ROOT
from tests.servers.processes import Process, ServerFailed, eventually

RULES = """
groups:
- name: g
  interval: 1s
  rules:
  - {alert: Hot, expr: temperature > 30, labels: {severity: warning}}
"""


def test_prometheus_scrapes_evaluates_and_tells_alertmanager(
    prometheus_version, start_prometheus, start_alertmanager, exporter, webhook, tmp_path
):
    current = tmp_path / "rules" / "current"
    current.mkdir(parents=True)
    (current / "g.yml").write_text(RULES)
    exporter.set("temperature", 40, target="a")
    exporter.set("temperature", 10, target="b")
    alertmanager = start_alertmanager(webhook=f"{webhook.url}/")
    prometheus = start_prometheus(
        version=prometheus_version,
        rule_dir=current.parent,
        scrape={"exporter": exporter.address},
        alertmanagers=[alertmanager.address],
    )
    assert prometheus.binaries.major_minor == prometheus_version

    alerts = eventually(prometheus.alerts)
    assert [(alert["labels"]["target"], alert["state"]) for alert in alerts] == [("a", "firing")]
    assert [alert["labels"]["alertname"] for alert in eventually(alertmanager.alerts)] == ["Hot"]

    exporter.set("temperature", 10, target="a")
    eventually(lambda: not prometheus.alerts())
    assert eventually(lambda: webhook.changes(target="a")[1:], timeout=30) == ["resolved"]
    assert prometheus.reload().ok


def test_prometheus_starts_again_on_the_same_port(start_prometheus):
    prometheus = start_prometheus()
    address = prometheus.address
    assert prometheus.restart().address == address


@pytest.mark.slow
def test_postgresql_answers(postgresql):
    with psycopg.connect(postgresql.create_database("answers")) as connection:
        assert connection.execute("show fsync").fetchone() == ("off",)


def test_redis_answers(redis_server):
    with redis.Redis.from_url(redis_server.url()) as client:
        assert client.ping()


def test_a_server_that_cannot_start_says_why(tmp_path):
    with (
        pytest.raises(ServerFailed, match="cannot do that"),
        Process([sys.executable, "-c", "raise SystemExit('cannot do that')"], tmp_path) as process,
    ):
        process.expect("ready")


def test_servers_die_with_a_killed_test_run(tmp_path):
    program = textwrap.dedent(
        """
        import pathlib, sys, time
        from tests.servers.processes import Process
        print(Process(["sleep", "600"], pathlib.Path(sys.argv[1])).start().pid, flush=True)
        time.sleep(600)
        """
    )
    run = subprocess.Popen([sys.executable, "-c", program, tmp_path], cwd=ROOT, stdout=subprocess.PIPE)
    server = int(run.stdout.readline())
    eventually(lambda: Path(f"/proc/{server}/comm").read_text() == "sleep\n")
    run.send_signal(signal.SIGKILL)
    run.wait()
    run.stdout.close()

    def gone() -> bool:
        try:
            return Path(f"/proc/{server}/stat").read_text().split()[2] == "Z"
        except FileNotFoundError:
            return True

    eventually(gone, what="the orphan's death")


def test_the_exporter_escapes_label_values(exporter):
    exporter.set("m", 1.5, path='a\\b"c\nd', utf8="ü")
    assert requests.get(exporter.url, timeout=5).content.decode() == 'm{path="a\\\\b\\"c\\nd",utf8="ü"} 1.5\n'


def test_tests_never_write_into_the_clone():
    for variable in ("VAR_DIR", "PROMETHEUS_RULE_DIR"):
        assert ROOT not in Path(os.environ[variable]).parents
