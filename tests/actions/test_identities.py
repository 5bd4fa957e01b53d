"""Alerts of different keys that Alertmanager could not tell apart are refused, whoever writes last."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from alerts.actions import rules
from alerts.domain.errors import PolicyConflict

FIRST = {"name": "Busy", "key": "first", "query_template": "load1 > 4", "severity": "warning"}
SECOND: dict[str, Any] = FIRST | {"key": "second", "query_template": "load1 > 8"}


@pytest.mark.parametrize(
    "apart",
    [
        pytest.param({"severity": "critical"}, id="another severity"),
        pytest.param({"config": {"labels": {"team": "db"}}}, id="another label"),
        pytest.param({"name": "Busier"}, id="another name"),
        pytest.param({"name": None}, id="named by its key"),
        pytest.param({"key": "busy:one", "name": "busy:one", "kind": "recording", "severity": None}, id="a recording"),
    ],
)
def test_alerts_that_differ_in_name_or_label_live_side_by_side(world: SimpleNamespace, apart: dict[str, Any]) -> None:
    rules.create(FIRST)
    rules.create(SECOND | apart)


def test_the_same_name_at_another_scope_is_told_apart_by_the_scope_label(world: SimpleNamespace) -> None:
    rules.create(FIRST)
    rules.create(SECOND | {"group_id": world.berlin.pk})


def test_an_alert_with_the_name_and_labels_of_another_is_refused_naming_it(world: SimpleNamespace) -> None:
    first = rules.create(FIRST)
    with pytest.raises(PolicyConflict, match=rf"'first' at global \(rule {first.pk}\)"):
        rules.create(SECOND)


def test_a_name_may_be_taken_by_a_key(world: SimpleNamespace) -> None:
    rules.create(FIRST | {"key": "Busy", "name": None})
    with pytest.raises(PolicyConflict, match="could not tell them apart"):
        rules.create(SECOND)


def test_an_edit_that_takes_away_what_told_them_apart_is_refused(world: SimpleNamespace) -> None:
    rules.create(FIRST)
    second = rules.create(SECOND | {"severity": "critical"})
    with pytest.raises(PolicyConflict, match="could not tell them apart"):
        rules.update(second.pk, {"severity": "warning"})
    rules.update(second.pk, {"query_template": "load1 > 9"})


def test_a_restored_rule_must_not_clash_either(world: SimpleNamespace) -> None:
    first = rules.create(FIRST)
    rules.delete([first.pk])
    rules.create(SECOND)
    with pytest.raises(PolicyConflict, match="could not tell them apart"):
        rules.restore([first.pk])
