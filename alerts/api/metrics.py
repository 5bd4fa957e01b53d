"""``/metrics`` in Prometheus' text format: the fleet's figures, and those of this web server's processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from alerts.actions.figures import Figure, figures
from alerts.api import http_metrics


class Figures(Collector):
    def collect(self) -> Iterator[Metric]:
        for figure in figures():
            yield _family(figure)

    def describe(self) -> Iterator[Metric]:
        """Nothing is asked of the database before the first scrape."""
        return iter(())


def _family(figure: Figure) -> Metric:
    if figure.kind == "histogram":
        histogram = HistogramMetricFamily(figure.name, figure.help, labels=figure.labels)
        for values, (buckets, total) in figure.histograms.items():
            histogram.add_metric(values, buckets, total)
        return histogram
    if figure.kind == "summary":
        summary = SummaryMetricFamily(figure.name, figure.help, labels=figure.labels)
        for values, (count, total) in figure.summaries.items():
            summary.add_metric(values, int(count), total)
        return summary
    kind = CounterMetricFamily if figure.kind == "counter" else GaugeMetricFamily
    family = kind(figure.name, figure.help, labels=figure.labels)
    for values, number in figure.samples.items():
        family.add_metric(values, number)
    return family


class Processes(Collector):
    """The usual ``process_*`` of a web server: the sum over its processes, so that any of them says the same."""

    LEAST = frozenset(("process_start_time_seconds", "process_max_fds"))

    def collect(self) -> Iterator[Metric]:
        found: dict[str, Metric] = {}
        for pid in _web_processes():
            for family in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
                known = found.setdefault(family.name, family)
                if known is not family:
                    self._add(known, family)
        yield from found.values()

    def _add(self, known: Metric, family: Metric) -> None:
        both = zip(known.samples, family.samples, strict=True)
        pick = min if family.samples[0].name in self.LEAST else lambda one, other: one + other
        known.samples = [mine._replace(value=pick(mine.value, other.value)) for mine, other in both]


def _web_processes() -> list[str]:
    """This process and its siblings with their parent; alone where processes do not count together."""
    if http_metrics.directory() is None:
        return ["self"]
    parent = os.getppid()
    try:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    except OSError:
        children = [str(os.getpid())]
    return [str(parent), *children]


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(Processes())
    PlatformCollector(registry=registry)
    registry.register(Figures())
    return registry


REGISTRY = _registry()


def exposition() -> bytes:
    return generate_latest(REGISTRY) + generate_latest(http_metrics.registry())
