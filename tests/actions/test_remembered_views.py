"""What a process keeps in memory of servers does not grow with what has happened to them."""

from __future__ import annotations

import pytest

from alerts.actions import fleet, groups, policy, prometheus_servers, rules, wanted
from alerts.models import Namespace, PrometheusServer

pytestmark = pytest.mark.django_db


@pytest.fixture
def eu(monkeypatch: pytest.MonkeyPatch) -> PrometheusServer:
    policy.forget()
    for module, name in ((fleet, "_asked"), (wanted, "_rendered")):
        monkeypatch.setattr(module, name, {})
    fleet._views.clear()
    environment = Namespace.objects.get(name="environment")
    for name in ("eu", "us", "apac"):
        groups.create({"name": name, "namespace_id": environment.pk})
    rules.create({"name": "Down", "query_template": "up == 0"})
    return prometheus_servers.create(
        {"name": "eu", "url": "http://127.0.0.1:9", "delivery": "agent", "selector": {"environment": ["eu"]}}
    )


def select(server: PrometheusServer, name: str) -> None:
    prometheus_servers.update(server.pk, {"selector": {"environment": [name]}})


def test_new_groups_below_a_selected_one_are_no_further_set_in_memory(eu: PrometheusServer) -> None:
    environment = Namespace.objects.get(name="environment")
    parent = groups.create({"name": "eu-1", "namespace_id": environment.pk})
    select(eu, "eu-1")
    texts = set()
    for number in range(4):
        groups.create({"name": f"eu-1-{number}", "namespace_id": environment.pk, "parent_id": parent.pk})
        texts.add(wanted.wanted(server="eu").content_hash)
    assert len(texts) == 4
    assert len(wanted._rendered) == len(fleet._views) == 1


def test_selectors_that_nobody_has_any_more_are_forgotten(
    eu: PrometheusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for forgotten_after, kept in ((600.0, 3), (0.0, 1)):
        monkeypatch.setattr(fleet, "FORGOTTEN_AFTER", forgotten_after)
        for name in ("eu", "us", "apac"):
            select(eu, name)
            assert name in str(wanted.wanted(server="eu").contents)
        rules.create({"name": f"More{kept}", "query_template": "up == 1"})
        wanted.wanted(server="eu")
        assert (len(fleet._views), len(fleet._asked), len(wanted._rendered)) == (kept, kept, kept)


def test_there_is_a_limit_also_for_those_that_are_asked_for(
    eu: PrometheusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "REMEMBERED", 2)
    for name in ("eu", "us", "apac"):
        select(eu, name)
        wanted.wanted(server="eu")
    assert [place[1] for place in fleet._views] == [b'{"environment":["us"]}', b'{"environment":["apac"]}']
