"""A database from a backup, over a rule directory that went on after it was taken."""

from __future__ import annotations

from pathlib import Path

from alerts.actions import rules
from alerts.actions.deploy import deploy
from alerts.adapters import fence
from alerts.models import Release
from tests.delivery.conftest import delivered, state
from tests.servers.prometheus import PrometheusServer


def test_a_writer_whose_database_knows_lower_numbers_than_the_directory_is_not_turned_away(
    deployed: Release, server: PrometheusServer, rule_dir: Path
) -> None:
    assert fence.recorded(rule_dir) == state().lease_epoch
    fence.pass_through(rule_dir, 5000)  # by those who came after the backup
    rules.create({"name": "Slow", "query_template": "up == 2", "severity": "warning"})
    delivered(deploy("test"))
    assert fence.recorded(rule_dir) == state().lease_epoch > 5000
