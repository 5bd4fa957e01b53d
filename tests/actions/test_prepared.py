"""Statements that are written once say, each time, what Django's own would."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts.actions import policy, prepared, prometheus_servers, servers
from alerts.actions.prepared import Prepared, columns_of, stored
from alerts.models import PolicyState, PrometheusServer, Release, ServerState

pytestmark = pytest.mark.django_db

RELEASE = columns_of(Release)
BY_SERVER = Prepared(lambda name: Release.objects.filter(server=name).order_by("pk").values_list(*RELEASE))
BY_NAMES = Prepared(lambda *names: ServerState.objects.filter(pk__in=names).order_by("pk").values_list("pk"))


def test_rows_are_those_that_django_reads() -> None:
    at = datetime(2026, 11, 29, 1, 2, 3, 456789, tzinfo=UTC)
    for server, warnings in (("a", [{"code": "x"}]), ("b", []), ("a", [])):
        Release.objects.create(server=server, revision=7, state="verified", verified_at=at, warnings=warnings)
    for server in ("a", "b", "none", "stand-in 0 \x01", "' OR 1=1 --", "%s"):
        read = [stored(Release, RELEASE, row) for row in BY_SERVER.rows(server)]
        wanted = list(Release.objects.filter(server=server).order_by("pk"))
        assert [one.__dict__ | {"_state": None} for one in read] == [one.__dict__ | {"_state": None} for one in wanted]
        assert all(one._state.db == "default" and not one._state.adding for one in read)


def test_each_number_of_values_is_a_form_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "MOST_FORMS", 2)
    ServerState.objects.bulk_create([ServerState(name=name) for name in "abcde"])
    for _ in range(2):
        for names in ("a", "ab", "edc", "bb", "x", "abcde"):
            assert [pk for (pk,) in BY_NAMES.rows(*names)] == sorted(set(names) - {"x"})


def test_a_statement_is_written_once() -> None:
    written: list[object] = []

    def make(pk: int) -> Any:
        written.append(pk)
        return Release.objects.filter(pk=pk).values_list("pk")

    asked = Prepared(make)
    with CaptureQueriesContext(connection) as captured:
        assert [asked.rows(number) for number in range(5)] == [[], [], [], [], []]
    assert (len(written), len(captured)) == (1, 5)


@pytest.mark.parametrize(
    "make",
    [
        lambda name: Release.objects.filter(server__contains=name).values_list("pk"),
        lambda name: Release.objects.values_list("pk"),
    ],
    ids=["changed on its way in", "not asked about"],
)
def test_what_a_value_does_not_come_into_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="as it is"):
        Prepared(make).rows("x")


def test_servers_are_read_once_for_each_revision() -> None:
    policy.forget()
    loaded = policy.current().loaded
    assert [spec.name for spec in servers.enabled_at(loaded)] == ["default"]
    with CaptureQueriesContext(connection) as captured:
        assert [spec.name for spec in servers.enabled_at(loaded)] == ["default"]
    assert len(captured) == 0
    prometheus_servers.create({"name": "eu", "url": "http://127.0.0.1:9"})
    assert [spec.name for spec in servers.enabled_at(policy.current().loaded)] == ["default", "eu"]


def test_servers_of_a_later_revision_are_not_taken_for_those_of_an_earlier_one() -> None:
    policy.forget()
    loaded = policy.current().loaded
    PrometheusServer.objects.update(enabled=False)
    PolicyState.objects.update(revision=loaded.revision + 1)
    assert servers.enabled_at(loaded) == []
    PrometheusServer.objects.update(enabled=True)
    assert [spec.name for spec in servers.enabled_at(loaded)] == ["default"], "nothing was remembered"
