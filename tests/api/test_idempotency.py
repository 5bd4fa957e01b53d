"""A retried POST happens once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import connections
from django.utils import timezone

from alerts.models import IdempotencyRecord, Namespace, PolicyState, Target
from tests.api.conftest import Answer, Caller


def test_second_request_gets_the_first_answer(admin: Caller) -> None:
    first = admin.post("targets", {"hostname": "a"}, idempotency_key="k1")
    revision = PolicyState.current()
    second = admin.post("targets", {"hostname": "a"}, idempotency_key="k1")
    assert (first.status, second.status) == (201, 201)
    assert second.content == first.content
    assert [second.headers[name] for name in ("ETag", "Location")] == [
        first.headers[name] for name in ("ETag", "Location")
    ]
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert (Target.objects.count(), PolicyState.current()) == (1, revision)


def test_same_meaning_is_the_same_request(admin: Caller) -> None:
    admin.post("targets", raw=b'{"hostname": "a", "address": "b"}', idempotency_key="k1")
    again = admin.post("targets", raw=b'{ "address":"b","hostname":"\\u0061" }', idempotency_key="k1")
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("POST", "targets", {"hostname": "b"}, id="another body"),
        pytest.param("POST", "namespaces", {"hostname": "a"}, id="another path"),
        pytest.param("POST", "targets/delete", {"ids": [1]}, id="another verb"),
    ],
)
def test_key_is_not_used_for_another_request(admin: Caller, method: str, path: str, body: object) -> None:
    admin.post("targets", {"hostname": "a"}, idempotency_key="k1")
    answer = admin(method, path, body, idempotency_key="k1")
    assert answer.status == 409
    assert answer.problem["type"].endswith(":idempotency_key_reused")
    assert Target.objects.living().count() == 1


def test_key_belongs_to_its_user(caller: Callable[..., Caller]) -> None:
    caller("admin").post("targets", {"hostname": "a"}, idempotency_key="k1")
    other = caller("editor").post("targets", {"hostname": "b"}, idempotency_key="k1")
    assert (other.status, other.json["hostname"]) == (201, "b")


def test_refused_request_may_be_sent_again_with_its_key(admin: Caller) -> None:
    taken = admin.make("targets", hostname="a")
    assert admin.post("targets", {"hostname": "a"}, idempotency_key="k1").status == 409
    assert admin.post("targets", {"hostname": ""}, idempotency_key="k1").status == 400
    admin.delete(f"targets/{taken['id']}")
    assert admin.post("targets", {"hostname": "a"}, idempotency_key="k1").status == 201


def test_dry_run_is_not_remembered(admin: Caller) -> None:
    assert admin.post("targets?dry_run=true", {"hostname": "a"}, idempotency_key="k1").status == 200
    assert not IdempotencyRecord.objects.exists()
    assert admin.post("targets", {"hostname": "a"}, idempotency_key="k1").status == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "\u00e9"])
def test_wrong_key_is_refused(admin: Caller, key: str) -> None:
    answer = admin.post("targets", {"hostname": "a"}, idempotency_key=key)
    assert answer.status == 400
    assert answer.problem["type"].endswith(":invalid_idempotency_key")
    assert not Target.objects.exists()


def test_longest_key_is_accepted(admin: Caller) -> None:
    for _ in range(2):
        assert admin.post("targets", {"hostname": "a"}, idempotency_key="x" * 255).status == 201


def test_key_is_forgotten_after_a_day(admin: Caller) -> None:
    first = admin.post("targets", {"hostname": "a"}, idempotency_key="k1")
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(days=1, seconds=1))
    assert admin.post("targets", {"hostname": "a"}, idempotency_key="k1").status == 409
    assert admin.get("targets").json["results"] == [first.json]


def test_bulk_answer_is_replayed(admin: Caller) -> None:
    made = admin.make("targets", hostname="a")
    answers = [admin.post("targets/delete", {"ids": [made["id"]]}, idempotency_key="k1") for _ in range(2)]
    assert [answer.json for answer in answers] == [{"ids": [made["id"]]}] * 2
    assert answers[1].headers["Idempotency-Replayed"] == "true"


def test_asking_for_a_release_twice_asks_once(admin: Caller, world: SimpleNamespace) -> None:
    first = admin.post("prometheus/rules/regenerate", idempotency_key="k1")
    second = admin.post("prometheus/rules/regenerate", idempotency_key="k1")
    assert first.status == second.status == 202
    assert second.headers["Location"] == first.headers["Location"]
    assert second.headers["Idempotency-Replayed"] == "true"


def test_key_is_taken_while_a_delivery_is_under_way(admin: Caller, world: SimpleNamespace) -> None:
    admin.post("prometheus/rules/regenerate", idempotency_key="k1")
    IdempotencyRecord.objects.update(status=None)
    busy = admin.post("prometheus/rules/regenerate", idempotency_key="k1")
    assert (busy.status, busy.headers["Retry-After"]) == (409, "1")
    assert busy.problem["type"].endswith(":idempotency_key_busy")
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(minutes=11))
    assert admin.post("prometheus/rules/regenerate", idempotency_key="k1").status == 202


def test_failed_command_leaves_its_key_free(admin: Caller) -> None:
    assert admin.post("prometheus/reload", idempotency_key="k1").status == 503
    assert not IdempotencyRecord.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_requests_with_one_key_at_the_same_time_happen_once(caller: Callable[..., Caller]) -> None:
    token = caller("admin").token

    def post(_: int) -> Answer:
        try:
            return Caller(token).post("namespaces", {"name": "once"}, idempotency_key="k1")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(post, range(6)))
    assert [answer.status for answer in answers] == [201] * 6
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    assert Namespace.objects.filter(name="once").count() == 1
