"""Celery for real: edits wake workers after the commit, and Redis, workers and beat may go at any moment."""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.servers.processes import eventually
from tests.tasks.conftest import Installation

pytestmark = pytest.mark.slow


def edit(installation: Installation, rule: int, value: int) -> float:
    """Seconds that the edit took."""
    start = time.monotonic()
    installation.call("PATCH", f"/alert-rules/{rule}", query_template=f"up == {value}")
    return time.monotonic() - start


def first_rule(installation: Installation) -> int:
    found = installation.call("POST", "/alert-rules", name="Down", query_template="up == 1000")
    eventually(lambda: installation.all_hold("up == 1000"), timeout=30, what="the first rule everywhere")
    return int(found["id"])


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_an_edit_reaches_every_server_in_less_than_two_seconds(
    make_installation: Callable[..., Installation], pool: str
) -> None:
    installation = make_installation(4)
    installation.start_web()
    installation.start_worker("--pool", pool, "--concurrency", "2")
    rule = first_rule(installation)
    edit(installation, rule, 7)
    start = time.monotonic()
    eventually(lambda: installation.all_hold("up == 7"), what="the edit everywhere")
    assert time.monotonic() - start < 2


def test_a_burst_of_ten_edits_is_one_or_two_releases(make_installation: Callable[..., Installation]) -> None:
    installation = make_installation(2)
    installation.start_web()
    installation.start_worker()
    rule = first_rule(installation)
    before = {server: len(installation.settled(server)) for server in installation.servers}
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda value: edit(installation, rule, value), range(1, 10)))
    edit(installation, rule, 99)
    eventually(lambda: installation.all_hold("up == 99"), what="the last edit")
    time.sleep(1)
    for server in installation.servers:
        found = installation.settled(server)
        assert 1 <= len(found) - before[server] <= 2, found
        revisions = [release["revision"] for release in found]
        assert revisions == sorted(revisions), "an older state went over a newer one"


def test_redis_stopped_flushed_and_restarted_under_edits_loses_nothing(
    make_installation: Callable[..., Installation],
) -> None:
    installation = make_installation(3)
    installation.start_web()
    worker = installation.start_worker()
    installation.start_beat()
    rule = first_rule(installation)
    slowest = 0.0
    for value in range(1, 31):
        if value == 5:
            installation.redis.freeze()
        elif value == 10:
            installation.redis.thaw()
            installation.redis.flush()
        elif value == 15:
            installation.redis.stop()
        elif value == 25:
            installation.redis.start()
            installation.redis.flush()
        slowest = max(slowest, edit(installation, rule, value))
        time.sleep(0.1)
    assert slowest < 2, "edits wait for Redis"
    eventually(lambda: installation.all_hold("up == 30"), timeout=60, what="the last edit everywhere")
    assert worker.running


def test_another_worker_takes_over_from_one_that_was_killed_in_the_middle(
    make_installation: Callable[..., Installation],
) -> None:
    installation = make_installation(2)
    installation.start_web()
    installation.start_beat()
    doomed = installation.start_worker(name="doomed", CONFIG_SERVER_FAILPOINT="swap.linked:3=sleep:120")
    rule = first_rule(installation)
    edit(installation, rule, 7)
    eventually(lambda: "received" in doomed.output.rpartition("succeeded")[2], what="a deploy under way")
    time.sleep(2)
    installation.start_worker(name="heir")
    doomed.kill()
    eventually(lambda: installation.all_hold("up == 7"), timeout=45, what="the edit everywhere")


def test_a_worker_frozen_past_its_lease_wakes_up_and_writes_nothing(
    make_installation: Callable[..., Installation],
) -> None:
    installation = make_installation(1, LEASE_SECONDS="3")
    installation.start_web()
    installation.start_beat()
    frozen = installation.start_worker(name="frozen", CONFIG_SERVER_FAILPOINT="compile.after:2=sleep:3")
    rule = first_rule(installation)
    edit(installation, rule, 7)
    frozen.expect(r"Task alerts.deploy\[\S+\] received(?s:.*)Task alerts.deploy\[\S+\] received", timeout=10)
    time.sleep(1)
    frozen.freeze()
    installation.start_worker(name="heir")
    eventually(lambda: installation.all_hold("up == 7"), timeout=45, what="the edit, by the other worker")
    edit(installation, rule, 8)
    eventually(lambda: installation.all_hold("up == 8"), timeout=45, what="the next edit, by the other worker")
    before = installation.settled("default")
    frozen.thaw()
    frozen.expect(r"was taken over", timeout=20)
    time.sleep(3)
    assert installation.all_hold("up == 8"), "an older state went over a newer one"
    assert installation.releases("default") == before


