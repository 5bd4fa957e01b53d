"""The promise, second half: an edit of a firing alert's policy changes Alertmanager's view at most once each way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from alerts.domain.layout import Layout
from tests.promise.alert_views import AlertmanagerView, Changes, SentAlerts, active_since
from tests.promise.fleet import Labels
from tests.promise.plane import Plane
from tests.promise.predictions import Predictions
from tests.promise.subjects import OUTSIDE, SUBJECTS, WATCHED, Subject
from tests.servers.alertmanager import AlertmanagerServer
from tests.servers.processes import eventually

ROUNDS = 3
CALM = 2.0
"""Seconds without change that show that nothing is on its way."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def resend_delay(version: str) -> float:
    """Alertmanager forgets an alert that is not sent again within four of these.

    At every reload 2.x loses sight of its Alertmanagers for up to five seconds, whatever the reload changed. With
    delays as in production nobody notices; here only what the rules do is to be seen.
    """
    return 2.5 if version.startswith("2.") else 0.5


def of(subject: str, host: str) -> Callable[[Labels], bool]:
    return lambda alert: {("subject", subject), ("target", host)} <= alert


@dataclass
class Scene:
    """A plane with its subjects firing in Alertmanager."""

    plane: Plane
    layout: Layout
    view: AlertmanagerView
    sent: SentAlerts
    memory: float
    rules: dict[str, int] = field(default_factory=dict)
    figures: list[str] = field(default_factory=list)
    spoilt: list[str] = field(default_factory=list)
    """Phases in which a scrape failed, as on a busy machine: all series end then, and all alerts go and come back."""

    def settle(self, what: str, forgotten: float) -> None:
        """Returns when Alertmanager shows exactly what is predicted, and Prometheus holds it, to stay.

        That is not before what nobody sends any more is ``forgotten`` (in seconds).
        """
        start = time.monotonic()
        said = Predictions(self.plane, [WATCHED])
        wanted = frozenset(alert for alerts, _ in said.by_host.values() for alert in alerts)

        def shown() -> bool:
            now = time.monotonic()
            recent = {alerts for when, alerts in self.view.polls if when > max(start, now - CALM)}
            missing, extra = wanted - self.view.now, self.view.now - wanted
            assert not missing, f"Alertmanager misses {self._history(missing, start)}"
            assert not extra, f"Alertmanager still has {self._history(extra, start)}"
            return now > start + forgotten and recent == {wanted} and not said.differences()

        eventually(shown, timeout=45, every=0.3, what=f"calm after {what}")

    def _history(self, alerts: Iterable[Labels], start: float) -> str:
        """What became of these, in words."""
        return "; ".join(
            f"{sorted(alert)}: view {self.view.of(alert, start)}, sent {self.sent.of(alert, start)}" for alert in alerts
        )

    def during(self, what: str, edit: Callable[[], None]) -> dict[str, Seen]:
        """Does and deploys something, waits for calm, and tells what was seen of each subject."""
        before = active_since(self.plane.prometheus.alerts())
        start = time.monotonic()
        edit()
        self.plane.deploy()
        self.settle(what, self.memory)
        seconds = int(time.monotonic() - start) + 1
        if self.plane.prometheus.query(f"min_over_time(up[{seconds}s]) == 0"):
            self.spoilt.append(what)
            self.figures.append(f"{what}: a scrape failed")
        self.figures.append(f"{what}: the longest silence was {self.sent.longest_silence(start):.1f} s")
        after = active_since(self.plane.prometheus.alerts())
        return {subject.name: self._seen(what, subject, start, before, after) for subject in SUBJECTS}

    def through(self, phases: Mapping[str, Callable[[], None]]) -> dict[str, dict[str, Seen]]:
        """What was seen in each phase; the last one ends as the first began, so spoilt ones can be seen again."""
        for _ in range(ROUNDS):
            self.figures.clear()
            self.spoilt.clear()
            seen = {what: self.during(what, edit) for what, edit in phases.items()}
            if not self.spoilt:
                break
        return seen

    def _seen(
        self, what: str, subject: Subject, start: float, before: dict[Labels, str], after: dict[Labels, str]
    ) -> Seen:
        picked = of(subject.name, subject.host)
        alerts = [alert for alert in self.view.seen(start) if picked(alert)]
        kept = [before.get(alert) == after.get(alert) for alert in alerts]
        elsewhere = of(subject.name, OUTSIDE) if subject.is_local else lambda alert: False
        outside = [alert for alert in self.view.seen(start) if elsewhere(alert)]
        seen = Seen(
            identities={alert: self.view.of(alert, start) for alert in alerts},
            sent={alert: self.sent.of(alert, start) for alert in alerts},
            any=self.view.of_any(picked, start),
            outside=[self.view.of(alert, start) for alert in outside],
            active_since_kept=all(kept),
        )
        self.figures.append(f"{what:28} {subject.name:12} {seen}")
        return seen


