"""`kill -9` of anything, at any moment, under a stream of edits: every server ends with exactly the last revision."""

from __future__ import annotations

import random
import time

import pytest

from tests.faults.fleet import KILLED, Fleet, Stream

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    "kills", [pytest.param(12, id="a dozen"), pytest.param(100, id="a hundred", marks=pytest.mark.full)]
)
def test_whatever_is_killed_every_server_ends_with_exactly_the_last_revision(fleet: Fleet, kills: int) -> None:
    chance = random.Random(kills)
    victims = [*KILLED] * (kills // len(KILLED)) + chance.sample(KILLED, kills % len(KILLED))
    chance.shuffle(victims)
    with Stream(fleet) as stream:
        stream.wait_for("200", 5)
        for victim in victims:
            time.sleep(chance.uniform(0.2, 2.0))
            fleet.kill(victim, chance)
        stream.wait_for("200", 5)
    seconds = fleet.await_sync()
    print(f"\n{kills} kills: in sync {seconds:.1f} s after the last edit; {dict(stream.statuses)}")
    stream.require_nothing_lost()
    fleet.require_exactly_the_last_revision()
