"""A server is edited at the worst moment of a delivery to it: what is said to be loaded is what it should hold now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alerts.actions import deploy as deploying
from alerts.actions import (
    due,
    groups,
    policy,
    prometheus_servers,
    reconcile,
    releases,
    rules,
    servers,
    telemetry,
    wanted,
)
from alerts.actions.deploy import deploy
from alerts.models import Namespace, PolicyState, PrometheusServer, Release, ServerState

pytestmark = [pytest.mark.database, pytest.mark.django_db]


@pytest.fixture
def one(settings: Any, tmp_path: Path) -> PrometheusServer:
    """A server in a directory that nobody reloads from, with a policy to hold."""
    policy.forget()
    settings.PROMTOOL_PATH = None
    settings.PROMETHEUS_RELOAD_ENABLED = False
    settings.PROMETHEUS_RULE_ROOTS = (str(tmp_path),)
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    environment = Namespace.objects.get(name="environment")
    for name in ("eu", "us"):
        groups.create({"name": name, "namespace_id": environment.pk})
    rules.create({"name": "Down", "query_template": "up == 0"})
    return prometheus_servers.create({"name": "one", "url": "http://127.0.0.1:9", "rule_dir": str(tmp_path / "here")})


def just_before(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, edit: Callable[[], object]) -> None:
    """``edit`` is committed by somebody else the first time that this is called."""
    real, left = getattr(module, name), [edit]

    def edited_first(*arguments: Any, **more: Any) -> Any:
        if left:
            left.pop()()
        return real(*arguments, **more)

    monkeypatch.setattr(module, name, edited_first)


def needs(server: str) -> list[str]:
    return [need.why for need in due.due() if need.server == server]


def test_a_server_that_moves_before_the_lease_is_taken_is_delivered_to_where_it_is_now(
    one: PrometheusServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    moved = {"rule_dir": str(tmp_path / "there")}
    just_before(monkeypatch, deploying, "held", lambda: prometheus_servers.update(one.pk, moved))
    assert deploy("test", server="one").good
    assert (tmp_path / "there" / "current").exists()
    assert not (tmp_path / "here" / "current").exists()


def test_a_server_that_is_switched_off_before_the_lease_is_taken_gets_nothing(
    one: PrometheusServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    just_before(monkeypatch, deploying, "held", lambda: prometheus_servers.update(one.pk, {"enabled": False}))
    assert not deploy("test", server="one").changed
    assert not (tmp_path / "here" / "current").exists()


@pytest.mark.parametrize("edit", [{"selector": {"environment": ["us"]}}, {"layout": "consolidated"}])
def test_a_set_never_stands_for_a_revision_whose_selector_or_layout_it_does_not_have(
    one: PrometheusServer, monkeypatch: pytest.MonkeyPatch, edit: dict[str, Any]
) -> None:
    prometheus_servers.update(one.pk, {"selector": {"environment": ["eu"]}})
    just_before(monkeypatch, policy, "current", lambda: prometheus_servers.update(one.pk, edit))
    found = wanted.wanted(server="one")
    assert (found.revision, found.content_hash) == (policy.current().revision, wanted.wanted(server="one").content_hash)


def test_edits_that_keep_coming_hold_nobody_up(one: PrometheusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy that was compiled is used, though there is a newer one by then."""
    compiled: list[int] = []
    current = policy.current

    def while_somebody_edits(*given: Any, **named: Any) -> Any:
        PolicyState.objects.update(revision=PolicyState.current() + 1)
        found = current(*given, **named)
        compiled.append(found.revision)
        PolicyState.objects.update(revision=PolicyState.current() + 1)
        return found

    monkeypatch.setattr(policy, "current", while_somebody_edits)
    assert [wanted.wanted(server="one").revision] == compiled


@pytest.mark.parametrize("back", ["enabled", "restored"])
def test_a_server_that_comes_back_is_delivered_to_before_it_is_said_to_hold_anything(
    one: PrometheusServer, back: str
) -> None:
    assert deploy("test", server="one").good
    if back == "enabled":
        prometheus_servers.update(one.pk, {"enabled": False})
        prometheus_servers.update(one.pk, {"enabled": True})
    else:
        prometheus_servers.delete([one.pk])
        prometheus_servers.restore([one.pk])
    assert needs("one") == ["never_seen"]
    state = ServerState.objects.get(pk="one")
    assert (state.loaded_release, state.loaded_revision) == (None, 0)
    assert deploy("test", server="one").changed


def test_drift_on_a_server_that_is_switched_off_meanwhile_is_not_said_to_be_healed(
    one: PrometheusServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert deploy("test", server="one").good
    look = reconcile.look

    def switched_off_while_looked_at(server: str) -> reconcile.Drift:
        (tmp_path / "here" / "current").unlink()
        found = look(server)
        prometheus_servers.update(one.pk, {"enabled": False})
        return found

    monkeypatch.setattr(reconcile, "look", switched_off_while_looked_at)
    monkeypatch.setattr(telemetry, "note_healed", lambda server: pytest.fail("nothing was healed"))
    assert not reconcile.reconcile(server="one").changed
    release = Release.objects.get()
    assert not [warning for warning in release.warnings if warning["code"].startswith("drift")]


def test_a_release_that_was_overtaken_while_it_was_looked_at_does_not_become_the_verified_one(
    one: PrometheusServer,
) -> None:
    old = deploy("test", server="one").release
    rules.create({"name": "Other", "query_template": "up == 1"})
    new = deploy("test", server="one").release
    assert old is not None
    assert new is not None
    releases.mark_verified(old)  # as read before the other one came
    assert Release.objects.get(pk=old.pk).state == "superseded"
    releases.mark_verified(new)
    assert Release.objects.get(pk=new.pk).state == new.state == "verified"


def test_after_a_pin_that_no_agent_fetched_the_policy_is_offered_again(one: PrometheusServer) -> None:
    prometheus_servers.update(one.pk, {"delivery": "agent", "rule_dir": ""})
    first = deploy("test", server="one").release
    assert first is not None
    rules.create({"name": "Other", "query_template": "up == 1"})
    second = deploy("test", server="one").release
    assert second is not None
    # The agent loaded the second; then somebody pinned the first, and took the pin off before anything came of it.
    ServerState.objects.filter(pk="one").update(
        loaded_release=second, loaded_revision=second.revision, offered_release=first
    )
    assert servers.spec("one").delivery == "agent"
    assert needs("one") == ["policy"]
