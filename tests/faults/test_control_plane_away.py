"""The control plane is away for long: agents and Prometheus go on; on return each catches up once, not all at once."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.faults.fleet import GUNICORN
from tests.faults.network import Network, by_agent
from tests.servers.processes import Process, eventually, free_port
from tests.servers.prometheus import PrometheusServer
from tests.servers.stand_in import StandIn
from tests.tasks.conftest import Installation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
AWAY_FOR = 7.0
"""Seconds: long enough for three or four questions in vain, each after twice the time of the one before."""
MAKE = """
from alerts.actions import tokens
from alerts.models import PrometheusServer
PrometheusServer.objects.filter(name="default").update(enabled=False)
for name in {names!r}:
    PrometheusServer.objects.create(name=name, url="http://127.0.0.1:9", delivery="agent")
    print(tokens.create_for_agent(name)[0])
"""
EDIT = "from alerts.actions import rules; rules.update({}, {{'query_template': 'up == {}'}})"


@pytest.fixture
def network() -> Iterator[Network]:
    found = Network("")
    yield found
    found.stop()


@pytest.mark.parametrize("agents", [15, pytest.param(40, marks=pytest.mark.full)])
def test_agents_go_on_alone_and_come_back_one_after_the_other(
    make_installation: Callable[..., Installation],
    start_stand_in: Callable[..., StandIn],
    start_prometheus: Callable[..., PrometheusServer],
    run_process: Callable[..., Process],
    network: Network,
    tmp_path: Path,
    own_database: str,
    agents: int,
) -> None:
    installation = make_installation(1, DATABASE_URL=own_database, SECRET_KEY="x" * 60)
    del installation.environment["CELERY_BROKER_URL"]
    port = free_port()
    network.beyond = installation.url = f"http://127.0.0.1:{port}"
    # Half of the threads may wait for news, so that each agent can.
    options = ["--workers", "2", "--threads", str(agents + 5), "--no-control-socket"]
    command = [*GUNICORN, "--bind", f"127.0.0.1:{port}", *options]

    def start_web() -> Process:
        found = run_process(command, env=installation.environment, name="web")
        eventually(lambda: requests.get(f"{installation.url}/-/healthy", timeout=5).ok, timeout=60, what="the web")
        return found

    web = start_web()
    installation.sign_in()
    rule = installation.call("POST", "/alert-rules", name="Down", query_template="up == 0")["id"]
    run_process([sys.executable, "manage.py", "worker"], env=installation.environment, name="worker")

    names = [f"far-{number:02}" for number in range(agents)]
    tokens = installation.shell(MAKE.format(names=names)).split()
    sites = {name: tmp_path / "sites" / name for name in names}
    servers: dict[str, StandIn] = {}
    running: list[Process] = []
    real = None
    for (name, site), token in zip(sites.items(), tokens, strict=True):
        (site / "rules").mkdir(parents=True)
        (site / "token").write_text(token)
        (site / "token").chmod(0o600)
        if real is None:
            real = start_prometheus(rule_dir=site / "rules")
            url = real.url
        else:
            servers[name] = start_stand_in(site / "rules")
            url = servers[name].url
        agent = ["--server", network.url, "--token-file", str(site / "token"), "--rule-dir", str(site / "rules")]
        agent += ["--prometheus", url, "--promtool", installation.environment["PROMTOOL_PATH"]]
        agent += ["--interval", "1", "--heartbeat", "2", "--wait", "20"]
        command_line = [sys.executable, "manage.py", "agent", *agent]
        running.append(run_process(command_line, env=installation.environment, name=name))
    assert real is not None

    def all_hold(query: str) -> bool:
        loaded = [rule["query"] for group in real.rules() for rule in group["rules"]]
        return loaded == [query] and all(server.queries() == {"Down": query} for server in servers.values())

    eventually(lambda: all_hold("up == 0"), timeout=90, every=0.2, what="the first rule everywhere")

    network.away = True
    web.kill()
    gone = time.monotonic()
    for site in sites.values():  # somebody edits the files meanwhile
        file = next((site / "rules" / "current").glob("*.yml"))
        file.chmod(0o644)
        file.write_text("groups: []\n")
    installation.shell(EDIT.format(rule, 7))  # and the policy changes
    real.wait_for_evaluation()
    time.sleep(max(0.0, gone + AWAY_FOR - time.monotonic()))
    healed = [next((site / "rules" / "current").glob("*.yml")).read_text() for site in sites.values()]
    assert all("up == 0" in text for text in healed), "drift is healed without the control plane"
    assert all_hold("up == 0")

    start_web()
    network.away = False
    back = time.monotonic()
    eventually(lambda: all_hold("up == 7"), timeout=90, every=0.2, what="the change everywhere")
    seconds = time.monotonic() - back
    time.sleep(3)
    caught_up = network.since(back, "bundle", [200])
    assert by_agent(caught_up) == Counter({f"Bearer {token}": 1 for token in tokens}), "one catch-up each"
    first = [min(one.at for one in network.since(back, "bundle") if one.who == f"Bearer {token}") for token in tokens]
    busiest = max(sum(at <= other < at + 0.25 for other in first) for at in first)
    print(f"\n{agents} agents: all caught up {seconds:.1f} s after the return,", end="")
    print(f" their first questions over {max(first) - min(first):.1f} s, {busiest} of them within one quarter second")
    assert busiest <= agents / 2, "a stampede"
    reports = by_agent(network.since(back, "report"))
    assert max(reports.values()) <= 3 + (time.monotonic() - back) / 2, "what was not sent does not come in a burst"
    for one in running:  # asked politely each would wait for its last words to be heard
        one.kill()
