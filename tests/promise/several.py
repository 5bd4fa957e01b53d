"""A control plane over several servers, each with its own part of the fleet; one may be fed by a real agent."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from django.test import Client

from alerts.actions import policy
from alerts.actions.deploy import deploy
from alerts.domain.layout import Layout
from tests.promise.fleet import Watched, exposed
from tests.promise.plane import Plane
from tests.promise.predictions import Predictions
from tests.promise.queries import Query
from tests.promise.sites import Site
from tests.servers.processes import eventually

SPLIT = "needs_several_servers"


class SeveralServers(Plane):
    """Its rules and targets are those of a plane with one server; series show where they are scraped.

    ``split``: keys of which a deploy said that each server counts for itself.
    """

    def __init__(self, token: str, settings: Any, sites: Sequence[Site], door: Door | None = None) -> None:
        super().__init__(token, settings, sites[0].prometheus, sites[0].exporter)
        self.sites = {site.name: site for site in sites}
        self.door = door
        self.split: set[str] = set()
        self._turn = 0

    def join(self, site: Site, **fields: Any) -> None:
        """Makes a server of it."""
        body = {"name": site.name, "url": site.prometheus.url, "layout": site.layout, "selector": site.selector}
        site.row_id = self.call("POST", "prometheus-servers", {**body, **fields})["id"]

    def select(self, name: str, selector: dict[str, Any]) -> None:
        """Gives a server another part of the fleet; its series follow, where servers scrape only their own."""
        site = self.sites[name]
        self.call("PATCH", f"prometheus-servers/{site.row_id}", {"selector": selector})
        site.selector = selector
        self.show()

    def use_layout(self, layout: Layout) -> None:
        """One server after the other gets it."""
        site = list(self.sites.values())[self._turn % len(self.sites)]
        self._turn += 1
        self.call("PATCH", f"prometheus-servers/{site.row_id}", {"layout": layout})
        site.layout = layout

    def show(self) -> None:
        topology = policy.load().topology
        for site in self.sites.values():
            held = [one for one in self.watched.values() if site.scrapes_all or site.holds(topology, one.own)]
            site.exporter.replace(exposed({one.host: one for one in held}))

    def holding(self, one: Watched) -> list[str]:
        """The servers whose selector means this place."""
        topology = policy.load().topology
        return sorted(name for name, site in self.sites.items() if site.holds(topology, one.own))

    def deploy(self) -> bool:
        """Brings it to every server; whether anything changed anywhere."""
        self.show()  # groups may have moved
        changed = [self.deploy_to(name) for name in self.sites]
        return any(changed)

    def deploy_to(self, name: str) -> bool:
        outcome = deploy("test", server=name)
        changed = outcome.changed
        if self.door is not None and self.door.server == name:
            door = self.door

            def reported() -> bool:
                door.serve()
                return deploy("test", server=name).good

            eventually(reported, timeout=60, what="the agent's report")
            outcome = deploy("test", server=name)
        assert outcome.release is not None
        assert outcome.good, (name, outcome.release.state, outcome.release.errors)
        others = [said for said in outcome.release.warnings if said["code"] != SPLIT]
        assert others == [], others
        self.split |= {said["key"] for said in outcome.release.warnings}
        return changed

    def predictions(self, also: Sequence[Query] = ()) -> list[Predictions]:
        """What each server is to hold, once told apart it is exactly what effective says of the whole."""
        found = [Predictions(self, also, site) for site in self.sites.values()]
        for one in self.watched.values():
            if one.known:
                self._compare_union(one.host, {said.site.name: said.rules[one.host] for said in found if said.site})
        return found

    def _compare_union(self, host: str, told: Mapping[str, list[dict[str, Any]]]) -> None:
        """Of the whole, each rule is told once, with all servers that evaluate it."""
        whole = self.call("GET", f"targets/{self.ids['target', host]}/alert-rules/effective")
        holding = self.holding(self.watched[host])
        assert [server["name"] for server in whole["servers"]] == holding, host
        assert whole["in_sync"] is bool(holding), host
        apart: dict[str, list[dict[str, Any]]] = {name: [] for name in self.sites}
        for rule in whole["rules"]:
            for name in rule["servers"]:
                apart[name].append({**rule, "servers": [name]})
        for name, rules in told.items():
            assert sorted(rules, key=str) == sorted(apart[name], key=str), (host, name)

    def assert_kept(self, what: str, also: Sequence[Query] = ()) -> None:
        """Every server comes to hold exactly its part, and still does after another evaluation."""
        said = self.predictions(also)

        def kept() -> bool:
            for one in said:
                assert one.site is not None
                differences = one.differences()
                shown = "\n  ".join(differences[:12])
                assert not differences, f"{one.site.name} {one.site.selector}, {what}:\n  {shown}"
            return True

        eventually(kept, timeout=30, every=0.2, what=f"agreement ({what})")
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda one: one.prometheus.wait_for_evaluation(), said))
        kept()


class Door:
    """The API for an agent's process. What it asks is answered by the test's own thread, in the test's transaction."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.served = 0
        self._asked: queue.Queue[tuple[BaseHTTPRequestHandler, bytes, threading.Event]] = queue.Queue()
        self._closed = False
        door = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                door._hand_over(self, b"")

            def do_POST(self) -> None:
                door._hand_over(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *_: Any) -> None: ...

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._closed = True
        self._http.shutdown()
        self._http.server_close()

    def _hand_over(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        """Waits as long as the test is busy with something else."""
        done = threading.Event()
        self._asked.put((request, body, done))
        while not done.wait(0.2) and not self._closed:
            pass

    def serve(self) -> None:
        """Answers whoever waits."""
        while True:
            try:
                request, body, done = self._asked.get(timeout=0.05)
            except queue.Empty:
                return
            path = request.path.partition("?wait=")[0]  # a long poll would wait for ourselves
            asked = {
                name: value for name, value in request.headers.items() if name in ("Authorization", "If-None-Match")
            }
            answer = Client(headers=asked).generic(request.command, path, body, content_type="application/json")
            request.send_response(answer.status_code)
            content = answer.content
            for name, value in {**answer.headers, "Content-Length": str(len(content))}.items():
                request.send_header(name, value)
            try:
                request.end_headers()
                request.wfile.write(content)
            except OSError:  # it has given up
                pass
            self.served += 1
            done.set()