def test_without_beat_edits_arrive_and_without_wakes_beat_finds_them(
    make_installation: Callable[..., Installation],
) -> None:
    installation = make_installation(1)
    installation.start_web()
    beats = [installation.start_beat("one"), installation.start_beat("two")]  # two do no harm
    installation.start_worker()
    rule = first_rule(installation)
    for beat in beats:
        beat.kill()
    edit(installation, rule, 7)
    eventually(lambda: installation.all_hold("up == 7"), timeout=5, what="the edit without beat")
    # A process that knows no broker writes: nobody is woken.
    broker = installation.environment.pop("CELERY_BROKER_URL")
    installation.shell(f"from alerts.actions import rules; rules.update({rule}, {{'query_template': 'up == 8'}})")
    installation.environment["CELERY_BROKER_URL"] = broker
    time.sleep(2)
    assert installation.all_hold("up == 7")
    installation.start_beat("three")
    eventually(lambda: installation.all_hold("up == 8"), timeout=30, what="the edit that nobody was woken for")


@pytest.mark.parametrize(("pool", "queues"), [("threads", True), ("solo", False)], ids=["-Q", "all queues"])
def test_deploys_go_first_whatever_waits_before_them(
    make_installation: Callable[..., Installation], pool: str, queues: bool
) -> None:
    installation = make_installation(1)
    script = (
        "from config_server.celery import app\n"
        "for number in range(4): app.send_task('alerts.housekeeping')\n"
        "for number in range(4): app.send_task('alerts.reconcile', ['nobody'])\n"
        "for number in range(4): app.send_task('alerts.deploy', ['nobody'])\n"
    )
    installation.shell(script)
    worker = installation.start_worker("--pool", pool, "--concurrency", "1", queues=queues)
    eventually(lambda: worker.output.count("succeeded in") == 12, timeout=30, what="the end of all tasks")
    words = [word for word in worker.output.replace("[", " ").split() if word.startswith("alerts.")]
    done = [
        line.partition("Task alerts.")[2].partition("[")[0]
        for line in worker.output.splitlines()
        if "succeeded in" in line
    ]
    assert done == ["deploy"] * 4 + ["reconcile"] * 4 + ["housekeeping"] * 4, words


def test_a_worker_finishes_what_it_is_at_when_it_is_asked_to_stop(
    make_installation: Callable[..., Installation],
) -> None:
    installation = make_installation(1)
    installation.start_web()
    worker = installation.start_worker(CONFIG_SERVER_FAILPOINT="compile.after:2=sleep:2")
    rule = first_rule(installation)
    edit(installation, rule, 7)
    time.sleep(1.5)
    worker.send(signal.SIGTERM)
    assert worker.wait(30) == 0
    assert installation.all_hold("up == 7")


def test_up_with_a_broker_runs_all_of_it_and_delivers_while_redis_is_away(
    make_installation: Callable[..., Installation],
) -> None:
    installation = make_installation(2, LOG_FORMAT="json")
    up = installation.run(
        [sys.executable, "manage.py", "up", "--port", "0", "--workers", "1", "--parallel", "4"],
        env=installation.environment,
        name="up",
    )
    installation.url = up.expect(r"^ready (http://\S+)$", timeout=60).group(1)
    installation.sign_in()
    up.expect(r"celery\S* ready|@\S+ ready", timeout=60)
    rule = first_rule(installation)
    installation.redis.stop()
    assert edit(installation, rule, 7) < 2
    eventually(lambda: installation.all_hold("up == 7"), timeout=20, what="the edit without Redis")
    installation.redis.start()
    up.send(signal.SIGTERM)
    assert up.wait(40) == 0, up.output
    assert "[queues]" not in up.output, "Celery's banner"
    assert "is starting." not in up.output, "beat's"
    assert "superuser privileges" not in re.sub(r'^{"time": .*', "", up.output, flags=re.MULTILINE)
