"""What the world sees of alerts: Alertmanager's answers, polled, and everything Prometheus ever sends."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from tests.promise.fleet import Labels
from tests.servers.alertmanager import AlertmanagerServer
from tests.servers.loopback import HttpServer


@dataclass
class Changes:
    """How often something went from the view, and came."""

    went: int = 0
    came: int = 0
    at: list[str] = field(default_factory=list)

    def note(self, came: bool, when: float) -> None:
        self.came += came
        self.went += not came
        self.at.append(f"{'+' if came else '-'}{when:.1f}s")

    def __str__(self) -> str:
        return f"-{self.went} +{self.came} ({' '.join(self.at)})" if self.at else "none"


def changes(history: Iterable[tuple[float, bool]], since: float) -> Changes:
    """The changes in a history of (when, whether there); what came before `since` only says how it began."""
    found = Changes()
    there: bool | None = None
    for when, now in history:
        if when >= since and there is not None and now != there:
            found.note(now, when - since)
        there = now
    return found


class AlertmanagerView:
    """Asks Alertmanager for its active alerts several times a second, in a thread of its own."""

    def __init__(self, alertmanager: AlertmanagerServer, every: float = 0.2) -> None:
        self._alertmanager = alertmanager
        self._every = every
        self._stop = threading.Event()
        self.polls: list[tuple[float, frozenset[Labels]]] = []
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.is_set():
            alerts = self._alertmanager.alerts()
            self.polls.append((time.monotonic(), frozenset(frozenset(alert["labels"].items()) for alert in alerts)))
            self._stop.wait(self._every)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)

    @property
    def now(self) -> frozenset[Labels]:
        return self.polls[-1][1] if self.polls else frozenset()

    def seen(self, since: float) -> set[Labels]:
        """All alerts in view since then, and those in view just before."""
        before = [alerts for when, alerts in self.polls if when < since][-1:]
        return set().union(*before, *(alerts for when, alerts in self.polls if when >= since))

    def of(self, alert: Labels, since: float) -> Changes:
        return changes(((when, alert in alerts) for when, alerts in self.polls), since)

    def of_any(self, picked: Callable[[Labels], bool], since: float) -> Changes:
        """The changes of whether any of these is in view."""
        return changes(((when, any(map(picked, alerts))) for when, alerts in self.polls), since)


class SentAlerts(HttpServer):
    """Stands beside Alertmanager and keeps every alert Prometheus sends, with its state when it was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, Labels, bool]] = []
        super().__init__()

    def answer(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        now = datetime.now(UTC)
        for alert in json.loads(body) if body else ():
            ends = datetime.fromisoformat(alert["endsAt"].replace("Z", "+00:00"))
            self.sent.append((time.monotonic(), frozenset(alert["labels"].items()), ends > now))
        return 200, "application/json", b"{}"

    def longest_silence(self, since: float) -> float:
        """Seconds in which nothing at all was sent."""
        times = [since, *(when for when, _, _ in self.sent if when > since)]
        return max((after - before for before, after in pairwise(times)), default=0.0)

    def of(self, alert: Labels, since: float) -> Changes:
        """From firing to resolved, and back."""
        return changes(((when, firing) for when, labels, firing in self.sent if labels == alert), since)


def active_since(alerts: Iterable[Mapping[str, Any]]) -> dict[Labels, str]:
    """When each of Prometheus' alerts became active."""
    return {frozenset(alert["labels"].items()): alert["activeAt"] for alert in alerts}