@dataclass(frozen=True)
class Seen:
    """What was seen of one target's alert: each identity in Alertmanager and as sent, and whether there was any."""

    identities: dict[Labels, Changes]
    sent: dict[Labels, Changes]
    any: Changes
    outside: list[Changes]
    active_since_kept: bool

    def __str__(self) -> str:
        total = [
            sum(changes.went for changes in self.identities.values()),
            sum(c.came for c in self.identities.values()),
        ]
        sent = [sum(changes.went for changes in self.sent.values()), sum(c.came for c in self.sent.values())]
        return (
            f"identities -{total[0]} +{total[1]}, as a whole {self.any}, sent resolved {sent[0]} refired {sent[1]}, "
            f"activeAt {'kept' if self.active_since_kept else 'new'}"
        )

    @property
    def is_at_most_once_each_way(self) -> bool:
        every = [*self.identities.values(), *self.sent.values(), self.any]
        return all(changes.went <= 1 and changes.came <= 1 for changes in every)

    @property
    def is_silent(self) -> bool:
        every = [*self.identities.values(), *self.sent.values()]
        return bool(self.identities) and self.active_since_kept and not any(c.went or c.came for c in every)


@pytest.fixture
def start_scene(
    start_plane: Callable[..., Plane],
    start_alertmanager: Callable[..., AlertmanagerServer],
    prometheus_version: str,
) -> Iterator[Callable[[Layout], Scene]]:
    sent = SentAlerts()
    views: list[AlertmanagerView] = []

    def start(layout: Layout) -> Scene:
        alertmanager = start_alertmanager()
        delay = resend_delay(prometheus_version)
        listeners = [alertmanager.address, sent.address]
        plane = start_plane(layout, alertmanagers=listeners, resend_delay=f"{delay * 1000:g}ms")
        views.append(AlertmanagerView(alertmanager))
        scene = Scene(plane, layout, views[0], sent, memory=4 * max(delay, 1) + 0.5)
        for subject in SUBJECTS:
            subject.begin(plane, scene.rules)
        plane.deploy()
        scene.settle("the beginning", forgotten=0)
        return scene

    yield start
    for view in views:
        view.stop()
    sent.stop()


def edit_all(scene: Scene) -> None:
    for subject in SUBJECTS:
        subject.edit(scene.plane, scene.rules)


def undo_all(scene: Scene) -> None:
    for subject in SUBJECTS:
        subject.undo(scene.plane, scene.rules)


def judge(scene: Scene, phases: dict[str, dict[str, Seen]]) -> None:
    figures = "\n".join(["", *scene.figures])
    print(figures)
    for what, phase in phases.items():
        for subject in SUBJECTS:
            seen = phase[subject.name]
            assert seen.is_at_most_once_each_way, f"{what} {subject.name}: flapped: {seen}{figures}"
            if what in ("edit", "undo"):
                assert all(not changes.at for changes in seen.outside), (
                    f"{what} {subject.name}: felt elsewhere{figures}"
                )
                if scene.layout in subject.silent:
                    assert seen.is_silent, f"{what} {subject.name}: noticed: {seen}{figures}"


def test_an_edit_and_a_change_of_layout_change_alertmanagers_view_once_each_way(
    start_scene: Callable[[Layout], Scene],
) -> None:
    scene = start_scene("per-scope")
    phases = {
        "edit": lambda: edit_all(scene),
        "consolidate": lambda: scene.plane.use_layout("consolidated"),
        "put back": lambda: scene.plane.use_layout("per-scope"),
        "undo": lambda: undo_all(scene),
    }
    judge(scene, scene.through(phases))


def test_a_consolidated_rule_hands_its_alerts_over_without_a_trace(start_scene: Callable[[Layout], Scene]) -> None:
    scene = start_scene("consolidated")
    judge(scene, scene.through({"edit": lambda: edit_all(scene), "undo": lambda: undo_all(scene)}))
