"""The promise, first half: what `effective` says for a target, Prometheus evaluates there: once, no more, no less."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from alerts.domain.layout import LAYOUTS, Layout
from tests.promise.plane import Plane
from tests.promise.predictions import Predictions
from tests.promise.queries import RECORDED, RECORDING

both_layouts = pytest.mark.parametrize("layout", LAYOUTS)

pytestmark = pytest.mark.slow


def write_policy(plane: Plane) -> None:
    """Overrides, merges, mutes and priorities at all scopes, queries of all kinds."""
    rule = plane.rule
    # Thresholds by scope: one rule joined by `or` where the layout allows it.
    rule(name="CpuHigh", query_template="cpu > {{ .t }}", t=5, severity="warning")
    rule("namespace", "logical", key="CpuHigh", config={"template_vars": {"t": 7}})
    rule("group", "production", key="CpuHigh", config={"template_vars": {"t": 3}})
    rule("group", "eu.1", key="CpuHigh", query_template="sum by (target) (cpu) > {{ .t }}", t=3)
    rule("target", "host-5", key="CpuHigh", enabled=False)
    rule("target", "host-9", key="CpuHigh", config={"labels": {"team": "dba"}, "severity": "critical"})
    # A broad rule that wins over narrower ones, a narrower one that mutes, one that wakes up below a mute.
    rule(name="DiskFull", query_template="disk > {{ .t }}", t=1, config={"annotations": {"summary": "{{ $value }}"}})
    rule("group", "staging", key="DiskFull", query_template="disk > 7", config={"for_duration": "1s"})
    rule("namespace", "infrastructure", key="DiskFull", priority=200, config={"labels": {"via": "rack"}})
    rule("group", "databases", key="DiskFull", enabled=False, priority=150)
    rule("group", "postgres", key="DiskFull", enabled=True, priority=160)
    # Guards without a position, and an author's own matcher.
    rule(
        "namespace",
        "environment",
        name="DiskFilling",
        query_template="disk > {{ .t }} unless on (target) maintenance",
        t=3,
        unscoped=["maintenance"],
    )
    rule("group", "web|api", key="DiskFilling", query_template='cpu{environment!="staging"} > {{ .t }}', t=5)
    rule("group", "rack(1)", name="RackHot", query_template='cpu{core="1"} > {{ .t }}', t=1)
    # Counts over many targets.
    rule(name="FleetBusy", query_template="sum(cpu) > {{ .t }}", t=5)
    rule(
        name="FleetFull",
        query_template="sum by (environment) (disk) > {{ .t }}",
        t=3,
        partition_by=["environment"],
    )
    rule("group", "production", key="FleetFull", config={"template_vars": {"t": 7}})
    rule("group", "databases", name="FleetAbsent", query_template="absent(cpu > 8 + {{ .t }})", t=1)
    # A recording that changes by scope, and alerts that read it.
    rule(name=RECORDED, kind="recording", query_template=RECORDING.template, config={"labels": {"by": "all"}})
    rule("group", "staging", key=RECORDED, kind="recording", config={"labels": {"by": "staging"}})
    rule("target", "host-3", key=RECORDED, kind="recording", enabled=False)
    rule(name="CpuPeak", query_template=f"{RECORDED} > {{{{ .t }}}}", t=5)
    rule("group", "databases", key="CpuPeak", config={"template_vars": {"t": 1}})


@both_layouts
def test_prometheus_holds_for_every_target_what_effective_says(
    start_plane: Callable[..., Plane], layout: Layout
) -> None:
    plane = start_plane(layout, interval="500ms")
    write_policy(plane)
    assert plane.deploy()
    said = Predictions(plane)
    assert sum(sum(alerts.values()) for alerts, _ in said.by_host.values()) > 30, "too little fires to prove anything"
    said.assert_kept("as written")

    # Other values, other places, another name: what should stop does, what should begin does.
    for one in plane.watched.values():
        one.number += 3
    plane.move("host-6", {"environment": "staging", "infrastructure": "rack(1)"})
    plane.rename("host-5", "host-5.example.org")
    plane.deploy()
    Predictions(plane).assert_kept("after other values")
