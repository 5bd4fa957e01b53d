"""Commits wake workers, nothing else does, and whatever happens to the messenger, a write goes on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterator
from typing import Any

import pytest
from django.db import transaction

from alerts.actions import deploy, rules, waking
from alerts.models import Release, ServerState
from alerts.tasks import messenger as module
from alerts.tasks.messenger import Messenger
from tests.servers.processes import eventually

RULE = {"name": "Down", "query_template": "up == 0"}


class Woken(list[str | None]):
    def __call__(self, server: str | None) -> None:
        self.append(server)


@pytest.fixture
def woken() -> Iterator[Woken]:
    waker = Woken()
    waking.register(waker)
    yield waker
    waking.unregister(waker)


class TestCommits:
    pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

    def test_a_write_wakes_once_when_it_is_committed(self, woken: Woken) -> None:
        rules.create(RULE)
        assert woken == [None]

    def test_nobody_is_woken_before_the_commit(self, woken: Woken) -> None:
        with transaction.atomic():
            rules.create(RULE)
            assert woken == []
        assert woken == [None]

    def test_nobody_is_woken_by_what_is_taken_back(self, woken: Woken) -> None:
        rules.create(RULE, dry_run=True)
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            rules.create(RULE)
            raise ZeroDivisionError
        assert woken == []

    def test_asking_for_a_release_wakes_for_that_server(self, woken: Woken) -> None:
        deploy.request("test")
        assert woken == ["default"]
        assert Release.objects.get().state == "pending"
        assert ServerState.objects.exists()

    def test_a_waker_that_fails_does_not_fail_the_write(self, caplog: pytest.LogCaptureFixture) -> None:
        def broken(server: str | None) -> None:
            raise RuntimeError("broker")

        waking.register(broken)
        try:
            rules.create(RULE)
        finally:
            waking.unregister(broken)
        assert "nobody could be woken" in caplog.text


class Post:
    """Where a messenger sends to; fails or hangs when told to."""

    def __init__(self) -> None:
        self.sent: list[list[str]] = []
        self.error: Exception | None = None
        self.tries = 0
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, servers: Collection[str]) -> None:
        self.tries += 1
        assert self.gate.wait(10)
        if self.error:
            raise self.error
        self.sent.append(sorted(servers))


@pytest.fixture
def post(monkeypatch: pytest.MonkeyPatch) -> Post:
    monkeypatch.setattr(module, "_names", lambda wanted: ["a", "b"] if None in wanted else sorted(wanted))
    return Post()


def test_edits_that_follow_one_another_are_one_wake(post: Post) -> None:
    messenger = Messenger(post)
    for _ in range(10):
        messenger.wake(None)
        time.sleep(0.02)
    eventually(lambda: post.sent, timeout=5, what="a wake")
    assert post.sent == [["a", "b"]]


def test_a_stream_of_edits_does_not_put_the_wake_off_for_long(post: Post) -> None:
    messenger = Messenger(post)
    start = time.monotonic()
    while not post.sent:
        messenger.wake("a")
        time.sleep(0.05)
        assert time.monotonic() - start < 3
    assert time.monotonic() - start >= 1


def test_a_broker_that_hangs_delays_no_write_and_gets_what_is_left_later(post: Post) -> None:
    post.gate.clear()
    messenger = Messenger(post)
    messenger.wake("a")
    eventually(lambda: post.tries, timeout=5, what="a try")
    start = time.monotonic()
    messenger.wake("b")
    assert time.monotonic() - start < 0.1
    post.gate.set()
    eventually(lambda: any("b" in servers for servers in post.sent), timeout=5, what="the later wake")


def test_a_broker_that_fails_is_left_alone_told_once_and_tried_again(post: Post, caplog: Any) -> None:
    caplog.set_level(logging.INFO)
    post.error = ConnectionError("refused")
    messenger = Messenger(post, left_alone=0.5)
    messenger.wake("a")
    time.sleep(1.9)
    assert 2 <= post.tries <= 4
    assert caplog.text.count("cannot be woken") == 1
    post.error = None
    eventually(lambda: post.sent == [["a"]], timeout=5, what="the kept wake")
    eventually(lambda: "can be woken again" in caplog.text, timeout=5, what="the good news")


def test_last_words_are_sent_at_once_but_not_waited_for_long(post: Post) -> None:
    messenger = Messenger(post)
    messenger.wake("a")
    messenger.close()
    assert post.sent == [["a"]]
    post.gate.clear()
    hanging = Messenger(post)
    hanging.wake("a")
    start = time.monotonic()
    hanging.close()
    assert 0.5 < time.monotonic() - start < 3
    post.gate.set()
