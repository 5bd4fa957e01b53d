"""A control plane that is away for an hour of the agents' own time: waits are counted here, not slept."""

from __future__ import annotations

import logging
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from alerts.agent.backoff import CAP
from alerts.agent.control_plane import ControlPlane
from alerts.agent.options import Options
from alerts.agent.polling import Poller
from tests.agent.plane import ControlPlane as Plane
from tests.servers.processes import free_port

HOUR, AGENTS = 3600.0, 20


def agent(url: str, tmp_path: Path, heard: list[Any]) -> Poller:
    (tmp_path / "token").write_text("cs_token-of-the-tests")
    (tmp_path / "token").chmod(0o600)
    options = Options(url, tmp_path / "token", tmp_path, "http://127.0.0.1:9")
    return Poller(ControlPlane(options), 0, "", heard.append)


@pytest.fixture(autouse=True)
def seed() -> None:
    random.seed(7)


def test_agents_ask_about_twice_a_minute_and_return_spread_over_one(tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO)
    url, returns = f"http://127.0.0.1:{free_port()}", list[float]()
    for _ in range(AGENTS):
        poller, asked = agent(url, tmp_path, []), [0.0]
        while asked[-1] < HOUR:
            asked.append(asked[-1] + poller.ask())
        waits = [later - earlier for earlier, later in pairwise(asked)]
        assert max(waits) <= CAP
        assert HOUR / CAP <= len(waits) <= 4 * HOUR / CAP
        assert sum(wait < 1 for wait in waits[10:]) < len(waits) / 10, "hardly one follows at once"
        returns.append(asked[-1] - HOUR)
    assert max(returns) <= CAP
    assert max(returns) - min(returns) > CAP / 2
    seconds = [int(moment) for moment in returns]
    assert max(seconds.count(second) for second in seconds) <= AGENTS / 4, "no stampede"
    said = [record for record in caplog.records if "going on with what there is" in record.message]
    assert len(said) == AGENTS, "each says once that it is away"


def test_the_first_answer_after_an_hour_is_believed_at_once(tmp_path: Path) -> None:
    plane, heard = Plane("cs_token-of-the-tests"), list[Any]()
    plane.stop()
    poller, away = agent(plane.url, tmp_path, heard), 0.0
    while away < HOUR:
        away += poller.ask()
    plane.start()
    try:
        poller.ask()
        assert len(plane.questions()) == 1
        assert poller.ask() <= 4, "and from then on as if nothing had been"
    finally:
        plane.stop()
