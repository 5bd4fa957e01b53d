"""The file that a liveness probe looks at: young while the agent lives, whoever else is away; old when it hangs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from alerts.agent import running
from alerts.agent.options import Options
from alerts.agent.running import Agent
from tests.agent.conftest import Site
from tests.servers.processes import eventually


@pytest.mark.slow
def test_it_stays_young_while_all_others_are_away_and_ages_while_the_agent_hangs(site: Site) -> None:
    site.plane.stop()
    site.server.stop()
    agent = site.start()
    agent.expect("going on with what there is")
    alive = site.rule_dir / ".agent/alive"

    def touched() -> bool:
        before = alive.stat().st_mtime_ns
        time.sleep(1.5)
        return alive.stat().st_mtime_ns > before

    eventually(touched, what="a sign of life")
    agent.freeze()
    assert not touched()
    agent.thaw()
    eventually(touched, what="a sign of life")


def test_it_is_given_each_minute_however_seldom_there_is_something_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert running.LONGEST_REST <= 60
    monkeypatch.setattr(running, "LONGEST_REST", 0.05)
    agent = Agent(Options("http://127.0.0.1:9", tmp_path / "token", tmp_path, "http://127.0.0.1:9"))
    began = time.monotonic()
    agent.look_at = agent.report_at = began + 3600
    assert agent._next_message() is None
    assert time.monotonic() - began < 10
