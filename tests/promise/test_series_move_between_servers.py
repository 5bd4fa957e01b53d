"""What Alertmanager sees of two servers that send to it: nothing of an edit, and of moved series what their labels say.

Two servers that hold an alert send it under the same labels, so that a pair counts once. When one of them lets go of
series, it goes on telling Alertmanager for 15 minutes that their alerts are resolved: an external label that says
which part of the fleet a server holds keeps that apart from what the other one says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from alerts.actions import tokens
from tests.promise.alert_views import AlertmanagerView, Changes, active_since
from tests.promise.fleet import Labels
from tests.promise.several import SeveralServers
from tests.promise.sites import Site
from tests.servers.alertmanager import AlertmanagerServer
from tests.servers.loopback import Exporter
from tests.servers.processes import eventually
from tests.servers.prometheus import PrometheusServer

CALM = 2.0
FORGOTTEN = 4.5
"""Seconds after which Alertmanager has forgotten what nobody sends any more (four evaluations, and a bit)."""

LABEL = "part"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@dataclass
class Scene:
    """Two consolidated servers and what Alertmanager shows of their alerts, without their own label."""

    plane: SeveralServers
    view: AlertmanagerView
    told_apart: bool
    figures: list[str] = field(default_factory=list)

    def wanted(self) -> frozenset[Labels]:
        found: set[Labels] = set()
        for said in self.plane.predictions():
            assert said.site is not None
            own = {(LABEL, said.site.name)} if self.told_apart else set()
            found |= {alert | own for alerts, _ in said.by_host.values() for alert in alerts}
        return frozenset(found)

    def settle(self, what: str) -> None:
        start = time.monotonic()
        wanted = self.wanted()

        def shown() -> bool:
            now = time.monotonic()
            recent = {alerts for when, alerts in self.view.polls if when > max(start, now - CALM)}
            missing, extra = wanted - self.view.now, self.view.now - wanted
            assert recent == {wanted}, (
                f"missing {sorted(map(sorted, missing))[:3]}, extra {sorted(map(sorted, extra))[:3]}"
            )
            return now > start + FORGOTTEN

        eventually(shown, timeout=45, every=0.2, what=f"calm after {what}")

    def during(self, what: str, edit: Callable[[], object], *, watch: float = 0) -> dict[Labels, Changes]:
        """The changes of every alert by its identity. ``watch``: so many seconds, instead of until it is calm."""
        start = time.monotonic()
        edit()
        if watch:
            time.sleep(watch)
        else:
            self.settle(what)
        found = {alert: self.view.of(alert, start) for alert in self.view.seen(start)}
        changed = [changes for changes in found.values() if changes.at]
        self.figures += [f"{what}: {len(found)} identities, {len(changed)} change", *sorted(map(str, changed))[-3:]]
        print("\n  ".join(self.figures))
        return found

    def active(self) -> dict[str, dict[Labels, str]]:
        return {name: active_since(site.prometheus.alerts()) for name, site in self.plane.sites.items()}


@pytest.fixture
def start_scene(
    db: None,
    settings: Any,
    tmp_path: Path,
    promtool: Path,
    start_prometheus: Callable[..., PrometheusServer],
    start_alertmanager: Callable[..., AlertmanagerServer],
) -> Iterator[Callable[..., Scene]]:
    exporters: list[Exporter] = []
    views: list[AlertmanagerView] = []
    settings.PROMETHEUS_RULE_ROOTS = (str(tmp_path / "servers"),)
    settings.PROMTOOL_PATH = str(promtool)

    def start(*, told_apart: bool, scrapes_all: bool, west: list[str]) -> Scene:
        alertmanager = start_alertmanager()

        def site(name: str, values: list[str]) -> Site:
            exporters.append(exporter := Exporter())
            (tmp_path / "servers" / name).mkdir(parents=True)
            server = start_prometheus(
                rule_dir=tmp_path / "servers" / name,
                scrape={"fleet": exporter.address},
                alertmanagers=[alertmanager.address],
                resend_delay="500ms",
                external_labels={LABEL: name} if told_apart else {},
            )
            return Site(name, server, exporter, "consolidated", {"environment": values}, scrapes_all)

        sites = [site("east", ["production", "staging"]), site("west", west)]
        plane = SeveralServers(tokens.create("tester", "admin")[0], settings, sites)
        default = plane.call("GET", "prometheus-servers?name=default")["results"][0]["id"]
        plane.call("PATCH", f"prometheus-servers/{default}", {"enabled": False})
        plane.settle_in()
        for one in sites:
            plane.join(one)
        plane.rule(name="DiskFull", query_template="disk > {{ .t }}", t=1)
        plane.deploy()
        views.append(AlertmanagerView(alertmanager))
        scene = Scene(plane, views[-1], told_apart)
        scene.settle("the beginning")
        return scene

    yield start
    for view in views:
        view.stop()
    for exporter in exporters:
        exporter.stop()


def staging_goes_west(scene: Scene) -> None:
    scene.plane.select("west", {"environment": ["", "staging"]})
    scene.plane.select("east", {"environment": ["production"]})
    scene.plane.deploy()


def in_staging(alert: Labels) -> bool:
    return ("environment", "staging") in alert


def seen(found: dict[Labels, Changes]) -> dict[Labels, Changes]:
    return {alert: changes for alert, changes in found.items() if changes.at}


def test_an_edit_is_not_seen_nor_that_a_second_server_holds_the_same(start_scene: Callable[..., Scene]) -> None:
    scene = start_scene(told_apart=False, scrapes_all=False, west=["", "staging"])
    plane = scene.plane
    before = scene.active()
    assert any(map(in_staging, before["east"]))
    assert any(map(in_staging, before["west"]))
    (rule,) = plane.call("GET", "alert-rules")["results"]

    def edit() -> None:
        plane.call("PATCH", f"alert-rules/{rule['id']}", {"variables": [{"name": "t", "type": "number", "default": 2}]})
        plane.rule("group", "production", key="DiskFull", config={"template_vars": {"t": 4}})
        assert plane.deploy()

    first = scene.view.now
    changed = seen(scene.during("an edit of thresholds", edit))
    assert first - scene.view.now, "some alerts end with it"
    assert changed.keys() == first - scene.view.now
    assert all((changes.went, changes.came) == (1, 0) for changes in changed.values())
    kept = {name: held.keys() & before[name].keys() for name, held in scene.active().items()}
    assert all(scene.active()[name][alert] == before[name][alert] for name, alerts in kept.items() for alert in alerts)

    def pair() -> None:
        plane.select("west", {"environment": ["", "staging", "production"]})
        assert plane.deploy()

    assert not seen(scene.during("a second server holds production, too", pair))


@pytest.mark.parametrize("scrapes_all", [False, True], ids=["series-move", "only-the-selector-moves"])
def test_servers_told_apart_by_a_label_hand_alerts_over_once_each_way(
    start_scene: Callable[..., Scene], scrapes_all: bool
) -> None:
    scene = start_scene(told_apart=True, scrapes_all=scrapes_all, west=[""])
    moved = {alert for alert in scene.view.now if in_staging(alert)}
    found = scene.during("staging goes west", lambda: staging_goes_west(scene))
    gone = {alert for alert, changes in found.items() if (changes.went, changes.came) == (1, 0)}
    assert gone == moved
    come = {alert for alert in scene.view.now if in_staging(alert)}
    assert come == {alert - {(LABEL, "east")} | {(LABEL, "west")} for alert in moved}
    assert all((changes.went, changes.came) in ((0, 0), (0, 1)) for alert, changes in found.items() if alert in come)
    assert seen(found).keys() <= gone | come


@pytest.mark.full
@pytest.mark.parametrize("scrapes_all", [False, True], ids=["series-move", "only-the-selector-moves"])
def test_servers_that_say_the_same_of_moved_series_contradict_each_other(
    start_scene: Callable[..., Scene], scrapes_all: bool
) -> None:
    """Not what anybody wants, but what the documents warn of."""
    scene = start_scene(told_apart=False, scrapes_all=scrapes_all, west=[""])
    found = seen(scene.during("staging goes west", lambda: staging_goes_west(scene), watch=32))
    assert found
    assert all(in_staging(alert) and changes.went > 1 for alert, changes in found.items())
