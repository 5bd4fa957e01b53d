"""A fault of our own in the middle of a delivery: told like any other failure, and not tried again without end."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError

from alerts.actions import attempts, policy, rules, wanted
from alerts.actions import deploy as deploying
from alerts.actions.deploy import deploy, request
from alerts.actions.due import survey
from alerts.adapters.release_store import ReleaseStore
from alerts.models import PrometheusServer, Release, ServerState

pytestmark = [pytest.mark.database, pytest.mark.django_db]

PLACES = {
    "compiling": (wanted, "wanted"),
    "staging": (ReleaseStore, "stage"),
    "delivering": (attempts, "Delivery"),
}


@pytest.fixture(autouse=True)
def settings_of_a_small_product(settings: Any, rule_dir: Any) -> None:
    policy.forget()
    settings.PROMTOOL_PATH = None
    settings.PROMETHEUS_RELOAD_ENABLED = False
    rules.create({"name": "Down", "query_template": "up == 0"})


def fail(*_: Any, **__: Any) -> Any:
    raise RuntimeError("a mistake of ours")


@pytest.mark.parametrize(("module", "name"), PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("asked", [False, True], ids=["by itself", "asked for"])
def test_it_is_told_and_tried_again_later(module: Any, name: str, asked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if asked:
        request("test")
    with monkeypatch.context() as patch:
        patch.setattr(module, name, fail)
        for failures in (1, 2):
            with pytest.raises(RuntimeError):
                deploy("test")
            state = ServerState.objects.get()
            assert (state.failures, (state.last_error or {})["code"]) == (failures, "internal_error")
            assert "a mistake of ours" in (state.last_error or {})["message"]
            assert (survey().due, list(survey().waiting)) == ((), ["default"])
        release = Release.objects.get()
        assert (release.state, release.errors[0]["code"]) == ("failed", "internal_error")
    assert deploy("test").good
    state = ServerState.objects.get()
    assert (state.failures, state.last_error, state.retry_at) == (0, None, None)


def test_what_an_agent_is_at_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    PrometheusServer.objects.update(delivery="agent")
    offered = deploy("test").release
    assert offered is not None
    monkeypatch.setattr(wanted, "wanted", fail)
    with pytest.raises(RuntimeError):
        deploy("test")
    assert Release.objects.get(pk=offered.pk).state == "staged"
    assert ServerState.objects.get().failures == 1


def test_a_database_that_is_away_is_no_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(deploying, "_wanted", away)
    with pytest.raises(OperationalError):
        deploy("test")
    assert (Release.objects.count(), ServerState.objects.get().failures) == (0, 0)
