"""A control plane, a Prometheus and a fleet, for one test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from alerts.actions import policy, tokens
from alerts.domain.layout import Layout
from tests.promise.plane import Plane
from tests.servers.binaries import PrometheusBinaries
from tests.servers.loopback import Exporter
from tests.servers.prometheus import PrometheusServer


@pytest.fixture(autouse=True)
def fresh_policy() -> Iterator[None]:
    """Rolled-back tests leave the revision where it was, with other rows under it."""
    policy.forget()
    yield
    policy.forget()


@pytest.fixture
def start_plane(
    db: None,
    settings: Any,
    rule_dir: Path,
    prometheus_version: str,
    prometheus_binaries: dict[str, PrometheusBinaries],
    start_prometheus: Callable[..., PrometheusServer],
    exporter: Exporter,
) -> Callable[..., Plane]:
    """start_plane(layout, interval="500ms", alertmanagers=[…]): its API, its Prometheus and its exporter."""

    def start(layout: Layout, **options: Any) -> Plane:
        prometheus = start_prometheus(
            version=prometheus_version, rule_dir=rule_dir, scrape={"fleet": exporter.address}, **options
        )
        settings.PROMETHEUS_URL = prometheus.url
        settings.PROMTOOL_PATH = str(prometheus_binaries[prometheus_version].promtool)
        plane = Plane(tokens.create("tester", "admin")[0], settings, prometheus, exporter)
        plane.use_layout(layout)
        plane.settle_in()
        return plane

    return start
