"""What the status of a server tells in the less common cases: deleted, not moved by a revision, tried again or not."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from alerts.models import PolicyState, Release, ServerState
from tests.api.conftest import Caller
from tests.api.test_prometheus_servers import LEAST, PATH, verified


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> None:
    settings.PROMETHEUS_RULE_ROOTS = (str(tmp_path),)
    settings.PROMETHEUS_ALLOWED_HOSTS = ("127.0.0.1",)


def test_a_revision_that_changes_no_rule_moves_the_revision_and_not_since_when(admin: Caller) -> None:
    made = admin.make(PATH, **LEAST)
    release = verified("least", PolicyState.current() - 1)
    long_ago = timezone.now() - timedelta(days=2)
    Release.objects.filter(pk=release.pk).update(verified_at=long_ago)
    ServerState.objects.update_or_create(
        name="least", defaults={"loaded_release": release, "loaded_revision": PolicyState.current()}
    )
    status = admin.get(f"{PATH}/{made['id']}").json["status"]
    assert (status["in_sync"], status["loaded_revision"]) == (True, PolicyState.current())
    assert datetime.fromisoformat(status["loaded_since"]) == long_ago
    document = admin.get("schema", accept="application/json").content.decode()
    assert "Since when it is known to hold these very rules." in document


def test_a_deleted_server_says_so_with_what_it_was_seen_to_hold_and_nothing_of_its_namesake(admin: Caller) -> None:
    made = admin.make(PATH, **LEAST)
    state = {"loaded_release": verified("least", 1), "loaded_revision": 1, "retry_at": timezone.now(), "failures": 1}
    ServerState.objects.update_or_create(name="least", defaults=state)
    admin.delete(f"{PATH}/{made['id']}")

    def told(server_id: int) -> dict[str, Any]:
        (found,) = (row for row in admin.get(f"{PATH}?deleted=include").json["results"] if row["id"] == server_id)
        return dict(found["status"])

    status = told(made["id"])
    assert status["why"] == "It is deleted: nothing is delivered to it any more, and the rules that it has stay there."
    assert (status["in_sync"], status["loaded_revision"], status["retry_at"]) == (False, 1, None)
    again = admin.make(PATH, **LEAST, enabled=False)
    state = {"loaded_release": verified("least", 2), "loaded_revision": 2, "failures": 0}
    ServerState.objects.filter(name="least").update(**state)
    assert (told(made["id"])["loaded_revision"], told(again["id"])["loaded_revision"]) == (0, 2)
    assert ("deleted" in told(made["id"])["why"], "disabled" in told(again["id"])["why"]) == (True, True)


@pytest.mark.parametrize(
    ("row", "ahead", "is_told"),
    [
        ({"delivery": "agent"}, False, False),
        ({"delivery": "agent"}, True, True),
        ({}, False, True),
        ({}, True, True),
        ({"enabled": False}, True, False),
    ],
    ids=["an agent, past", "an agent, ahead", "a directory, overdue", "a directory, ahead", "disabled"],
)
def test_when_it_is_tried_again_is_told_where_somebody_will(
    admin: Caller, row: dict[str, Any], ahead: bool, is_told: bool
) -> None:
    made = admin.make(PATH, **{**LEAST, **row})
    retry_at = timezone.now() + (timedelta(minutes=1) if ahead else -timedelta(minutes=1))
    ServerState.objects.update_or_create(name="least", defaults={"retry_at": retry_at, "failures": 1})
    address = f"{PATH}/{made['id']}"
    for status in (admin.get(address).json["status"], admin.get(f"{address}/status").json):
        assert (status["retry_at"] is not None) is is_told


def test_of_a_server_with_an_agent_it_tells_the_promtool_there_and_no_directory_here(
    admin: Caller, settings: Any
) -> None:
    settings.PROMTOOL_PATH = None
    made = admin.make(PATH, **LEAST, delivery="agent")
    address = f"{PATH}/{made['id']}/status"
    told = admin.get(address).json
    assert (told["rule_dir"], told["promtool_version"], told["warnings"]) == (None, None, [])
    ServerState.objects.update_or_create(name="least", defaults={"promtool_version": "3.1.0"})
    assert admin.get(address).json["promtool_version"] == "3.1.0"


def test_a_server_that_is_not_there_is_called_as_prometheus_is_spelled(admin: Caller) -> None:
    answer = admin.delete(f"{PATH}/999999")
    assert (answer.status, answer.problem["detail"]) == (404, "There is no Prometheus server 999999.")
