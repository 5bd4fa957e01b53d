"""The promise over several servers: all together evaluate what `effective` says, each its part, once, nobody more."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from alerts.actions import tokens
from tests.promise.queries import READING, RECORDED, RECORDING_BY_TARGET
from tests.promise.selector_edits import FleetEditor
from tests.promise.several import Door, SeveralServers
from tests.promise.sites import Site
from tests.promise.test_effective_is_evaluated import write_policy
from tests.servers.binaries import PrometheusBinaries
from tests.servers.loopback import Exporter
from tests.servers.processes import Process, eventually
from tests.servers.prometheus import PrometheusServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

EUROPE: dict[str, Any] = {"environment": ["eu.1", ""]}
REST: dict[str, Any] = {"environment": {"not_in": ["eu.1", "staging", ""]}}
WEB: dict[str, Any] = {"environment": ["staging"], "logical": {"not_in": ["postgres"]}}
"""What is in staging and in postgres is nobody's."""

scraping = pytest.mark.parametrize("scrapes_all", [False, True], ids=["each-its-own", "all-scrape-all"])


@pytest.fixture
def start_fleet(
    db: None,
    settings: Any,
    tmp_path: Path,
    prometheus_binaries: dict[str, PrometheusBinaries],
    start_prometheus: Callable[..., PrometheusServer],
    run_process: Callable[..., Process],
) -> Iterator[Callable[..., SeveralServers]]:
    """start_fleet(scrapes_all=…, by_agent="west"): three servers, the oldest release among them."""
    exporters: list[Exporter] = []
    doors: list[Door] = []
    settings.PROMETHEUS_RULE_ROOTS = (str(tmp_path / "servers"),)
    settings.PROMTOOL_PATH = str(list(prometheus_binaries.values())[-1].promtool)

    def site(name: str, version: str, layout: str, selector: dict[str, Any], scrapes_all: bool) -> Site:
        exporters.append(exporter := Exporter())
        (tmp_path / "servers" / name).mkdir(parents=True)
        scrape = {"fleet": exporter.address}
        server = start_prometheus(
            version=version, rule_dir=tmp_path / "servers" / name, scrape=scrape, interval="500ms"
        )
        return Site(name, server, exporter, layout, selector, scrapes_all)

    def agent(plane: SeveralServers, site: Site, door: Door) -> None:
        token = tmp_path / "token"
        token.write_text(tokens.create_for_agent(site.name)[0])
        token.chmod(0o600)
        command = [sys.executable, "manage.py", "agent", "--server", door.url, "--token-file", str(token)]
        command += ["--rule-dir", str(tmp_path / "servers" / site.name), "--prometheus", site.prometheus.url]
        run_process([*command, "--promtool", settings.PROMTOOL_PATH, "--wait", "1"], name="agent")

    def start(*, scrapes_all: bool = False, by_agent: str = "", selectors: tuple[Any, ...] = ()) -> SeveralServers:
        versions = list(prometheus_binaries)
        oldest, newest = versions[0], versions[-1]
        kinds = [("east", oldest, "per-scope"), ("north", newest, "consolidated"), ("west", newest, "per-scope")]
        said = selectors or (EUROPE, REST, WEB)
        sites = [site(*kind, selector, scrapes_all) for kind, selector in zip(kinds, said, strict=True)]
        if by_agent:
            doors.append(Door(by_agent))
        plane = SeveralServers(tokens.create("tester", "admin")[0], settings, sites, *doors)
        default = plane.call("GET", "prometheus-servers?name=default")["results"][0]["id"]
        plane.call("PATCH", f"prometheus-servers/{default}", {"enabled": False})
        plane.settle_in()
        for one in sites:
            plane.join(one, delivery="agent" if one.name == by_agent else "directory")
            if one.name == by_agent:
                agent(plane, one, doors[0])
        return plane

    yield start
    for door in doors:
        door.stop()
    for exporter in exporters:
        exporter.stop()


