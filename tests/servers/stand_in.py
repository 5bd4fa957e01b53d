"""A stand-in where twenty Prometheus would be too heavy: speaks the little of its API that deliveries use, over HTTP.

It really loads the files it is told to, at a reload and not before, so what it shows is what lies there. A reload takes
``reload_time``. ``mode`` makes it misbehave in ways a real one cannot be made to.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from alerts.domain.durations import parse_duration
from tests.servers.loopback import HttpServer
from tests.servers.processes import eventually

Mode = Literal["well", "hangs", "garbage"]
GARBAGE = b"<html>\xff\x00 this is no Prometheus {]"
HANGS_FOR = 30.0


class StandIn(HttpServer):
    """``reads_at``: where the files of ``rule_dir`` are reached from here, if not there."""

    def __init__(self, rule_dir: Path, *, reload_time: float = 0.0, reads_at: Path | None = None) -> None:
        self.rule_dir = rule_dir
        self.reads_at = reads_at or rule_dir
        self.reload_time = reload_time
        self.mode: Mode = "well"
        self.reloads: list[float] = []
        self.refusals = 0
        self.groups: list[dict[str, Any]] = []
        self._config_ok = True
        self._over = threading.Event()
        self._one_at_a_time = threading.Lock()
        super().__init__()

    def queries(self) -> dict[str, str]:
        return {rule["name"]: rule["query"] for group in self.groups for rule in group["rules"]}

    def await_query(self, query: str, timeout: float = 60) -> None:
        eventually(lambda: query in self.queries().values(), timeout=timeout, what=f"{query}, not {self.queries()}")

    def stop(self) -> None:
        self._over.set()
        super().stop()

    def answer(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        if self.mode == "hangs":
            self._over.wait(HANGS_FOR)
            return 503, "text/plain", b""
        if self.mode == "garbage":
            return 200, "text/html", GARBAGE
        route = path.partition("?")[0]
        if route == "/-/reload":
            return self._reload()
        if route == "/-/ready":
            return 200, "text/plain", b"Prometheus Server is Ready.\n"
        if route == "/metrics":
            return 200, "text/plain; version=0.0.4", b""
        pages: Mapping[str, Any] = {
            "/api/v1/status/buildinfo": {"version": "2.45.0"},  # one that cannot filter: all rules are read back
            "/api/v1/status/runtimeinfo": {"reloadConfigSuccess": self._config_ok, "lastConfigTime": _stamp()},
            "/api/v1/rules": {"groups": self.groups},
            "/api/v1/alerts": {"alerts": []},
        }
        if route not in pages:
            return 404, "text/plain", b"404 page not found\n"
        return 200, "application/json", json.dumps({"status": "success", "data": pages[route]}).encode()

    def _reload(self) -> tuple[int, str, bytes]:
        with self._one_at_a_time:
            time.sleep(self.reload_time)
            try:
                groups = [
                    group for file in sorted((self.reads_at / "current").glob("*.yml")) for group in self._of(file)
                ]
            except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
                self._config_ok = False
                self.refusals += 1
                return 500, "text/plain", f"failed to reload config: {error}".encode()
            self.groups, self._config_ok = groups, True
            self.reloads.append(time.monotonic())
            return 200, "text/plain", b""

    def _of(self, file: Path) -> list[dict[str, Any]]:
        shown = str(self.rule_dir / "current" / file.name)
        groups = (yaml.safe_load(file.read_text()) or {}).get("groups") or []
        return [
            {
                "name": group["name"],
                "file": shown,
                "interval": _seconds(group.get("interval", "1m")),
                "rules": [_rule(rule) for rule in group["rules"]],
            }
            for group in groups
        ]


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    shown = {"query": rule["expr"], "labels": rule.get("labels", {}), "health": "ok"}
    if "record" in rule:
        return {"type": "recording", "name": rule["record"], **shown}
    alerting = {
        "type": "alerting",
        "name": rule["alert"],
        "annotations": rule.get("annotations", {}),
        "state": "inactive",
    }
    times = {"duration": _seconds(rule.get("for", "0s")), "keepFiringFor": _seconds(rule.get("keep_firing_for", "0s"))}
    return {**alerting, **shown, **times}


def _seconds(text: str) -> float:
    return parse_duration(text) / 1000


def _stamp() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
