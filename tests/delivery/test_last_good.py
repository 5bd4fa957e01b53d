"""One broken key never blocks the others: it stays as last compiled, and everything says so."""

from __future__ import annotations

from alerts.actions import effective, groups, rules
from alerts.actions.deploy import deploy
from alerts.models import AlertRule, Namespace, Release
from tests.delivery.conftest import break_behind_our_back, delivered, loaded_names
from tests.servers.prometheus import PrometheusServer


def position() -> effective.Place:
    environment = Namespace.objects.get(name="environment")
    group = groups.create({"name": "anywhere", "namespace_id": environment.pk})
    return effective.place_of_groups([group.pk])


def expressions(server: PrometheusServer) -> dict[str, str]:
    return {rule["name"]: rule["query"] for group in server.rules() for rule in group["rules"]}


def test_a_key_that_compiles_no_more_stays_and_the_others_go_on(deployed: Release, server: PrometheusServer) -> None:
    break_behind_our_back(AlertRule.objects.get(key="Down"), query_template="sum(")
    rules.create({"name": "Another", "query_template": "up == 1"})
    release = delivered(deploy("test"))
    assert expressions(server) == {"Down": "up == 0", "Another": "up == 1"}
    assert [(key["key"], key["since_release"]) for key in release.last_good] == [("Down", deployed.pk)]
    found = {rule["key"]: rule for rule in effective.effective(position())["rules"]}
    assert found["Down"]["in_force"] == "last_good"
    assert found["Down"]["last_good"]["since_release"] == deployed.pk
    assert found["Down"]["expr"] == "up == 0"
    assert found["Another"]["in_force"] == "current"


def test_a_key_that_only_promtool_refuses_stays_too(deployed: Release, server: PrometheusServer) -> None:
    break_behind_our_back(AlertRule.objects.get(key="Down"), query_template='sort_by_label(up, "instance")')
    rules.create({"name": "Another", "query_template": "up == 1"})
    release = delivered(deploy("test"))
    assert expressions(server) == {"Down": "up == 0", "Another": "up == 1"}
    assert [key["key"] for key in release.last_good] == ["Down"]
    assert "is not enabled" in release.last_good[0]["why"][0]


def test_a_broken_key_that_never_compiled_is_left_out_and_named(server: PrometheusServer) -> None:
    rules.create({"name": "Fine", "query_template": "up == 1"})
    rule = rules.create({"name": "Broken", "query_template": "up == 0"})
    break_behind_our_back(rule, query_template="sum(")
    release = delivered(deploy("test"))
    assert loaded_names(server) == {"Fine"}
    assert [(key["key"], key["since_release"]) for key in release.last_good] == [("Broken", None)]


def test_the_recording_that_a_kept_rule_reads_is_kept_with_it(server: PrometheusServer) -> None:
    rules.create({"kind": "recording", "name": "job:up:sum", "query_template": "sum by (job, environment) (up)"})
    reader = rules.create({"name": "Few", "query_template": "job:up:sum < 1"})
    delivered(deploy("test"))
    recording = AlertRule.objects.get(key="job:up:sum")
    break_behind_our_back(reader, query_template="sum(")
    rules.update(recording.pk, {"query_template": "count by (job, environment) (up)"})
    release = delivered(deploy("test"))
    assert expressions(server)["job:up:sum"] == "sum by (job, environment) (up)"
    assert {key["key"] for key in release.last_good} == {"Few", "job:up:sum"}


def test_a_mended_key_is_current_again(deployed: Release, server: PrometheusServer) -> None:
    rule = AlertRule.objects.get(key="Down")
    break_behind_our_back(rule, query_template="sum(")
    rules.create({"name": "Another", "query_template": "up == 1"})
    delivered(deploy("test"))
    rules.update(rule.pk, {"query_template": "up < 1"})
    release = delivered(deploy("test"))
    assert release.last_good == []
    assert expressions(server)["Down"] == "up < 1"
