"""``/metrics`` in Prometheus' text format: our own figures, and this process."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from alerts.actions.figures import figures


class Figures(Collector):
    def collect(self) -> Iterator[Metric]:
        for figure in figures():
            family = GaugeMetricFamily(figure.name, figure.help, labels=figure.labels)
            for values, number in figure.samples.items():
                family.add_metric(values, number)
            yield family

    def describe(self) -> Iterator[Metric]:
        """Nothing is asked of the database before the first scrape."""
        return iter(())


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(Figures())
    return registry


REGISTRY = _registry()


def exposition() -> bytes:
    return generate_latest(REGISTRY)
