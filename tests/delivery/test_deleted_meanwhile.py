"""A server that is deleted just when somebody was about to deliver to it: nothing is wrong, and nobody cries."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from alerts.actions import deploy as deploying
from alerts.actions import lease, prometheus_servers, rules
from alerts.actions.deploy import deploy
from alerts.actions.reconcile import reconcile
from alerts.management import worker
from alerts.models import PrometheusServer, Release


@pytest.fixture
def deleted_at_the_lease(db: None, product: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the first look at the row and the lease."""

    @contextmanager
    def held(server: str, known: Any) -> Iterator[Any]:
        prometheus_servers.delete([PrometheusServer.objects.get(name=server).pk])
        with lease.held(server, known) as found:
            yield found

    rules.create({"name": "Down", "query_template": "up == 0"})
    monkeypatch.setattr(deploying, "held", held)


@pytest.mark.parametrize("action", [partial(deploy, "test"), reconcile])
def test_whoever_was_about_to_deliver_stops(deleted_at_the_lease: None, action: Any) -> None:
    assert action().release is None
    assert not Release.objects.exists()


def test_a_worker_says_so_and_no_more(db: None, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(worker.connections, "close_all", lambda: None)  # it is this test's
    prometheus_servers.delete([PrometheusServer.objects.get().pk])
    worker._run("default", partial(deploy, "test"))
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("INFO", "default: it was deleted meanwhile")
    ]
