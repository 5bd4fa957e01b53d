"""What Prometheus shall scrape: every endpoint of every active target, with the position on its series.

Prometheus drops the series of whatever is missing from the answer, so the answer is whole or an error, never shorter.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings

from alerts.models import Target

COLUMNS = (
    "id",
    "hostname",
    "address",
    "labels",
    "endpoints",
    "memberships__namespace__label",
    "memberships__group__label_value",
)


def scrape_targets(job: str | None = None) -> list[dict[str, Any]]:
    """Prometheus' HTTP service discovery, in a stable order; ``job`` narrows it to endpoints of that job.

    One statement, so that no target is seen between two states.
    """
    active = Target.objects.living().filter(status=Target.Status.ACTIVE).order_by("hostname", "id")
    found: dict[int, tuple[str, str, dict[str, str], list[dict[str, Any]]]] = {}
    positions: dict[int, dict[str, str]] = {}
    for row_id, hostname, address, labels, endpoints, label, value in active.values_list(*COLUMNS):
        found[row_id] = (hostname, address, labels, endpoints)
        position = positions.setdefault(row_id, {})
        if label is not None:
            position[label] = value
    return [
        _scrape_target(hostname, address, {**labels, **positions[row_id]}, endpoint)
        for row_id, (hostname, address, labels, endpoints) in found.items()
        for endpoint in endpoints
        if job is None or endpoint["job"] == job
    ]


def _scrape_target(hostname: str, address: str, labels: dict[str, str], endpoint: dict[str, Any]) -> dict[str, Any]:
    return {
        "targets": [f"{_bracketed(address or hostname)}:{endpoint['port']}"],
        "labels": dict(
            sorted(
                {
                    **labels,
                    settings.TARGET_LABEL: hostname,
                    "job": endpoint["job"],
                    "__metrics_path__": endpoint.get("path", "/metrics"),
                    "__scheme__": endpoint.get("scheme", "http"),
                }.items()
            )
        ),
    }


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
