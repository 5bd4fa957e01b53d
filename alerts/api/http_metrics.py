"""How long requests take, by route: counted by each web process, and added up by whichever is asked.

The values of a process live in a file of ``PROMETHEUS_MULTIPROC_DIR`` (``config_server/gunicorn.py`` makes one), which
outlives it: killed or replaced processes stay counted. Without that directory, a process speaks for itself.
"""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.multiprocess import MultiProcessCollector

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# An agent's question is answered when there is news: how long that takes says nothing about us.
LONG_POLLS = frozenset(("/api/v1/agent/bundle",))

# Several processes together do not tell them, so one alone must not either.
disable_created_metrics()

OWN = CollectorRegistry()
DURATION = Histogram(
    "config_server_http_request_duration_seconds",
    "How long requests took, by route; long polls apart.",
    ("method", "route", "status_class"),
    buckets=BUCKETS,
    registry=OWN,
)
POLLS = Counter(
    "config_server_http_long_polls_total",
    "Answered long polls of agents.",
    ("status_class",),
    registry=OWN,
)


def observe(method: str, route: str, status: int, seconds: float) -> None:
    status_class = f"{status // 100}xx"
    if route in LONG_POLLS:
        POLLS.labels(status_class).inc()
    else:
        DURATION.labels(method, route, status_class).observe(seconds)


def directory() -> str | None:
    """Where the web processes of one server keep their values."""
    return os.environ.get("PROMETHEUS_MULTIPROC_DIR")


def registry() -> CollectorRegistry:
    """What is to be shown: the sum over all web processes, or this one alone."""
    path = directory()
    if path is None or not os.path.isdir(path):
        return OWN
    shared = CollectorRegistry()
    MultiProcessCollector(shared, path)
    return shared
