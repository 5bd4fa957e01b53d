"""Reports that wait for a control plane that is away."""

from __future__ import annotations

import threading
from typing import Any

from alerts.agent.control_plane import Away
from alerts.agent.outbox import Outbox


class AwayAtFirst:
    """A control plane that is away until it is told to come back."""

    def __init__(self) -> None:
        self.asked, self.back = threading.Event(), threading.Event()
        self.heard: list[tuple[Any, str]] = []

    def report(self, report: dict[str, Any]) -> None:
        self.asked.set()
        if not self.back.is_set():
            raise Away("away")
        self.heard.append((report["release"], report["state"]))


def test_what_was_in_place_before_something_else_is_not_told_afterwards() -> None:
    plane = AwayAtFirst()
    outbox = Outbox(plane)  # type: ignore[arg-type]
    for release, state, content in (
        (1, "verified", "a"),
        (2, "rejected", "b"),
        (3, "active", "c"),
        (4, "verified", "d"),
        (5, "failed", "e"),
    ):
        outbox.put({"release": release, "state": state, "content_hash": content})
        plane.asked.wait(5)
    plane.back.set()
    assert outbox.flush(10)
    assert plane.heard == [(2, "rejected"), (4, "verified"), (5, "failed")]
