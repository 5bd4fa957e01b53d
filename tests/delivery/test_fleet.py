"""Several servers, each with the part of the fleet that its selector names."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from alerts.actions import (
    effective,
    fleet_status,
    groups,
    prometheus_servers,
    rebuild,
    reconcile,
    rules,
    servers,
    targets,
)
from alerts.actions.deploy import deploy
from alerts.models import CompiledKey, Namespace, PolicyState, PrometheusServer, ServerState
from tests.delivery.conftest import break_behind_our_back, delivered, loaded_names
from tests.servers.prometheus import PrometheusServer as RealPrometheus


@pytest.fixture
def fleet(
    db: None, product: Any, rule_dir: Path, tmp_path: Path, start_prometheus: Callable[..., RealPrometheus]
) -> SimpleNamespace:
    """Two real servers, one for each side of the Atlantic; the one of the settings is switched off."""
    product.PROMETHEUS_RULE_ROOTS = (str(tmp_path / "servers"),)
    place = Namespace.objects.get(name="environment")
    world = SimpleNamespace(place=place, real={}, hosts={}, groups={})
    for side in ("eu", "us"):
        group = groups.create({"name": side, "namespace_id": place.pk})
        world.groups[side] = groups.create({"name": f"{side}-prod", "namespace_id": place.pk, "parent_id": group.pk})
        world.hosts[side] = targets.create({"hostname": f"{side}-1", "groups": [world.groups[side].pk]})
        (tmp_path / "servers" / side).mkdir(parents=True)
        world.real[side] = start_prometheus(rule_dir=tmp_path / "servers" / side)
        PrometheusServer.objects.create(name=side, url=world.real[side].url, selector={"environment": [side]})
    PrometheusServer.objects.filter(name="default").update(enabled=False)
    return world


def run(*command: str) -> str:
    printed = StringIO()
    call_command(*command, stdout=printed, stderr=printed)
    return printed.getvalue()


def deploy_all() -> None:
    for spec in servers.enabled():
        delivered(deploy("test", server=spec.name))


def in_force(host: Any) -> dict[str, dict[str, Any]]:
    return {rule["name"]: rule for rule in effective.effective_for_target(host.pk)["rules"]}


def test_each_server_holds_just_the_rules_for_its_own_series(fleet: SimpleNamespace) -> None:
    rules.create({"name": "Down", "query_template": "up == 0"})
    rules.create({"name": "Slow", "query_template": "latency > 1", "group_id": fleet.groups["us"].pk})
    rules.create({"name": "OnlyEurope", "query_template": 'up{environment=~"eu.*"} == 2'})
    deploy_all()
    assert loaded_names(fleet.real["eu"]) == {"Down", "OnlyEurope"}
    assert loaded_names(fleet.real["us"]) == {"Down", "Slow"}


def test_commands_are_about_the_server_that_is_named(fleet: SimpleNamespace) -> None:
    rules.create({"name": "Down", "query_template": "up == 0"})
    with pytest.raises(SystemExit):
        run("plan", "eu")
    assert "1 rules" in run("sync", "eu")
    assert "no changes" in run("plan", "eu")
    groups.update(fleet.groups["us"].pk, {"description": "Which changes no rule of eu."})
    assert f"revision {PolicyState.current()} (nothing to do)" in run("sync", "eu")
    assert (loaded_names(fleet.real["eu"]), loaded_names(fleet.real["us"])) == ({"Down"}, set())
    assert ServerState.objects.get(pk="eu").flavour == "prometheus"
    with pytest.raises(CommandError, match="default is disabled"):
        run("sync")
    PrometheusServer.objects.filter(name="us").update(selector={})
    assert "global.yml, on eu" in run("effective", "eu-1")
    assert "global.yml, on us" in run("effective", "eu-1")


@pytest.mark.django_db
@pytest.mark.parametrize("command", ["sync", "plan", "rebuild"])
def test_a_command_about_an_unknown_server_names_those_there_are(command: str) -> None:
    with pytest.raises(CommandError, match="no Prometheus server 'nope'; there are: default"):
        run(command, "nope")


@pytest.mark.django_db
def test_what_is_only_offered_to_an_agent_is_not_said_to_be_delivered(settings: Any) -> None:
    settings.PROMTOOL_PATH = None
    PrometheusServer.objects.create(name="far", url="http://127.0.0.1:9", delivery="agent")
    with pytest.raises(CommandError, match="it is offered; the agent of far"):
        run("sync", "far")


def test_effective_says_what_the_server_evaluates_for_the_target(fleet: SimpleNamespace) -> None:
    rules.create({"name": "Down", "query_template": "up == 0"})
    deploy_all()
    for side in ("eu", "us"):
        found = in_force(fleet.hosts[side])["Down"]
        assert found["servers"] == [side]
        assert found["expr"] == f'up{{environment=~"{side}|{side}-prod"}} == 0'
        head = effective.effective_for_target(fleet.hosts[side].pk)
        assert [server["name"] for server in head["servers"]] == [side]
        assert head["in_sync"] is True
    assert effective.effective_for_target(fleet.hosts["eu"].pk, server="us")["rules"] == []


def test_a_position_that_no_server_holds_has_no_rules_in_force(fleet: SimpleNamespace) -> None:
    rules.create({"name": "Down", "query_template": "up == 0"})
    deploy_all()
    nowhere = targets.create({"hostname": "elsewhere"})
    found = effective.effective_for_target(nowhere.pk)
    assert (found["rules"], found["servers"], found["in_sync"]) == ([], [], False)


def test_a_pair_that_holds_the_same_evaluates_the_same(fleet: SimpleNamespace) -> None:
    PrometheusServer.objects.filter(name="us").update(selector={"environment": ["eu"]})
    rules.create({"name": "Down", "query_template": "up == 0"})
    deploy_all()
    assert in_force(fleet.hosts["eu"])["Down"]["servers"] == ["eu", "us"]


def test_a_moved_selector_is_delivered_without_any_edit_of_a_rule(fleet: SimpleNamespace) -> None:
    rules.create({"name": "Down", "query_template": "up == 0"})
    deploy_all()
    PrometheusServer.objects.filter(name="us").update(selector={"environment": {"not_in": ["eu"]}})
    assert delivered(deploy("test", server="us")).changed
    expr = in_force(fleet.hosts["us"])["Down"]["expr"]
    assert expr == 'up{environment!~"eu|eu-prod"} == 0'


def test_a_broken_key_stays_as_last_compiled_within_the_servers_selector(fleet: SimpleNamespace) -> None:
    rule = rules.create({"name": "Down", "query_template": "up == 0"})
    deploy_all()
    assert CompiledKey.objects.count() == 2
    break_behind_our_back(rule, query_template="up ==")
    rules.create({"name": "Other", "query_template": "up == 3"})
    deploy_all()
    for side in ("eu", "us"):
        assert loaded_names(fleet.real[side]) == {"Down", "Other"}
        found = in_force(fleet.hosts[side])["Down"]
        assert found["in_force"] == "last_good"
        assert found["expr"] == f'up{{environment=~"{side}|{side}-prod"}} == 0'


def test_each_layout_is_that_of_its_server(fleet: SimpleNamespace) -> None:
    PrometheusServer.objects.filter(name="us").update(layout="consolidated")
    rules.create({"name": "Down", "query_template": "up == 0"})
    deploy_all()
    assert in_force(fleet.hosts["eu"])["Down"]["file"] == "global.yml"
    assert in_force(fleet.hosts["us"])["Down"]["file"].startswith("policy-")


def test_rule_directories_come_back_from_the_database_alone(fleet: SimpleNamespace, tmp_path: Path) -> None:
    rules.create({"name": "Down", "query_template": "up == 0"})
    deploy_all()
    before = {
        state.name: state.loaded_release.content_hash for state in ServerState.objects.exclude(loaded_release=None)
    }
    for side in ("eu", "us"):
        fleet.real[side].stop()
        for path in sorted((tmp_path / "servers" / side).rglob("*"), reverse=True):
            path.unlink() if not path.is_dir() or path.is_symlink() else path.rmdir()
        (tmp_path / "servers" / side).rmdir()
    for side in ("eu", "us"):
        done = rebuild.rebuild(side)
        assert (done.problem, done.content_hash) == ("", before[side])
        fleet.real[side].start()
        assert loaded_names(fleet.real[side]) == {"Down"}
        assert reconcile.reconcile(server=side).changed is False


def test_a_server_that_was_never_seen_gets_the_present_policy_before_it_is_up(
    fleet: SimpleNamespace, tmp_path: Path
) -> None:
    rules.create({"name": "Down", "query_template": "up == 0"})
    for side in ("eu", "us"):
        fleet.real[side].stop()
        assert not deploy("test", server=side).good
    printed = run("rebuild")
    assert printed.count("1 files, 1 rules of release") == printed.count("compiled anew") == 2
    for side in ("eu", "us"):
        assert (tmp_path / "servers" / side / "current/global.yml").exists()
        placed = ServerState.objects.get(pk=side).loaded_release
        assert placed is not None
        assert (placed.state, placed.verified_at, placed.trigger) == ("active", None, "test"), "the same try, one row"
        assert fleet_status.standings([(side, "directory", True)])[side].reason == "unverified"
    fleet.real["eu"].start()
    assert loaded_names(fleet.real["eu"]) == {"Down"}, "it started with them"
    delivered(deploy("test", server="eu"))
    delivered(reconcile.reconcile(server="eu"))


def test_what_was_placed_unseen_is_not_taken_for_loaded(fleet: SimpleNamespace) -> None:
    rules.create({"name": "Down", "query_template": "up == 0"})
    assert rebuild.rebuild("eu").anew
    assert loaded_names(fleet.real["eu"]) == set(), "it was not told to load anything"
    assert ServerState.objects.get(pk="eu").prometheus_version == "", "nor asked anything"
    assert "(delivered)" in run("sync", "eu")
    assert loaded_names(fleet.real["eu"]) == {"Down"}
    assert not rebuild.rebuild("eu").anew
    assert "(nothing to do)" in run("sync", "eu")


def test_what_promtool_refuses_is_not_placed_anew_either(fleet: SimpleNamespace, product: Any, tmp_path: Path) -> None:
    rule = rules.create({"name": "Down", "query_template": "up == 0"})
    rules.create({"name": "Other", "query_template": "up == 1"})
    break_behind_our_back(rule, query_template="sort_by_label(up)")
    assert rebuild.rebuild("eu").rules == 1
    placed = (tmp_path / "servers/eu/current/global.yml").read_text()
    assert ("Other" in placed, "Down" in placed) == (True, False)
    product.PROMTOOL_PATH = "/bin/false"
    assert "promtool" in rebuild.rebuild("us").problem
    assert not (tmp_path / "servers/us/current").exists()
    with pytest.raises(CommandError, match="1 of 2 servers could not be rebuilt"):
        run("rebuild")


@pytest.mark.django_db
def test_a_server_with_an_agent_is_no_failure_unless_it_is_named() -> None:
    PrometheusServer.objects.create(name="far", url="http://127.0.0.1:9", delivery="agent")
    PrometheusServer.objects.exclude(name="far").update(enabled=False)
    assert "far: skipped: its agent puts back its own last good release" in run("rebuild")
    with pytest.raises(CommandError, match="1 of 1 servers could not be rebuilt"):
        run("rebuild", "far")


@pytest.mark.django_db
def test_nothing_new_is_compiled_for_a_disabled_server() -> None:
    PrometheusServer.objects.update(enabled=False)
    assert "it is disabled" in rebuild.rebuild("default").problem
    assert ServerState.objects.get().loaded_release is None


def test_a_database_put_back_in_time_does_not_lock_its_own_rule_directory(fleet: SimpleNamespace) -> None:
    rules.create({"name": "Down", "query_template": "up == 0"})
    deploy_all()
    ServerState.objects.update(lease_epoch=0)  # what a backup from before the deliveries says
    for side in ("eu", "us"):
        rules.create({"name": f"After{side}", "query_template": "up == 1"})
        delivered(deploy("test", server=side))
        assert f"After{side}" in loaded_names(fleet.real[side])


def test_two_objects_with_one_url_are_warned_of(fleet: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "servers" / "twin").mkdir()
    twin = {"name": "twin", "url": fleet.real["eu"].url + "/", "selector": {"environment": ["eu"]}}
    prometheus_servers.create(twin)
    rules.create({"name": "Down", "query_template": "up == 0"})
    for name, other in (("eu", "twin"), ("twin", "eu")):
        release = deploy("test", server=name).release
        assert release is not None
        (warning,) = [said for said in release.warnings if said["code"] == "url_shared"]
        assert warning["message"].startswith(f"{other} has the same URL")
    us = delivered(deploy("test", server="us"))
    assert "url_shared" not in {said["code"] for said in us.warnings}


def test_a_rule_that_needs_series_of_both_servers_is_reported_on_their_releases(fleet: SimpleNamespace) -> None:
    rule = rules.create({"name": "TooFew", "query_template": "count(up) < 10"})
    rules.create({"name": "Down", "query_template": "up == 0"})
    for side in ("eu", "us"):
        release = delivered(deploy("test", server=side))
        (warning,) = [said for said in release.warnings if said["code"] == "needs_several_servers"]
        assert (warning["key"], warning["rule_id"]) == ("TooFew", rule.pk)
        assert "eu, us" in warning["message"]