@scraping
def test_together_the_servers_evaluate_what_effective_says(
    start_fleet: Callable[..., SeveralServers], scrapes_all: bool
) -> None:
    plane = start_fleet(scrapes_all=scrapes_all)
    write_policy(plane)
    assert plane.deploy()
    assert "FleetBusy" in plane.split, "a sum over all is not what each server counts"
    said = plane.predictions()
    fired = [sum(sum(alerts.values()) for alerts, _ in one.by_host.values()) for one in said]
    assert min(fired) > 4, f"too little fires to prove anything: {fired}"
    (nobodys,) = (one.host for one in plane.watched.values() if one.known and plane.holding(one) == [])
    assert plane.watched[nobodys].position == {"environment": "staging", "logical": "postgres"}
    plane.assert_kept("as written")

    # Other values, other places, other servers: what one lets go the other one takes over.
    for one in plane.watched.values():
        one.number += 3
    plane.move("host-6", {"environment": "staging", "infrastructure": "rack(1)"})
    plane.select("east", {"environment": [""]})
    plane.select("north", {"environment": {"not_in": ["staging", ""]}})
    plane.select("west", {"environment": {"not_in": [""]}, "logical": {"not_in": ["databases"]}})  # beside north
    plane.deploy()
    assert plane.holding(plane.watched["host-4"]) == ["north", "west"]
    plane.assert_kept("after the selectors moved")


def test_a_server_behind_an_agent_evaluates_its_part(start_fleet: Callable[..., SeveralServers]) -> None:
    plane = start_fleet(by_agent="west")
    write_policy(plane)
    plane.deploy()
    assert plane.door is not None
    assert plane.door.served >= 2
    plane.assert_kept("as written")
    plane.select("west", {"environment": ["staging", "eu.1"]})
    plane.select("east", {"environment": [""]})
    plane.deploy()
    plane.assert_kept("after it got more")


@scraping
def test_a_recording_without_the_servers_label_is_read_where_it_is_made(
    start_fleet: Callable[..., SeveralServers], scrapes_all: bool
) -> None:
    plane = start_fleet(scrapes_all=scrapes_all)
    plane.rule(name=RECORDED, kind="recording", query_template=RECORDING_BY_TARGET.template)
    plane.rule(name="CpuPeak", query_template=READING.template, t=1)
    plane.deploy()
    plane.assert_kept("as written")
    plane.select("east", {"environment": ["eu.1"]})
    plane.select("west", {"environment": ["staging", ""]})
    plane.deploy()
    plane.assert_kept("after a move")

    # One sum for all targets: what each server records and reads is that of its own part.
    plane.rule(name="job:cpu:sum", kind="recording", query_template="sum by (job) (cpu)")
    reading = plane.rule(name="CpuSum", query_template="job:cpu:sum >= 0")
    plane.deploy()
    assert {"job:cpu:sum", "CpuSum"} <= plane.split
    for site in plane.sites.values():
        held = [one for one in plane.watched.values() if site.name in plane.holding(one)]
        total = sum(value for one in held for metric, _, value in one.samples() if metric == "cpu")
        known = next(one.host for one in held if one.known)
        (told,) = (rule for rule in plane.effective(known, site)["rules"] if rule["source"]["rule_id"] == reading)
        assert told["expr"] == "job:cpu:sum >= 0"

        def agreed(site: Site = site, expr: str = told["expr"], total: float = total) -> bool:
            asked = [float(result["value"][1]) for result in site.prometheus.query(expr)]
            fired = [float(one["value"]) for one in site.prometheus.alerts() if one["labels"]["alertname"] == "CpuSum"]
            assert asked == fired == [total]
            return True

        eventually(agreed, what=f"the sum of {site.name}")


def play(plane: SeveralServers, seed: str, rounds: int) -> None:
    """Rounds of: some edits of rules and selectors, a deploy, a comparison on every server."""
    write_policy(plane)
    editor = FleetEditor(plane, seed)
    editor.edit(15)
    for number in range(rounds):
        plane.deploy()
        plane.assert_kept(f"seed {seed}, round {number}:\n  " + "\n  ".join(editor.log[-60:]))
        editor.edit(editor.chance.randrange(2, 7))
    assert len(editor.log) > editor.refused * 2, "most edits should be possible"


@scraping
def test_the_servers_evaluate_what_effective_says_after_random_edits(
    start_fleet: Callable[..., SeveralServers], scrapes_all: bool
) -> None:
    play(start_fleet(scrapes_all=scrapes_all), f"servers {scrapes_all}", rounds=2)


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(2))
@scraping
def test_the_servers_evaluate_what_effective_says_after_many_random_edits(
    start_fleet: Callable[..., SeveralServers], scrapes_all: bool, seed: int
) -> None:
    play(start_fleet(scrapes_all=scrapes_all), f"servers {scrapes_all} many {seed}", rounds=25)
