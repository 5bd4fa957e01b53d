"""Our pages: for whoever has a role, with or without a Prometheus that answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from alerts.actions import deploy, groups, policy, rules, targets
from alerts.models import PrometheusServer, Release, Target
from tests.servers.loopback import Answering, Exporter
from tests.servers.processes import eventually

NOWHERE = ["/targets/999999", "/targets/99999999999999999999", "/releases/999999", "/policy/alerting/no"]
PAGES = ["/", "/policy", "/policy/alerting/HighLoad", "/releases", "/status"]


def text_of(answer: Any) -> str:
    assert answer.status_code == 200, answer.status_code
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


@pytest.mark.parametrize("path", [*PAGES, "/targets/1", "/releases/1"])
def test_a_stranger_signs_in_first(path: str, db: None) -> None:
    answer = Client().get(path)
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"/login?next={path}"


def test_signing_in_leads_where_one_wanted_to_go(world: SimpleNamespace, nobody_answers: None) -> None:
    User.objects.create_superuser("boss", password="right")
    client = Client()
    assert "do not match" in text_of(client.post("/login", {"username": "boss", "password": "wrong"}))
    answer = client.post("/login?next=/policy", {"username": "boss", "password": "right", "next": "/policy"})
    assert answer.headers["Location"] == "/policy"
    assert (
        client.post("/login?next=//evil.example", {"username": "boss", "password": "right"}).headers["Location"] == "/"
    )
    assert client.post("/logout").status_code == 302
    assert client.get("/policy").status_code == 302


@pytest.mark.parametrize("path", PAGES)
def test_without_a_role_there_is_nothing_to_see(
    path: str, world: SimpleNamespace, signed_in: Callable[[str], Client]
) -> None:
    answer = signed_in("nobody").get(path)
    assert answer.status_code == 403
    assert "has no role" in answer.content.decode()
    assert "web-1" not in answer.content.decode()


@pytest.mark.parametrize("path", PAGES)
def test_pages_open_while_prometheus_is_down(
    path: str, world: SimpleNamespace, viewer: Client, nobody_answers: None
) -> None:
    answer = viewer.get(path)
    assert answer.status_code == 200
    assert "<script" not in answer.content.decode()
    if path in ("/", "/status"):
        assert "cannot be reached" in text_of(answer) or "does not answer" in text_of(answer)


def test_targets_are_listed_though_nothing_is_known_of_their_alerts(
    world: SimpleNamespace, viewer: Client, nobody_answers: None
) -> None:
    text = text_of(viewer.get("/"))
    assert "What is firing is not known: http://127.0.0.1:9 cannot be reached" in text
    assert "web-1" in text
    assert "web-2" in text


@pytest.mark.parametrize(
    "path", ["/targets/999999", "/targets/99999999999999999999", "/releases/999999", "/policy/alerting/no"]
)
def test_what_is_not_there_is_not_found(path: str, world: SimpleNamespace, viewer: Client) -> None:
    answer = viewer.get(path, headers={"accept": "text/html"})
    assert answer.status_code == 404
    assert "Not found" in answer.content.decode()


def test_target_page_strikes_out_what_lost(world: SimpleNamespace, viewer: Client, nobody_answers: None) -> None:
    page = viewer.get(f"/targets/{world.inside.pk}").content.decode()
    assert "load1{environment=&quot;production&quot;} &gt; 4" in page
    lost = page[page.index("<del><code>7</code></del>") :][:300]
    assert "beaten by environment/production" in lost
    assert "<del><code>7</code></del>" not in viewer.get(f"/targets/{world.outside.pk}").content.decode()


def test_a_key_is_shown_with_all_its_layers(world: SimpleNamespace, viewer: Client) -> None:
    text = text_of(viewer.get("/policy/alerting/HighLoad"))
    assert text.index("environment/production") < text.index("load1 &gt; {{ .most }}")
    assert "load1{environment!=&quot;production&quot;} &gt; 7" in text


def test_policy_url_leads_to_a_key_of_any_spelling(world: SimpleNamespace, viewer: Client, settings: Any) -> None:
    settings.BASE_URL = "http://testserver"
    key = "a/b c?d#é"
    rules.create({"key": key, "name": "Odd", "query_template": "up == 0"})
    from alerts.actions import policy

    url = dict(policy.current().compiled.plans["alerting", key].rules[0].annotations)["policy_url"]
    assert "Odd" in text_of(viewer.get(url.removeprefix("http://testserver")))


def test_keys_that_do_not_compile_come_first(world: SimpleNamespace, viewer: Client) -> None:
    rules.create({"name": "Zero", "query_template": "up == 0"})
    # Behind the actions' back: no action would have let it pass.
    type(world.rule).objects.filter(key="Zero").update(query_template="sum((", revision=10**6)
    from alerts.actions import policy

    policy.forget()
    text = text_of(viewer.get("/policy"))
    assert text.index("Zero") < text.index("HighLoad")
    assert "does not compile" in text
    assert "Does not compile" in text_of(viewer.get("/policy/alerting/Zero"))


def test_markup_in_names_is_text(world: SimpleNamespace, viewer: Client, nobody_answers: None) -> None:
    evil = "<script>alert(1)</script>"
    rules.create({"key": evil, "name": "Odd", "query_template": "up == 0", "config": {"annotations": {"a": evil}}})
    groups.create({"name": evil, "namespace_id": world.environment.pk})
    for path in ("/policy", f"/targets/{world.inside.pk}", "/policy/alerting/%3Cscript%3Ealert(1)%3C%2Fscript%3E"):
        assert "<script" not in viewer.get(path).content.decode()


def test_lists_are_pages_and_cost_the_same(world: SimpleNamespace, viewer: Client, nobody_answers: None) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            viewer.get("/")
        return len(queries)

    cost()
    few = cost()
    Target.objects.bulk_create(Target(hostname=f"h{number:04}") for number in range(120))
    assert cost() == few
    text = text_of(viewer.get("/"))
    assert "1–50 of 122" in text
    assert "h0060" not in text
    assert "h0060" in text_of(viewer.get("/?page=2"))
    assert "101–122 of 122" in text_of(viewer.get("/?page=99"))
    assert "1–11 of 11" in text_of(viewer.get("/?q=H010")) or "1–10 of 10" in text_of(viewer.get("/?q=H010"))
    assert "1–1 of 1" in text_of(viewer.get(f"/?group={world.staging.pk}"))
    assert text_of(viewer.get("/?group=x&page=y&state=z"))


@pytest.fixture
def living(
    world: SimpleNamespace, settings: Any, rule_dir: Path, start_prometheus: Any, exporter: Exporter, promtool: Path
) -> Any:
    """The policy delivered to a real Prometheus that scrapes a load of 5 at both targets."""
    settings.PROMTOOL_PATH = str(promtool)
    for host, group in (("web-1", "production"), ("web-2", "staging")):
        exporter.set("load1", 5, target=host, environment=group)
    server = start_prometheus(rule_dir=rule_dir, scrape={"node": exporter.address})
    settings.PROMETHEUS_URL = server.url
    assert deploy.deploy("test").good
    return server


def test_alerts_now_are_shown_with_the_layer_that_won(living: Any, world: SimpleNamespace, viewer: Client) -> None:
    eventually(lambda: living.alerts(), what="alert")
    rows = re.findall(r"<tr class=\"first\">.*?</tr>", viewer.get("/").content.decode(), re.S)
    assert "web-1" in rows[0]
    assert "firing" in rows[0]
    assert "environment/production" in rows[0]
    assert "web-2" in rows[1]
    assert "firing" not in rows[1]
    assert "web-2" not in text_of(viewer.get("/?state=firing"))
    assert "firing" in text_of(viewer.get(f"/targets/{world.inside.pk}"))


@pytest.fixture
def asked(settings: Any) -> Iterator[list[str]]:
    """The paths that a Prometheus was asked for which answers every question with one alert."""
    paths: list[str] = []
    alert = {"labels": {"alertname": "HighLoad", "target": "web-1"}, "state": "firing"}

    def answer(path: str, _: bytes) -> tuple[int, str, bytes]:
        paths.append(path)
        return 200, "application/json", json.dumps({"status": "success", "data": {"alerts": [alert]}}).encode()

    server = Answering(answer)
    settings.PROMETHEUS_URL = server.url
    yield paths
    server.stop()


def test_a_prometheus_with_an_agent_is_not_asked_and_the_pages_say_so(
    world: SimpleNamespace, asked: list[str], viewer: Client
) -> None:
    pages = ["/", f"/targets/{world.inside.pk}", "/status"]
    PrometheusServer.objects.update(delivery="agent")
    texts = [text_of(viewer.get(page)) for page in pages]
    assert asked == []
    for text in texts[:2]:
        assert "Alerts of default are not shown: its agent's Prometheus is not asked from here." in text.replace(
            "&#x27;", "'"
        )
        assert "What is firing is not known" not in text
    assert "is not asked from here; its agent is not heard of" in texts[2]
    assert "does not answer" not in texts[2]
    PrometheusServer.objects.update(delivery="directory")
    policy.forget()  # no revision told of it
    for page in pages:
        assert "not asked from here" not in text_of(viewer.get(page))
    assert asked


def test_the_alerts_of_other_servers_are_shown_beside_those_that_are_left_out(
    world: SimpleNamespace, asked: list[str], viewer: Client
) -> None:
    for number in range(12):
        PrometheusServer.objects.create(name=f"far-{number:02}", url="http://127.0.0.1:9", delivery="agent")
    text = text_of(viewer.get("/"))
    assert "1 firing" in text
    assert "Alerts of far-00, far-01," in text
    assert "far-09 and 2 more are not shown" in text
    assert re.search(r"web-2 staging \?", text), "nobody knows whether a server with an agent fires there"


def csrf(client: Client, path: str) -> dict[str, str]:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', client.get(path).content.decode())
    assert found
    return {"csrfmiddlewaretoken": found[1]}


def test_admin_goes_back_and_resumes(living: Any, world: SimpleNamespace, signed_in: Callable[[str], Client]) -> None:
    admin = signed_in("admin")
    first = Release.objects.latest("id")
    rules.update(world.override.pk, {"config": {"template_vars": {"most": 3}}})
    assert deploy.deploy("test").good
    second = Release.objects.latest("id")
    page = admin.get(f"/releases/{second.pk}").content.decode()
    assert "<del>load1{environment=&quot;production&quot;} &gt; 4</del>" in page
    assert "load1{environment=&quot;production&quot;} &gt; 3" in page

    path = f"/releases/{first.pk}"
    answer = admin.post(f"{path}/rollback", csrf(admin, path), follow=True)
    assert f"Went back to release {first.pk}" in text_of(answer)
    assert f"pinned to release {first.pk}" in text_of(admin.get("/"))
    assert "load1{environment=&quot;production&quot;} &gt; 4" in str(living.rules()).replace('"', "&quot;").replace(
        ">", "&gt;"
    )

    admin.post("/resume", csrf(admin, "/status"))
    assert "pinned" not in text_of(admin.get("/"))
    assert 'environment="production"} > 3' in str(living.rules())


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_only_admins_go_back(role: str, world: SimpleNamespace, signed_in: Callable[[str], Client]) -> None:
    release = Release.objects.create(revision=1, state="superseded")
    client = signed_in(role)
    assert "rollback" not in client.get(f"/releases/{release.pk}").content.decode()
    assert client.post(f"/releases/{release.pk}/rollback", csrf(client, "/releases")).status_code == 403
    assert client.post("/resume", csrf(client, "/releases")).status_code == 403


def test_going_back_needs_the_csrf_token_and_a_post(world: SimpleNamespace, signed_in: Callable[[str], Client]) -> None:
    release = Release.objects.create(revision=1, state="superseded")
    admin = signed_in("admin")
    assert admin.post(f"/releases/{release.pk}/rollback").status_code == 403
    assert admin.get(f"/releases/{release.pk}/rollback").status_code == 405


def test_what_was_never_verified_is_not_gone_back_to(
    world: SimpleNamespace, signed_in: Callable[[str], Client], nobody_answers: None
) -> None:
    release = Release.objects.create(
        revision=1, state="rejected", errors=[{"code": "promtool_refused", "message": "no"}]
    )
    admin = signed_in("admin")
    path = f"/releases/{release.pk}"
    assert "promtool_refused no" in text_of(admin.get(path))
    assert "Prometheus was never seen to hold it" in text_of(
        admin.post(f"{path}/rollback", csrf(admin, "/releases"), follow=True)
    )


def test_releases_are_filtered_by_state(world: SimpleNamespace, viewer: Client) -> None:
    Release.objects.create(revision=1, state="rejected", trigger="by hand")
    Release.objects.create(revision=2, state="failed", trigger="worker")
    text = text_of(viewer.get("/releases?state=rejected"))
    assert "by hand" in text
    assert "1–1 of 1" in text
    targets.delete([world.outside.pk])  # the summary still stands
    assert text_of(viewer.get("/releases"))
