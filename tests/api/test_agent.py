"""What the agent beside a server is told; and that its token opens nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts.actions import bundle_waiting, bundles, prometheus_servers, releases, tokens
from alerts.models import ApiToken, PrometheusServer, ServerState
from tests.api.conftest import Caller
from tests.api.offers import FILES, nobody, offered, release_of, state, told
from tests.api.test_access import DISCOVERY, READS, WRITES, everything, gets, statuses


@pytest.fixture(autouse=True)
def room() -> Iterator[None]:
    bundle_waiting.make_room(4)
    yield
    bundle_waiting.make_room(4)


# ------------------------------------------------------------------------------------------------ access


SERVER_READS = ["prometheus-servers", "prometheus-servers/1", "prometheus-servers/1/status"]
SERVER_WRITES: list[tuple[str, str, Any]] = [
    ("POST", "prometheus-servers", {"name": "new"}),
    *((method, "prometheus-servers/1", {}) for method in ("PUT", "PATCH", "DELETE")),
    *(("POST", f"prometheus-servers/{verb}", {"ids": [1]}) for verb in ("delete", "restore", "purge")),
    *(("POST", f"prometheus-servers/1/{verb}", None) for verb in ("regenerate", "reload", "resume")),
]


def test_an_agents_token_opens_nothing_else(agent: Caller, world: SimpleNamespace) -> None:
    world.one["prometheus-servers"] = {"id": 1}
    before = everything()
    found = statuses(agent, world, gets(READS + DISCOVERY + SERVER_READS) + WRITES + SERVER_WRITES)
    assert found == dict.fromkeys(found, 403)
    assert everything() == before


@pytest.mark.parametrize("role", ["viewer", "editor", "admin", "discovery", None])
def test_nobody_else_speaks_for_an_agent(caller: Callable[..., Caller], eu: PrometheusServer, role: str | None) -> None:
    release, someone = offered(), caller(role)
    refused = 401 if role is None else 403
    assert someone.get("agent/bundle").status == refused
    assert someone.post("agent/report", told(release)).status == refused
    assert state().loaded_release is None


def test_a_role_that_is_lacking_is_named_as_it_is_written(admin: Caller) -> None:
    assert admin.get("agent/bundle").problem["detail"] == "the role 'agent' is needed, this is 'admin'"


def test_an_agent_is_told_of_its_own_server_alone(agent: Caller) -> None:
    prometheus_servers.create({"name": "us", "url": "http://127.0.0.1:9", "delivery": "agent"})
    us = release_of(FILES, server="us")
    bundles.offer(us, releases.state_of("us"), nobody)
    assert agent.get("agent/bundle").status == 404
    assert agent.post("agent/report", told(us)).json == {"applied": False}
    assert ServerState.objects.get(pk="us").loaded_release is None


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"enabled": False}, 403, "server_disabled"),
        ({"deleted_at": timezone.now()}, 410, "server_deleted"),
        ({"delivery": "directory"}, 403, "other_delivery"),
    ],
)
def test_an_agent_without_a_server_to_feed_is_told_why(
    agent: Caller, change: dict[str, Any], status: int, code: str
) -> None:
    release = offered()
    PrometheusServer.objects.filter(name="eu").update(**change)
    for answer in (agent.get("agent/bundle"), agent.post("agent/report", told(release))):
        assert (answer.status, answer.problem["type"].rsplit(":", 1)[1]) == (status, code)
    assert state().loaded_release is None


def test_a_revoked_token_opens_nothing(agent: Caller) -> None:
    tokens.revoke(ApiToken.objects.get(role="agent").pk)
    assert agent.get("agent/bundle").status == 401


# ------------------------------------------------------------------------------------------------ fetching


def test_bundle_is_the_offered_release_whole(agent: Caller) -> None:
    release = offered()
    answer = agent.get("agent/bundle")
    assert (answer.status, answer.headers["ETag"]) == (200, f'"{release.content_hash}"')
    assert answer.json == {
        "server": "eu",
        "release": release.pk,
        "revision": 5,
        "content_hash": release.content_hash,
        "files": {name: content.decode() for name, content in FILES.items()},
        "scope": None,
    }


def test_nothing_offered_is_not_found_for_now(agent: Caller) -> None:
    answer = agent.get("agent/bundle")
    assert (answer.status, answer.headers["Retry-After"]) == (404, "2")
    assert answer.problem["type"].endswith(":nothing_offered")


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ('"{hash}"', 304),
        ('W/"{hash}"', 304),
        ('"{zero}", "{hash}"', 304),
        ('"{zero}"', 200),
        ("{hash}", 200),
        ("nonsense", 200),
        ("", 200),
    ],
)
def test_what_the_agent_has_is_not_sent_again(agent: Caller, header: str, status: int) -> None:
    release = offered()
    answer = agent.get("agent/bundle", if_none_match=header.format(hash=release.content_hash, zero="0" * 64))
    assert (answer.status, answer.headers["ETag"]) == (status, f'"{release.content_hash}"')


@pytest.mark.parametrize("wait", ["-1", "60.1", "61", "x", "1e1", "", "nan", "\u0661"])
def test_wrong_wait_is_refused(agent: Caller, wait: str) -> None:
    assert agent.get(f"agent/bundle?wait={wait}").status == 400


def test_asking_is_a_sign_of_life_noted_now_and_then(agent: Caller) -> None:
    release = offered()
    agent.get("agent/bundle")
    seen = state().agent_seen_at
    assert seen is not None
    with CaptureQueriesContext(connection) as queries:
        agent.get("agent/bundle", if_none_match=f'"{release.content_hash}"')
    assert state().agent_seen_at == seen
    assert len(queries) == 4, "the token, its server, the sign of life, what is offered"


def test_who_waits_is_told_that_nothing_came(agent: Caller) -> None:
    release = offered()
    start = time.monotonic()
    answer = agent.get("agent/bundle?wait=0.7", if_none_match=f'"{release.content_hash}"')
    assert (answer.status, "Retry-After" in answer.headers) == (304, False)
    assert 0.6 < time.monotonic() - start < 5


@pytest.mark.django_db(transaction=True)
class TestWaiting:
    """With threads and connections of their own."""

    def ask(self, token: str | None, wait: float, known: str) -> Any:
        try:
            start = time.monotonic()
            answer = Caller(token).get(f"agent/bundle?wait={wait:g}", if_none_match=f'"{known}"')
            return answer, time.monotonic() - start
        finally:
            connections.close_all()

    def test_a_new_release_ends_the_wait(self, agent: Caller) -> None:
        old = offered()
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(self.ask, agent.token, 30, old.content_hash)
            time.sleep(1)
            assert not asked.done()
            new = offered({"global.yml": b"groups: [] # new\n"}, revision=6)
            answer, seconds = asked.result(timeout=20)
        assert (answer.status, answer.json["release"]) == (200, new.pk)
        assert seconds < 10

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            (lambda: tokens.revoke(ApiToken.objects.get(role="agent").pk), 401),
            (lambda: ApiToken.objects.update(expires_at=timezone.now()), 401),
            (lambda: PrometheusServer.objects.filter(name="eu").update(enabled=False), 403),
            (lambda: PrometheusServer.objects.filter(name="eu").update(deleted_at=timezone.now()), 410),
        ],
    )
    def test_who_is_shut_out_while_waiting_gets_nothing_more(self, agent: Caller, change: Any, status: int) -> None:
        old = offered()
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(self.ask, agent.token, 30, old.content_hash)
            time.sleep(0.7)
            change()
            offered({"global.yml": b"groups: [] # new\n"}, revision=6)
            answer, _ = asked.result(timeout=20)
        assert answer.status == status
        assert b"global.yml" not in answer.content

    def test_the_first_release_ends_the_wait(self, agent: Caller) -> None:
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(self.ask, agent.token, 30, "")
            time.sleep(0.6)
            release = offered()
            answer, _ = asked.result(timeout=20)
        assert (answer.status, answer.json["release"]) == (200, release.pk)

    def test_only_half_of_the_threads_wait(self, agent: Caller) -> None:
        release = offered()
        bundle_waiting.make_room(5)
        with ThreadPoolExecutor(5) as pool:
            asked = [pool.submit(self.ask, agent.token, 3, release.content_hash) for _ in range(5)]
            found = [future.result(timeout=30) for future in asked]
        assert {answer.status for answer, _ in found} == {304}
        turned_away = [seconds for answer, seconds in found if answer.headers.get("Retry-After") == "2"]
        assert len(turned_away) == 3
        assert max(turned_away) < 2.5
        assert min(seconds for answer, seconds in found if "Retry-After" not in answer.headers) > 2.9

    def test_one_token_does_not_take_the_room_of_all(self, agent: Caller) -> None:
        release = offered()
        bundle_waiting.make_room(12)
        with ThreadPoolExecutor(5) as pool:
            asked = [pool.submit(self.ask, agent.token, 3, release.content_hash) for _ in range(5)]
            found = [future.result(timeout=30)[0] for future in asked]
        assert sum("Retry-After" not in answer.headers for answer in found) == bundle_waiting.MOST_FOR_ONE

    def test_who_sleeps_holds_no_connection(self, agent: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
        release = offered()
        held: list[bool] = []
        sleep = time.sleep

        def look(seconds: float) -> None:
            if threading.current_thread() is not threading.main_thread():
                held.append(connection.connection is not None)
            sleep(seconds)

        monkeypatch.setattr(bundle_waiting.time, "sleep", look)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(self.ask, agent.token, 1.2, release.content_hash).result(timeout=20)
        assert held
        assert not any(held)

    def test_all_who_wait_are_served_by_two_reads_a_second(
        self, agent: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        release = offered()
        bundle_waiting.make_room(12)
        monkeypatch.setattr(bundle_waiting, "MOST_FOR_ONE", 6)
        reads: list[int] = []

        def counted(servers: list[str]) -> Any:
            reads.append(len(servers))
            return bundles.offers(servers)

        monkeypatch.setattr(bundle_waiting, "offers", counted)
        with ThreadPoolExecutor(6) as pool:
            asked = [pool.submit(self.ask, agent.token, 2, release.content_hash) for _ in range(6)]
            assert {future.result(timeout=30)[0].status for future in asked} == {304}
        assert len(reads) <= 6 + 7, "one each to begin with, then two a second"
