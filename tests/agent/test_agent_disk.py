"""An agent that cannot write says what stands against it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.agent.conftest import Site, rules
from tests.agent.plane import bundle_of

pytestmark = pytest.mark.slow

UP, ODD = rules(Up="up == 1"), rules(Odd="up % 2 == 1")


@pytest.mark.parametrize(
    ("instead", "code"),
    [(lambda path: None, "rule_dir_missing"), (lambda path: path.write_text(""), "not_a_directory")],
    ids=["a mount that is gone", "a file"],
)
def test_a_rule_directory_that_is_gone_is_named_as_the_reason(
    site: Site, instead: Callable[[Path], object], code: str
) -> None:
    """Whoever shares a directory with Prometheus is told the same."""
    offered = site.plane.offer(bundle_of(4, UP))
    site.start()
    site.plane.report_on(offered)
    aside = site.rule_dir.rename(site.rule_dir.with_name("aside"))
    instead(site.rule_dir)
    report = site.plane.report_on(site.plane.offer(bundle_of(5, ODD)), "failed")
    assert [error["code"] for error in report["errors"]] == [code]
    assert "mount" in report["errors"][0]["hint"]
    site.rule_dir.unlink(missing_ok=True)
    aside.rename(site.rule_dir)
    site.wait_for("Odd")


def test_what_only_the_agents_own_state_stands_against_is_said_of_that(site: Site) -> None:
    offered = site.plane.offer(bundle_of(4, UP))
    site.start()
    site.plane.report_on(offered)
    (site.rule_dir / ".agent").rename(site.rule_dir / ".aside")
    report = site.plane.report_on(site.plane.offer(bundle_of(5, ODD)), "failed")
    assert [error["code"] for error in report["errors"]] == ["agent_state"]
