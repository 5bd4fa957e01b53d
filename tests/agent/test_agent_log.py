"""What the agent's own log tells of a Prometheus that is away: that it goes, that it is back, no more."""

from __future__ import annotations

import time

import pytest

from tests.agent.conftest import Site, rules
from tests.agent.plane import bundle_of

pytestmark = pytest.mark.slow


def test_a_prometheus_that_goes_and_comes_back_is_said_once_each(site: Site) -> None:
    offered = site.plane.offer(bundle_of(7, rules(Up="up == 1")))
    agent = site.start()
    site.plane.report_on(offered)
    site.server.kill()
    agent.expect(r"WARNING .*release=7.*cannot be reached")
    time.sleep(2)
    assert agent.output.count("WARNING alerts.agent.running") == 1, "not at each look"
    site.server.start()
    agent.expect("INFO .*release=7.*over: ")


def test_once_tells_what_made_it_end_with_1(site: Site) -> None:
    offered = site.plane.offer(bundle_of(7, rules(Up="up == 1")))
    assert site.start("--once").wait(60) == 0
    site.plane.report_on(offered)
    site.server.stop()
    agent = site.start("--once")
    assert agent.wait(60) == 1
    agent.expect("ERROR .*cannot be reached")


def test_before_the_first_set_nothing_is_said_to_be_wrong(site: Site) -> None:
    agent = site.start()
    agent.expect("without a set of its own yet")
    time.sleep(1)
    assert "WARNING alerts.agent.running" not in agent.output
