"""The pages of servers: which revision each has loaded, since when, and why not a newer one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts.actions import prometheus_servers, targets
from alerts.models import PolicyState, PrometheusServer, Release, ServerState, Target
from tests.web.test_pages import csrf, text_of


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path, nobody_answers: None) -> None:
    settings.PROMETHEUS_RULE_ROOTS = (str(tmp_path),)


def make(name: str, **values: Any) -> PrometheusServer:
    return prometheus_servers.create({"name": name, "url": "http://127.0.0.1:9", **values})


def holds(name: str, *, behind: int = 0, **more: Any) -> Release:
    revision = PolicyState.current() - behind
    since = timezone.now() - timedelta(hours=2)
    release = Release.objects.create(server=name, revision=revision, state="verified", verified_at=since, rule_count=3)
    ServerState.objects.create(name=name, loaded_release=release, loaded_revision=revision, **more)
    return release


def test_all_servers_are_listed_with_why_they_lag(world: SimpleNamespace, viewer: Client) -> None:
    make("a-good")
    make("b-behind")
    make("c-failing")
    make("d-agent", delivery="agent")
    make("e-off", enabled=False)
    make("f-pinned")
    holds("a-good", flavour="vmalert", prometheus_version="1.102")
    holds("b-behind", behind=2)
    holds("c-failing", failures=2, last_error={"code": "x", "message": "no <b>space</b> left"})
    holds("d-agent", agent_seen_at=timezone.now())
    pinned = holds("f-pinned")
    ServerState.objects.filter(pk="f-pinned").update(pinned_release=pinned)
    answer = viewer.get("/servers")
    text = text_of(answer)
    revision = PolicyState.current()
    assert f"a-good {revision} {revision} 2 hours ago in sync directory vmalert 1.102" in text
    assert f"b-behind {revision} {revision - 2} 2 hours ago A change is on its way." in text
    assert "no &lt;b&gt;space&lt;/b&gt; left" in answer.content.decode()
    assert "agent, seen" in text
    assert "e-off disabled" in text
    assert f"pinned to release {pinned.pk}" in text
    assert "2 of 6 servers hold this policy" in text, "the default one and five others are enabled"
    assert "default" in text


def test_one_server_is_shown_with_its_releases(world: SimpleNamespace, viewer: Client) -> None:
    make("eu", selector={"environment": ["production"]}, description="In Frankfurt.")
    mine, other = holds("eu"), Release.objects.create(server="us", revision=1, state="verified")
    text = text_of(viewer.get("/servers/eu"))
    for words in (
        "In Frankfurt.",
        "environment production",
        f"release {mine.pk}",
        "these rules for 2 hours",
        "in force",
    ):
        assert words in text
    assert f"/releases/{other.pk}" not in viewer.get("/servers/eu").content.decode()
    assert "for eu" in text_of(viewer.get(f"/releases/{mine.pk}"))
    assert "eu" in text_of(viewer.get("/releases"))


def test_releases_of_a_deleted_server_can_still_be_read(world: SimpleNamespace, viewer: Client) -> None:
    eu = make("eu")
    release = holds("eu")
    prometheus_servers.delete([eu.pk])
    text = text_of(viewer.get("/servers/eu"))
    assert "It is deleted: nothing is delivered to it any more" in text
    assert str(release.pk) in text
    assert "eu" not in text_of(viewer.get("/servers"))
    assert viewer.get("/servers/nowhere").status_code == 404
    assert text_of(viewer.get(f"/releases/{release.pk}"))


def test_pages_open_without_a_default_server(world: SimpleNamespace, viewer: Client) -> None:
    prometheus_servers.delete([PrometheusServer.objects.get(name="default").pk])
    assert "There is no server" in text_of(viewer.get("/servers"))
    assert "no server is enabled" in text_of(viewer.get("/policy"))
    answer = viewer.get("/status")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/servers")


def test_list_costs_the_same_for_many_servers(world: SimpleNamespace, viewer: Client) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert viewer.get("/servers").status_code == 200
        return len(queries)

    make("a")
    cost()
    few = cost()
    for number in range(8):
        make(f"s{number}")
        holds(f"s{number}")
    assert cost() == few


@pytest.mark.parametrize("path", ["/servers", "/servers/default"])
def test_a_role_is_needed(path: str, world: SimpleNamespace, signed_in: Callable[[str], Client]) -> None:
    assert Client().get(path).status_code == 302
    assert signed_in("nobody").get(path).status_code == 403


def test_only_admins_resume(world: SimpleNamespace, signed_in: Callable[[str], Client]) -> None:
    make("eu", delivery="agent")
    release = holds("eu", agent_seen_at=timezone.now())
    ServerState.objects.filter(pk="eu").update(pinned_release=release)
    viewer, admin = signed_in("viewer"), signed_in("admin")
    assert "Resume" not in viewer.get("/servers/eu").content.decode()
    assert viewer.post("/servers/eu/resume", csrf(viewer, "/releases")).status_code == 403
    assert ServerState.objects.get(pk="eu").pinned_release == release
    assert admin.get("/servers/eu/resume").status_code == 405
    admin.post("/servers/eu/resume", csrf(admin, "/servers/eu"))
    assert ServerState.objects.get(pk="eu").pinned_release is None
    assert admin.post("/servers/nowhere/resume", csrf(admin, "/releases")).status_code == 404


def test_many_warnings_of_one_kind_are_folded_away(world: SimpleNamespace, viewer: Client) -> None:
    make("eu")
    release = holds("eu")
    release.warnings = [{"code": "needs_several_servers", "message": f"rule <{number}>"} for number in range(5)]
    release.warnings += [{"code": "drift_on_disk", "message": "changed"}]
    release.save()
    for page in ("/servers/eu", f"/releases/{release.pk}"):
        content = viewer.get(page).content.decode()
        assert "<summary><strong>needs_several_servers</strong> 5 times</summary>" in content
        assert '<p class="note warning"><strong>drift_on_disk</strong> changed</p>' in content
        assert "rule &lt;4&gt;" in content


def test_a_server_says_what_to_do_next(world: SimpleNamespace, viewer: Client) -> None:
    make("eu")
    release = holds("eu")
    error = {"code": "rule_dir_missing", "message": "gone", "hint": "create it", "release": release.pk}
    ServerState.objects.filter(pk="eu").update(last_error=error, failures=1)
    content = viewer.get("/servers/eu").content.decode()
    assert "<strong>rule_dir_missing</strong>" in content
    assert "create it" in content
    assert f'<a href="/releases/{release.pk}">release {release.pk}</a></p>' in content
    make("far", delivery="agent")
    assert "manage.py create_agent_token far" in viewer.get("/servers/far").content.decode()


def test_a_target_says_which_server_evaluates_what(world: SimpleNamespace, viewer: Client) -> None:
    page = f"/targets/{world.inside.pk}"
    assert "on default" not in text_of(viewer.get(page))
    make("eu")
    text = text_of(viewer.get(page))
    assert "on default, eu" in text
    assert "eu does not hold this yet" in text
    for server in PrometheusServer.objects.all():
        prometheus_servers.update(server.pk, {"enabled": False})
    assert "No server holds its series" in text_of(viewer.get(page))


def test_pages_tell_of_a_silent_agent(db: None, viewer: Client) -> None:
    targets.create({"hostname": "web-1"})
    revision = PolicyState.current()
    release = Release.objects.create(revision=revision, state="verified", verified_at=timezone.now())
    PrometheusServer.objects.update(delivery="agent")
    seen = timezone.now() - timedelta(days=2)
    ServerState.objects.update_or_create(
        name="default", defaults={"loaded_release": release, "loaded_revision": revision, "agent_seen_at": seen}
    )
    for page in (f"/targets/{Target.objects.get().pk}", "/servers", "/servers/default", "/status"):
        assert "not been seen for a while" in text_of(viewer.get(page)), page
    assert "its agent is not heard of" in text_of(viewer.get("/"))
    assert "was last seen with this" in text_of(viewer.get(f"/targets/{Target.objects.get().pk}"))
    ServerState.objects.update(agent_seen_at=timezone.now())
    assert "Prometheus holds this policy" in text_of(viewer.get("/"))
