"""Prometheus servers: what a row may say, and what a change of it means for what was delivered."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from alerts.actions import groups, namespaces, prometheus_servers, servers, tokens
from alerts.actions.errors import Held, InvalidPolicy, PolicyConflict, Taken
from alerts.models import ApiToken, PolicyState, PrometheusServer, Release, ServerState

URL = "http://127.0.0.1:9090"


@pytest.fixture
def root(settings: Any, tmp_path: Path) -> Path:
    folder = tmp_path / "servers"
    folder.mkdir()
    settings.PROMETHEUS_RULE_ROOTS = (str(folder), str(tmp_path / "more"))
    return folder


def make(name: str, **values: Any) -> PrometheusServer:
    return prometheus_servers.create({"name": name, "url": URL, **values})


def refused(values: dict[str, Any]) -> set[tuple[str, str]]:
    """Place and code of every objection to a server like this."""
    before = PolicyState.current()
    with pytest.raises((InvalidPolicy, PolicyConflict)) as error:
        make(**{"name": "new", **values})
    assert PolicyState.current() == before
    return {(finding.pointer, finding.code) for finding in error.value.findings}


@pytest.mark.parametrize("name", ["a", "0", "eu-prod.2_b", "a" * 100])
def test_a_name_that_can_be_a_folder_is_one(db: None, root: Path, name: str) -> None:
    assert servers.spec(make(name).name).rule_dir == root / name


@pytest.mark.parametrize(
    "name", ["", " ", "A", "-a", "a-", ".", "..", "a/b", "a b", "é", "a\n", "a" * 101, "default\n", "_a"]
)
def test_another_name_is_refused(db: None, root: Path, name: str) -> None:
    assert {place for place, _ in refused({"name": name})} == {"/name"}


@pytest.mark.parametrize(
    "given", ["eu", "a/b/c", "./eu", "{root}/eu", "{more}/deep/eu", "a..b", "{root}/../servers/eu"[:6] + "/x"]
)
def test_a_rule_directory_lies_below_a_root(db: None, root: Path, given: str) -> None:
    more = root.parent / "more"
    row = make("eu", rule_dir=given.format(root=root, more=more))
    place = servers.spec_of(row).rule_dir
    assert root in place.parents or more in place.parents


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("..", "rule_dir_invalid"),
        ("../servers/eu", "rule_dir_invalid"),
        ("a/../b", "rule_dir_invalid"),
        ("{root}/../servers/eu", "rule_dir_invalid"),
        (" eu", "rule_dir_invalid"),
        (".", "rule_dir_outside"),
        ("{root}", "rule_dir_outside"),
        ("{root}/", "rule_dir_outside"),
        ("{root}2/eu", "rule_dir_outside"),
        ("/", "rule_dir_outside"),
        ("/etc", "rule_dir_outside"),
        ("escape", "rule_dir_outside"),
        ("escape/eu", "rule_dir_outside"),
        ("circle/eu", "rule_dir_invalid"),
        ("a\0b", "text_invalid"),
        ("a\nb", "text_invalid"),
        ("x" * 501, "too_long"),
        ("x" * 400, "rule_dir_invalid"),
    ],
)
def test_a_rule_directory_elsewhere_is_refused(db: None, root: Path, given: str, code: str) -> None:
    (root / "escape").symlink_to("/tmp")
    (root / "circle").symlink_to(root / "circle")
    assert refused({"rule_dir": given.format(root=root)}) == {("/rule_dir", code)}


@pytest.mark.parametrize("given", ["eu", "eu/", "eu/deep", "./eu/./deep", "{root}/eu", "link", "link/deep"])
def test_no_two_servers_share_a_directory(db: None, root: Path, given: str) -> None:
    (root / "link").symlink_to("eu")
    eu = make("eu")
    assert refused({"rule_dir": given.format(root=root)}) == {("/rule_dir", "rule_dir_taken")}
    assert refused({"rule_dir": "eu/a/b"}) == {("/rule_dir", "rule_dir_taken")}
    prometheus_servers.update(eu.pk, {"enabled": False})
    assert refused({"rule_dir": "eu"}) == {("/rule_dir", "rule_dir_taken")}, "a disabled one still holds its rules"
    other = make("other", rule_dir="europe")
    with pytest.raises(PolicyConflict):
        prometheus_servers.update(other.pk, {"rule_dir": given.format(root=root)})
    prometheus_servers.delete([eu.pk])
    assert make("new", rule_dir=given.format(root=root)).pk
    with pytest.raises(PolicyConflict):
        prometheus_servers.restore([eu.pk])


def test_the_settings_directory_is_the_default_servers(db: None, root: Path, settings: Any) -> None:
    settings.PROMETHEUS_RULE_DIR = root / "default"
    assert refused({"rule_dir": "default"}) == {("/rule_dir", "rule_dir_taken")}
    assert refused({"rule_dir": "default/x"}) == {("/rule_dir", "rule_dir_taken")}


def test_an_agents_directory_is_its_own_business(db: None, root: Path) -> None:
    assert refused({"delivery": "agent", "rule_dir": "x"}) == {("/rule_dir", "not_used")}
    make("one", delivery="agent")
    make("two", delivery="agent")
    make("three", rule_dir="one")


def test_only_the_default_server_may_lack_a_url(db: None, root: Path) -> None:
    assert refused({"url": ""}) == {("/url", "required")}
    default = PrometheusServer.objects.get(name="default")
    assert prometheus_servers.update(default.pk, {"url": URL}).url == URL
    assert prometheus_servers.update(default.pk, {"url": ""}).url == ""


@pytest.mark.parametrize(
    ("selector", "place"),
    [
        ({"nowhere": ["x"]}, "/selector/nowhere"),
        ({"site": ["nowhere"]}, "/selector/site/0"),
        ({"site": []}, "/selector/site"),
        ({"site": "europe"}, "/selector/site"),
        ({"site": {"in": ["europe"]}}, "/selector/site/in"),
        ([], "/selector"),
        (None, "/selector"),
    ],
)
def test_a_selector_names_what_is_there(world: SimpleNamespace, root: Path, selector: Any, place: str) -> None:
    assert {where for where, _ in refused({"selector": selector})} == {place}
    make("eu", selector={"site": ["europe", ""], "stage": {"not_in": ["live"]}})


def test_what_a_selector_is_written_in_stays(world: SimpleNamespace, root: Path) -> None:
    made = namespaces.create({"name": "zone"})
    group = groups.create({"name": "z1", "namespace_id": made.pk})
    eu = make("eu", selector={"zone": ["z1"]})
    with pytest.raises(PolicyConflict):
        namespaces.update(made.pk, {"name": "area"})
    with pytest.raises(Held) as error:
        namespaces.delete([made.pk])
    assert {"type": "prometheus-server", "id": eu.pk, "name": "eu"} in error.value.held_by
    prometheus_servers.delete([eu.pk])
    groups.delete([group.pk])
    assert namespaces.delete([made.pk]) == [made.pk]
    with pytest.raises(InvalidPolicy):
        prometheus_servers.restore([eu.pk])


def test_a_name_is_fixed_and_taken_once(db: None, root: Path) -> None:
    eu = make("eu")
    with pytest.raises(InvalidPolicy) as error:
        prometheus_servers.update(eu.pk, {"name": "us"})
    assert [(finding.code, finding.pointer) for finding in error.value.findings] == [("fixed", "/name")]
    assert prometheus_servers.update(eu.pk, {"name": "eu"}).version == 1
    with pytest.raises(Taken):
        make("eu", rule_dir="elsewhere")


def test_every_write_moves_the_policy_on_so_that_servers_are_looked_at(db: None, root: Path) -> None:
    seen = [PolicyState.current()]

    def moved() -> bool:
        seen.append(PolicyState.current())
        return seen[-1] == seen[-2] + 1

    eu = make("eu")
    assert moved()
    prometheus_servers.update(eu.pk, {"selector": {}, "layout": "consolidated"})
    assert moved()
    prometheus_servers.update(eu.pk, {"enabled": False})
    assert moved()
    prometheus_servers.delete([eu.pk])
    assert moved()
    prometheus_servers.restore([eu.pk])
    assert moved()
    prometheus_servers.update(eu.pk, {"layout": "consolidated"})
    assert not moved(), "nothing was changed"
    assert make_nothing() == seen[-1]


def make_nothing() -> int:
    prometheus_servers.create({"name": "dry", "url": URL}, dry_run=True)
    assert not PrometheusServer.objects.filter(name="dry").exists()
    return PolicyState.current()


def state_with_everything(name: str) -> Release:
    release = Release.objects.create(server=name, revision=1, state="verified")
    ServerState.objects.create(
        name=name,
        loaded_revision=1,
        loaded_release=release,
        pinned_release=release,
        offered_release=release,
        lease_holder="somebody",
        lease_until=timezone.now(),
        lease_epoch=7,
        failures=3,
        last_error={"code": "x", "message": "y"},
        agent_seen_at=timezone.now(),
    )
    return release


@pytest.mark.parametrize("change", [{"url": URL + "/x"}, {"rule_dir": "other"}, {"delivery": "agent"}])
def test_at_another_place_nothing_is_known_to_be_loaded(db: None, root: Path, change: dict[str, Any]) -> None:
    eu = make("eu")
    release = state_with_everything("eu")
    prometheus_servers.update(eu.pk, {"description": "x", "selector": {}, "enabled": False})
    state = ServerState.objects.get(pk="eu")
    assert (state.loaded_release, state.lease_holder) == (release, "somebody")
    prometheus_servers.update(eu.pk, change)
    state = ServerState.objects.get(pk="eu")
    assert (state.loaded_release, state.loaded_revision, state.offered_release) == (None, 0, None)
    assert (state.failures, state.last_error, state.agent_seen_at) == (0, None, None)
    assert (state.lease_holder, state.lease_until, state.lease_epoch) == ("", None, 7), "the old deliverer is stopped"
    assert state.pinned_release == release, "a pin is somebody's word"


def test_a_new_server_inherits_nothing_but_the_epoch_from_a_namesake(db: None, root: Path) -> None:
    prometheus_servers.delete([make("eu").pk])
    state_with_everything("eu")
    make("eu")
    state = ServerState.objects.get(pk="eu")
    assert (state.loaded_release, state.pinned_release, state.lease_epoch) == (None, None, 7)
    assert Release.objects.filter(server="eu").exists(), "what was delivered can still be read"


def test_a_server_can_be_switched_off_whatever_has_become_wrong_with_it(db: None, root: Path, settings: Any) -> None:
    eu = make("eu")
    settings.PROMETHEUS_RULE_ROOTS = (str(root.parent / "new"),)
    PrometheusServer.objects.filter(pk=eu.pk).update(rule_dir=str(root / "eu"))
    assert prometheus_servers.update(eu.pk, {"enabled": False, "description": "old"}).enabled is False
    for change in ({"enabled": True}, {"layout": "consolidated"}):
        with pytest.raises(InvalidPolicy):
            prometheus_servers.update(eu.pk, change)


def test_the_default_server_is_disabled_and_deleted_like_any_other(db: None) -> None:
    default = PrometheusServer.objects.get(name="default")
    prometheus_servers.update(default.pk, {"enabled": False})
    assert servers.enabled() == []
    prometheus_servers.delete([default.pk])
    assert servers.living() == []
    prometheus_servers.restore([default.pk])
    assert [server.name for server in servers.living()] == ["default"]


def test_tokens_go_with_their_purged_server(db: None, root: Path) -> None:
    eu = make("eu", delivery="agent")
    tokens.create_for_agent("eu")
    state_with_everything("eu")
    with pytest.raises(PolicyConflict):
        prometheus_servers.purge([eu.pk])
    prometheus_servers.delete([eu.pk])
    assert ApiToken.objects.count() == 1
    assert prometheus_servers.purge([eu.pk]) == [eu.pk]
    assert not ApiToken.objects.exists()
    assert Release.objects.filter(server="eu").count() == 1


@pytest.mark.parametrize("selector", [{"site": ["mars"]}, {"site": {"not_in": ["mars"]}}])
def test_a_group_that_a_selector_names_is_held_by_its_server(
    world: SimpleNamespace, root: Path, selector: dict[str, Any]
) -> None:
    mars, saturn = (groups.create({"name": name, "namespace_id": world.site.pk}) for name in ("mars", "saturn"))
    server = make("far", selector=selector)
    with pytest.raises(Held) as error:
        groups.delete([mars.pk, saturn.pk])
    assert error.value.held_by == [{"type": "prometheus-server", "id": server.pk, "name": "far"}]
    prometheus_servers.delete([server.pk])
    groups.delete([mars.pk, saturn.pk])
