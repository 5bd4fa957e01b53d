"""The control plane as a user has it: written by the API, deployed to a real Prometheus."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client

from alerts.actions.deploy import deploy
from alerts.domain.layout import Layout
from tests.promise.fleet import GROUPS, Watched, exposed, fleet
from tests.promise.sites import Site
from tests.servers.loopback import Exporter
from tests.servers.prometheus import PrometheusServer


class Refused(Exception):
    """The API refused a write: 400 or 409."""


class Plane:
    """``ids`` of namespaces, groups (by label value) and targets (by host), and what the exporter shows."""

    def __init__(self, token: str, settings: Any, prometheus: PrometheusServer, exporter: Exporter) -> None:
        self.prometheus = prometheus
        self.exporter = exporter
        self.watched = {one.host: one for one in fleet()}
        self.ids: dict[tuple[str, str], int] = {}
        self._client = Client(headers={"Authorization": f"Bearer {token}"})
        self._settings = settings

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON; Refused for 400 and 409; anything else that is no success fails the test."""
        data = b"" if body is None else json.dumps(body).encode()
        answer = self._client.generic(method, f"/api/v1/{path}", data, content_type="application/json")
        if answer.status_code in (400, 409):
            raise Refused(f"{method} {path} {body}: {answer.content.decode()}")
        assert answer.status_code < 300, (method, path, body, answer.status_code, answer.content)
        return json.loads(answer.content) if answer.content else None

    def settle_in(self) -> None:
        """Groups, targets, and their series."""
        for namespace in self.call("GET", "namespaces")["results"]:
            self.ids["namespace", namespace["name"]] = namespace["id"]
        for namespace, groups in GROUPS.items():
            for value, parent in groups.items():
                body = {"name": value, "namespace": self.ids["namespace", namespace]}
                body["parent"] = self.ids["group", parent] if parent else None
                self.ids["group", value] = self.call("POST", "groups", body)["id"]
        for one in self.watched.values():
            if one.known:
                self.add(one)
        self.show()

    def add(self, one: Watched) -> None:
        """Makes a target of it."""
        self.watched[one.host] = one
        body = {"hostname": one.host, "groups": self._group_ids(one)}
        self.ids["target", one.host] = self.call("POST", "targets", body)["id"]

    def move(self, host: str, position: dict[str, str]) -> None:
        """Into other groups; its series change with it, as they would by service discovery."""
        one = self.watched[host]
        one.position = position
        self.call("PATCH", f"targets/{self.ids['target', host]}", {"groups": self._group_ids(one)})
        self.show()

    def rename(self, host: str, name: str) -> None:
        """Another hostname, and so another target label."""
        self.call("PATCH", f"targets/{self.ids['target', host]}", {"hostname": name})
        one = self.watched.pop(host)
        one.host = name
        self.watched[name] = one
        self.ids["target", name] = self.ids.pop(("target", host))
        self.show()

    def _group_ids(self, one: Watched) -> list[int]:
        return [self.ids["group", value] for value in one.position.values() if value]

    def show(self) -> None:
        self.exporter.replace(exposed(self.watched))

    def scope(self, level: str = "global", name: str = "") -> dict[str, int]:
        """The fields of a rule that put it there."""
        return {} if level == "global" else {f"{level}_id": self.ids[level, name]}

    def rule(self, level: str = "global", place: str = "", **fields: Any) -> int:
        """Writes an alert rule; ``t=5`` declares the threshold with this default."""
        if "t" in fields:
            fields["variables"] = [{"name": "t", "type": "number", "default": fields.pop("t")}]
        found: int = self.call("POST", "alert-rules", {**self.scope(level, place), **fields})["id"]
        return found

    def use_layout(self, layout: Layout) -> None:
        self._settings.PROMETHEUS_RULE_LAYOUT = layout

    def deploy(self) -> bool:
        """Brings it to Prometheus; whether anything changed there."""
        outcome = deploy("test")
        assert outcome.release is not None
        assert outcome.good, (outcome.release.state, outcome.release.errors)
        assert outcome.release.warnings == [], outcome.release.warnings
        return outcome.changed

    def effective(self, host: str, site: Site | None = None) -> dict[str, Any]:
        """``site``: as told of this one of several servers."""
        asked = f"?server={site.name}" if site else ""
        found: dict[str, Any] = self.call("GET", f"targets/{self.ids['target', host]}/alert-rules/effective{asked}")
        assert found["in_sync"] or (site and not found["servers"]), "asked before the deploy"
        return found
