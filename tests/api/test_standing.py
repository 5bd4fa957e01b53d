"""Whether a server is in sync: one rule, told alike wherever somebody asks."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from alerts.actions import bundles, fleet_status, targets
from alerts.actions.delivery import problem
from alerts.actions.figures import figures
from alerts.actions.reconcile import UNREACHABLE
from alerts.models import PolicyState, PrometheusServer, Release, ServerState, Target
from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db
SILENT = bundles.AGENT_SILENT_AFTER
UNWATCHED = fleet_status.UNWATCHED_AFTER

CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str | None]] = {
    "all is well": ({}, {}, None),
    "a change": ({}, {"behind": 1}, "A change is on its way."),
    "nothing": ({}, {"loaded_release": None}, "Nothing was delivered to it yet."),
    "a pin": ({}, {"pinned": True}, "It is pinned to release"),
    "a failure": ({}, {"last_error": {"code": "x", "message": "no space left"}}, "no space left"),
    "not read back": ({}, {"release": "active"}, "has not been read back"),
    "an agent": ({"delivery": "agent"}, {"seen": SILENT - timedelta(seconds=20)}, None),
    "looked at of late": ({}, {"checked": UNWATCHED - timedelta(seconds=20)}, None),
    "nobody looks": ({}, {"checked": UNWATCHED + timedelta(seconds=1)}, "Nobody has looked at it for a while"),
    "out of reach": (
        {},
        {"unreachable": "connection refused"},
        "what it holds now: connection refused",
    ),
    "out of reach of us, with an agent": (
        {"delivery": "agent"},
        {"seen": timedelta(seconds=1), "checked": timedelta(days=2), "unreachable": "connection refused"},
        None,
    ),
    "a silent agent": ({"delivery": "agent"}, {"seen": SILENT + timedelta(seconds=1)}, "not been seen for a while"),
    "an agent gone for days": ({"delivery": "agent"}, {"seen": timedelta(days=2)}, "what it holds now is not known"),
    "no agent ever": ({"delivery": "agent"}, {}, "Its agent was never seen."),
    "an agent of former days": ({}, {"seen": timedelta(days=2)}, None),
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request: pytest.FixtureRequest, db: None) -> tuple[str | None, bool]:
    """Why it is not in sync, and whether its agent is silent."""
    row, values, why = request.param
    targets.create({"hostname": "web-1"})
    PrometheusServer.objects.update(**row)
    revision = PolicyState.current()
    values = dict(values)
    state = values.pop("release", "verified")
    warnings = [problem(UNREACHABLE, words)] if (words := values.pop("unreachable", "")) else []
    release = Release.objects.create(revision=revision, state=state, verified_at=timezone.now(), warnings=warnings)
    if checked := values.pop("checked", None):
        values["checked_at"] = timezone.now() - checked
    values = {"loaded_release": release, "loaded_revision": revision - values.pop("behind", 0), **values}
    values["pinned_release"] = release if values.pop("pinned", False) else None
    if seen := values.pop("seen", None):
        values["agent_seen_at"] = timezone.now() - seen
    ServerState.objects.update_or_create(name="default", defaults=values)
    return why, bool(row) and seen is not None and seen > SILENT


def test_everybody_who_asks_is_told_the_same(admin: Caller, case: tuple[str | None, bool], capsys) -> None:
    why, silent = case
    listed = admin.get("prometheus-servers").json["results"][0]["status"]
    target = Target.objects.get().pk
    answers = [admin.get(f"targets/{target}/alert-rules/{what}").json for what in ("effective", "trace")]
    answers += [admin.get(f"targets/{target}/alert-rules/effective?server=default").json]
    for answer in answers:
        assert answer["in_sync"] is (why is None)
    for told in (listed, *(answer["servers"][0] for answer in answers)):
        assert told["in_sync"] is (why is None)
        assert told["why"] is None if why is None else why in told["why"]
        assert (told["silent_since"] is not None) is silent
    (gauge,) = (figure.samples for figure in figures() if figure.name == "config_server_in_sync")
    assert gauge == {("default",): float(why is None)}
    call_command("effective", "web-1")
    printed = capsys.readouterr().out
    assert ("web-1: revision 1, in sync" in printed) is (why is None)
    assert why is None or why in printed
    call_command("effective", "web-1", "--format=json")
    assert json.loads(capsys.readouterr().out)["servers"][0]["in_sync"] is (why is None)


def test_who_looks_at_the_disk_may_only_say_no_more_often(admin: Caller, case: tuple[str | None, bool]) -> None:
    """No directory is there, so what an agent does not look after differs."""
    why, silent = case
    status = admin.get("prometheus/status").json
    has_agent = PrometheusServer.objects.get().delivery == "agent"
    assert status["in_sync"] is (why is None and has_agent)
    assert (status["silent_since"] is not None) is silent
    if why is not None:
        assert why in status["why"]
    elif not has_agent:
        assert "not what was delivered" in status["why"]
    if has_agent:
        assert status["reachable"] is (why is None)
