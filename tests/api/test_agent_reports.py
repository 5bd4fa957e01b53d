"""What the agent beside a server says became of a bundle, and what is offered next."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from django.utils import timezone

from alerts.actions import attempts, bundles, due, releases
from alerts.actions.deploy import deploy
from alerts.actions.lease import Lease, held
from alerts.actions.outcomes import record_failure
from alerts.adapters.promtool import PromtoolError
from alerts.models import PrometheusServer, Release, ServerState
from tests.api.conftest import Caller
from tests.api.offers import FILES, nobody, offered, release_of, state, told, wanted
from tests.api.test_access import everything

State = Release.State


@pytest.fixture
def lease(eu: PrometheusServer) -> Iterator[Lease]:
    with held("eu") as taken:
        assert taken is not None
        yield taken


def test_verified_is_what_the_server_holds_from_now_on(agent: Caller) -> None:
    former = Release.objects.create(server="eu", revision=4, state=State.VERIFIED)
    ServerState.objects.update_or_create(
        name="eu", defaults={"loaded_release": former, "loaded_revision": 4, "failures": 3, "last_error": {"code": "x"}}
    )
    release = offered()
    versions = {
        "prometheus_version": "3.5.3",
        "promtool_version": "3.5.2",
        "flavour": "prometheus",
        "agent_version": "0.1",
    }
    warning = {"code": "evaluation_failed", "message": "many-to-many"}
    report = told(release, timings={"reload": 0.5}, warnings=[warning], loaded_hash=release.content_hash, **versions)
    assert agent.post("agent/report", report).json == {"applied": True}
    now = state()
    assert (now.loaded_release, now.loaded_revision, now.failures, now.last_error) == (release, 5, 0, None)
    assert {name: getattr(now, name) for name in versions} == versions
    assert now.agent_seen_at is not None
    release.refresh_from_db()
    former.refresh_from_db()
    assert (release.state, former.state, release.timings) == (State.VERIFIED, State.SUPERSEDED, {"reload": 0.5})
    assert release.verified_at is not None
    assert release.warnings == [{**warning, "by_agent": True}]
    since = release.verified_at
    assert agent.post("agent/report", {**report, "warnings": []}).json == {"applied": True}
    release.refresh_from_db()
    assert (release.warnings, release.verified_at) == ([], since), "said again: since then, still"


def test_a_late_report_moves_nothing_backwards(agent: Caller) -> None:
    old = offered()
    new = offered({"global.yml": b"groups: [] # new\n"}, revision=6)
    old.refresh_from_db()
    assert (old.state, old.finished_at is not None) == (State.SUPERSEDED, True)
    agent.post("agent/report", told(new))
    for outcome in ("verified", "active", "rejected", "rolled_back", "failed"):
        assert agent.post("agent/report", told(old, outcome)).json == {"applied": False}
    assert agent.post("agent/report", {**told(new), "content_hash": old.content_hash}).json == {"applied": False}
    for empty in ({"release": None}, {"release": old.pk}, {"release": 10**15}):
        report = {**told(new, "failed", errors=[]), "content_hash": "", **empty}
        assert agent.post("agent/report", report).json == {"applied": False}
    now = state()
    assert (now.loaded_release, now.loaded_revision, now.failures) == (new, 6, 0)
    assert now.agent_seen_at is not None
    assert Release.objects.get(pk=old.pk).state == State.SUPERSEDED


@pytest.mark.parametrize("outcome", ["rejected", "rolled_back", "failed"])
def test_what_did_not_work_is_told_and_the_old_stays_loaded(agent: Caller, outcome: str) -> None:
    former = offered()
    agent.post("agent/report", told(former))
    release = offered({"global.yml": b"groups: [] # new\n"}, revision=6)
    error = {"code": "reload_refused", "message": "no", "hint": "look"}
    for failures in (1, 2):
        answer = agent.post("agent/report", told(release, outcome, errors=[error], loaded_hash=former.content_hash))
        assert answer.json == {"applied": True}
        now = state()
        assert (now.loaded_release, now.loaded_revision, now.failures) == (former, 5, failures)
        assert now.last_error is not None
        assert (now.last_error["message"], now.last_error["release"]) == ("no", release.pk)
        assert now.retry_at is None, "the agent tries again by itself"
    release.refresh_from_db()
    former.refresh_from_db()
    assert (release.state, release.errors, former.state) == (outcome, [error], State.VERIFIED)
    assert agent.post("agent/report", told(release)).json == {"applied": True}
    assert (state().loaded_release, state().failures) == (release, 0)


def test_a_bundle_that_came_broken_is_told(agent: Caller) -> None:
    release = offered()
    error = {"code": "bundle_broken", "message": "cut off"}
    report = {**told(release, "failed", errors=[error]), "content_hash": ""}
    assert agent.post("agent/report", report).json == {"applied": True}
    assert (state().last_error or {})["code"] == "bundle_broken"


def test_trouble_with_what_is_in_force_does_not_take_it_out_of_force(agent: Caller) -> None:
    release = offered()
    agent.post("agent/report", told(release))
    since = Release.objects.get(pk=release.pk).verified_at
    error = {"code": "prometheus_unavailable", "message": "down"}
    drift = {"code": "drift_on_disk", "message": "changed"}
    agent.post("agent/report", told(release, "failed", errors=[error], drift=[drift]))
    now, release = state(), Release.objects.get(pk=release.pk)
    assert (now.loaded_release, release.state, release.errors, now.failures) == (release, State.VERIFIED, [], 1)
    assert (now.last_error or {})["message"] == "down"
    agent.post("agent/report", told(release, drift=[drift]))
    assert (state().last_error, state().failures) == (None, 0)
    assert Release.objects.get(pk=release.pk).verified_at == since


def test_what_the_agents_promtool_refuses_is_left_out_the_next_time(agent: Caller, lease: Lease) -> None:
    release = offered()
    refusal = {"file": "global.yml", "group": "global", "rule_index": 2, "rule_name": "X", "message": "bad", "line": 7}
    other = {**refusal, "rule_index": 3}
    agent.post("agent/report", told(release, "rejected", refusals=[refusal, other], promtool_version="3.5.3"))
    now = releases.state_of("eu")
    assert now.retry_at is not None
    assert now.retry_at <= timezone.now(), "a worker shall come by at once"
    found = bundles.refusals(now, wanted(FILES))
    assert [(one.file, one.group, one.rule_index, one.rule_name, one.message, one.line) for one in found] == [
        ("global.yml", "global", 2, "X", "bad", 7),
        ("global.yml", "global", 3, "X", "bad", 7),
    ]
    assert bundles.standing(now, wanted(FILES), lease) is None, "not offered again as it is"
    assert bundles.refusals(now, wanted({"global.yml": b"groups: [] # other\n"})) == []
    ServerState.objects.update(promtool_version="3.6.0")
    assert bundles.refusals(releases.state_of("eu"), wanted(FILES)) == [], "another promtool may think otherwise"


def test_refusals_that_name_no_rule_leave_nothing_out(agent: Caller, lease: Lease) -> None:
    release = offered()
    agent.post("agent/report", told(release, "rejected", refusals=[{"message": "bad"}]))
    now = releases.state_of("eu")
    assert bundles.refusals(now, wanted(FILES)) == []
    assert bundles.standing(now, wanted(FILES), lease) == release


HOSTILE: dict[str, Any] = {
    "release": ["x"],
    "at": {},
    "promtool": 5,
    "hint": {"a": 1},
    "group": {},
    "rule_index": "1",
    "by_agent": 0,
    "rule": ["deep"],
}


def test_a_release_does_not_grow_with_what_is_reported_on_it(agent: Caller) -> None:
    release = offered()
    for turn in range(3):
        timings = {"reload": 0.5, **{f"{turn}-{number}": 1.0 for number in range(40)}}
        agent.post("agent/report", told(release, "failed", timings=timings))
    release.refresh_from_db()
    assert release.timings == {"reload": 0.5}


def test_what_else_an_agent_says_about_a_problem_harms_nobody(agent: Caller, admin: Caller, settings: Any) -> None:
    settings.PROMTOOL_PATH = None
    release = offered()
    error = {"code": "promtool_refused", "message": "<script>alert(1)</script>", **HOSTILE}
    for outcome in ("rejected", "failed", "verified", "failed"):
        report = told(release, outcome, errors=[error], warnings=[error], drift=[error])
        assert agent.post("agent/report", report).json == {"applied": True}
        last = state().last_error
        assert last is None or last["release"] == release.pk
        ServerState.objects.update(retry_at=timezone.now())
        assert "eu" in [need.server for need in due.survey().due]
        bundles.refusals(releases.state_of("eu"), wanted(FILES))
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    for page in (
        "/servers",
        "/servers/eu",
        f"/releases/{release.pk}",
        "/releases",
        f"/admin/alerts/release/{release.pk}/change/",
    ):
        answer = client.get(page)
        assert answer.status_code == 200, page
        assert b"<script>alert" not in answer.content


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        *(({"release": value}, "/release") for value in ("1", 0, -1, True, 2**63, 1.5)),
        *(({"content_hash": value}, "/content_hash") for value in (None, 1, "x", "A" * 64, "0" * 63, "0" * 65)),
        ({"content_hash": "0" * 64 + "\n"}, "/content_hash"),
        *(({"state": value}, "/state") for value in (None, 1, "", "good", "staged", "Verified")),
        *(({"errors": value}, "/errors") for value in (None, 1, {}, "x", [{"code": "a", "message": "b"}] * 201)),
        *(
            ({"errors": [value]}, "/errors/0")
            for value in (None, 1, "x", {}, {"code": "x"}, {"code": 1, "message": "y"})
        ),
        ({"errors": [{"code": "x", "message": "y" * 17_000}]}, "/errors/0"),
        ({"errors": [{"code": "", "message": "y"}]}, "/errors/0"),
        ({"warnings": [{"message": "y"}]}, "/warnings/0"),
        ({"drift": [{"message": "y"}]}, "/drift/0"),
        *(({"refusals": [value]}, "/refusals/0") for value in ({}, {"message": 1}, {"message": "x", "line": "1"})),
        *(({"refusals": [{"message": "x", **more}]}, "/refusals/0") for more in ({"file": 1}, {"rule_index": True})),
        *(({"timings": value}, "/timings") for value in (None, [], {"a": "1"}, {"a": -1}, {"a": True}, {"a": 1e9})),
        ({"timings": {f"step{number}": 1 for number in range(51)}}, "/timings"),
        ({"timings": {"x" * 51: 1}}, "/timings"),
        *(({"loaded_hash": value}, "/loaded_hash") for value in (None, 1, "x", "1" * 64)),
        ({"flavour": "nginx"}, "/flavour"),
        *(({name: value}, f"/{name}") for name in ("prometheus_version", "agent_version") for value in (1, "x" * 51)),
        ({"server": "us"}, "/server"),
    ],
)
def test_malformed_report_is_refused_and_changes_nothing(agent: Caller, change: dict[str, Any], pointer: str) -> None:
    release = offered()
    before = everything()
    answer = agent.post("agent/report", {**told(release), **change})
    assert answer.status == 400, answer.content
    assert all(found == pointer or found.startswith(f"{pointer}/") for found in answer.pointers)
    assert everything() == before


@pytest.mark.parametrize("missing", ["release", "content_hash", "state"])
def test_what_a_report_is_about_must_be_said(agent: Caller, missing: str) -> None:
    report = told(offered())
    del report[missing]
    assert agent.post("agent/report", report).pointers == [f"/{missing}"]


# ------------------------------------------------------------------------------------------------ offering


def test_content_that_is_offered_already_stands_for_newer_revisions(agent: Caller, lease: Lease) -> None:
    release = offered()
    assert bundles.standing(releases.state_of("eu"), wanted(FILES, revision=7), lease) == release
    assert (Release.objects.get(pk=release.pk).revision, state().loaded_revision) == (7, 0)
    agent.post("agent/report", told(release))
    assert state().loaded_revision == 7
    assert bundles.standing(releases.state_of("eu"), wanted(FILES, revision=9), lease) == release
    assert state().loaded_revision == 9
    assert state().retry_at is None
    assert bundles.standing(releases.state_of("eu"), wanted({"other.yml": b""}, revision=9), lease) is None


def test_the_same_content_is_not_offered_under_another_number(agent: Caller) -> None:
    release = offered()
    agent.post("agent/report", told(release))
    again = offered(revision=8)
    now = releases.state_of("eu")
    assert (now.offered_release, now.loaded_release, now.loaded_revision) == (release, release, 8)
    assert (again.state, again.changed, again.finished_at is not None) == (State.SUPERSEDED, False, True)
    assert Release.objects.get(pk=release.pk).revision == 8
    assert agent.post("agent/report", told(release)).json == {"applied": True}


def test_an_agent_that_has_the_content_still_vouches_for_the_release_offered_now(agent: Caller) -> None:
    first = offered()
    agent.post("agent/report", told(first))
    offered({"global.yml": b"groups: [] # soon taken back\n"}, revision=6)
    again = offered(revision=7)
    assert again != first
    assert agent.get("agent/bundle", if_none_match=f'"{first.content_hash}"').status == 304
    assert agent.post("agent/report", told(first)).json == {"applied": True}
    assert (state().loaded_release, state().loaded_revision) == (again, 7)


def test_an_offer_by_somebody_who_lost_the_lease_is_none(eu: PrometheusServer) -> None:
    def lost() -> None:
        raise RuntimeError("lost")

    release = release_of(FILES)
    with pytest.raises(RuntimeError):
        bundles.offer(release, releases.state_of("eu"), lost)
    assert ServerState.objects.get(pk="eu").offered_release is None


@pytest.mark.django_db(transaction=True)
def test_reports_and_offers_at_once_never_pass_each_other(agent: Caller) -> None:
    for turn in range(4):
        old = offered({"global.yml": f"groups: [] # {turn}\n".encode()}, revision=10 * turn + 1)
        new_files = {"global.yml": f"groups: [] # new {turn}\n".encode()}

        def tell(release: Release = old) -> None:
            try:
                assert Caller(agent.token).post("agent/report", told(release)).status == 200
            finally:
                connections.close_all()

        def offer(files: dict[str, bytes] = new_files, revision: int = 10 * turn + 2) -> None:
            try:
                offered(files, revision)
            finally:
                connections.close_all()

        with ThreadPoolExecutor(4) as pool:
            for future in [pool.submit(work) for work in (tell, offer, tell)]:
                future.result(timeout=30)
        now, old = releases.state_of("eu"), Release.objects.get(pk=old.pk)
        assert now.offered_release is not None
        assert now.offered_release.revision == 10 * turn + 2
        # Either it was loaded before the other was offered, or its report came too late.
        assert (old.state == State.VERIFIED) == (now.loaded_release_id == old.pk)
        assert old.state in (State.VERIFIED, State.SUPERSEDED)


# ------------------------------------------------------------------------------------------------ from policy to agent


def bundle_of(agent: Caller) -> dict[str, Any]:
    answer = agent.get("agent/bundle")
    assert answer.status == 200, answer.content
    return answer.json


def tell(agent: Caller, bundle: dict[str, Any], outcome: str = "verified", **more: Any) -> None:
    report = {"release": bundle["release"], "content_hash": bundle["content_hash"], "state": outcome, **more}
    assert agent.post("agent/report", report).json == {"applied": True}


def test_policy_reaches_the_agent_and_its_word_comes_back(agent: Caller, admin: Caller, settings: Any) -> None:
    settings.PROMTOOL_PATH = None
    rule = admin.make("alert-rules", name="Down", query_template="up == 0")
    assert deploy("test", server="eu").changed
    first = bundle_of(agent)
    assert '"up == 0"' in first["files"]["global.yml"] or "up == 0" in first["files"]["global.yml"]
    tell(agent, first)
    standing = admin.get("prometheus-servers?name=eu").json["results"][0]["status"]
    assert (standing["in_sync"], standing["loaded_release"]) == (True, first["release"])
    assert deploy("test", server="eu").release == Release.objects.get(pk=first["release"])
    assert state().retry_at is None, "nothing is left to do"

    # A change that does not touch the files: the release stands for it.
    admin.make("targets", hostname="t")
    deploy("test", server="eu")
    standing = admin.get("prometheus-servers?name=eu").json["results"][0]["status"]
    assert (standing["in_sync"], standing["loaded_release"]) == (True, first["release"])
    assert bundle_of(agent)["release"] == first["release"]

    admin.patch(f"alert-rules/{rule['id']}", {"query_template": "up == 1"})
    deploy("test", server="eu")
    second = bundle_of(agent)
    assert second["release"] != first["release"]
    standing = admin.get("prometheus-servers?name=eu").json["results"][0]["status"]
    assert (standing["in_sync"], standing["loaded_release"]) == (False, first["release"])


def test_a_rule_that_the_agents_promtool_refuses_stays_as_it_was(agent: Caller, admin: Caller, settings: Any) -> None:
    settings.PROMTOOL_PATH = None
    good = admin.make("alert-rules", name="Good", query_template="up == 0")
    bad = admin.make("alert-rules", name="Bad", query_template="up == 1")
    deploy("test", server="eu")
    tell(agent, bundle_of(agent), promtool_version="3.5.3")
    deploy("test", server="eu")
    admin.patch(f"alert-rules/{good['id']}", {"query_template": "up == 3"})
    admin.patch(f"alert-rules/{bad['id']}", {"query_template": "up == 4"})
    deploy("test", server="eu")
    refused = bundle_of(agent)
    text = refused["files"]["global.yml"]
    (group, index) = next(
        (found["name"], place)
        for found in yaml.safe_load(text)["groups"]
        for place, rule in enumerate(found["rules"], 1)
        if rule["alert"] == "Bad"
    )
    refusal = {"file": "global.yml", "group": group, "rule_index": index, "rule_name": "Bad", "message": "no"}
    tell(agent, refused, "rejected", refusals=[refusal], promtool_version="3.5.3")
    deploy("test", server="eu")
    left = bundle_of(agent)
    assert left["content_hash"] != refused["content_hash"]
    assert "up == 3" in left["files"]["global.yml"]
    assert "up == 1" in left["files"]["global.yml"]
    assert "up == 4" not in left["files"]["global.yml"]
    tell(agent, left, promtool_version="3.5.3")
    for _ in range(2):
        deploy("test", server="eu")
        attempts._refused.clear()  # as another worker, which remembers nothing
        assert bundle_of(agent)["release"] == left["release"], "and it stays so"
    now = state()
    assert (now.loaded_release_id, now.last_error, now.retry_at) == (left["release"], None, None)
    assert now.loaded_release is not None
    assert [key["key"] for key in now.loaded_release.last_good] == ["Bad"]
    target = admin.make("targets", hostname="web-1")
    found = admin.get(f"targets/{target['id']}/alert-rules/effective?server=eu").json["rules"]
    in_force = {rule["key"]: (rule["expr"], rule["in_force"]) for rule in found}
    assert in_force == {"Good": ("up == 3", "current"), "Bad": ("up == 1", "last_good")}


@pytest.fixture
def failing(agent: Caller, admin: Caller, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Release:
    """The agent holds this one; what was written since cannot be judged here, so it is not offered."""
    settings.PROMTOOL_PATH = None
    rule = admin.make("alert-rules", name="Down", query_template="up == 0")
    deploy("test", server="eu")
    tell(agent, bundle_of(agent))
    deploy("test", server="eu")
    admin.patch(f"alert-rules/{rule['id']}", {"query_template": "up == 1"})

    def fails(attempt: attempts.Attempt) -> None:
        raise PromtoolError("crashed", "it was killed")

    monkeypatch.setattr(attempts.Attempt, "_judged", fails)
    release = state().loaded_release
    assert release is not None
    return release


def test_why_a_newer_one_is_not_offered_stays_told_while_the_agent_is_content(
    agent: Caller, admin: Caller, failing: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    for failures in (1, 2, 3):
        deploy("test", server="eu")
        assert agent.post("agent/report", told(failing)).json == {"applied": True}
        now = state()
        assert (now.failures, (now.last_error or {}).get("code")) == (failures, "promtool_crashed")
    assert Release.objects.filter(server="eu").count() == 2, "an hour of retries is one row"
    assert "crashed" in admin.get("prometheus-servers?name=eu").json["results"][0]["status"]["error"]["code"]
    monkeypatch.undo()
    deploy("test", server="eu")
    tell(agent, bundle_of(agent))
    assert (state().failures, state().last_error) == (0, None)


def test_who_takes_back_what_could_not_be_offered_is_rid_of_the_error(
    agent: Caller, admin: Caller, failing: Release
) -> None:
    deploy("test", server="eu")
    (rule,) = admin.get("alert-rules").json["results"]
    admin.patch(f"alert-rules/{rule['id']}", {"query_template": "up == 0"})
    assert deploy("test", server="eu").release == failing
    assert (state().failures, state().last_error) == (0, None)


def test_who_fails_does_not_forget_what_an_agent_told_meanwhile(agent: Caller, admin: Caller, failing: Release) -> None:
    stale = releases.state_of("eu")
    newer = offered({"global.yml": b"groups: [] # new\n"}, revision=9)
    agent.post("agent/report", told(newer, prometheus_version="3.9.9"))
    problems = [{"code": "x", "message": "no"}]
    record_failure(release_of(FILES, 9), stale, nobody, outcome="failed", problems=problems)
    now = state()
    assert (now.loaded_release, now.loaded_revision, now.prometheus_version) == (newer, 9, "3.9.9")
    assert (now.failures, (now.last_error or {})["code"]) == (1, "x")
