"""Asks Prometheus to read its files again, by hand."""

from __future__ import annotations

from typing import Any

from alerts.actions import servers, status
from alerts.actions.delivery import prometheus
from alerts.domain.errors import Finding, PolicyConflict
from alerts.models import DEFAULT_SERVER


def reload(server: str = DEFAULT_SERVER) -> dict[str, Any]:
    """Reloads and returns the status after that; PrometheusError when it cannot be asked or refuses."""
    spec = servers.spec(server)
    if spec.delivery == "agent":
        raise PolicyConflict(Finding("fed_by_agent", f"The agent beside {server} reloads it; it is not ours to reach."))
    prometheus(spec).reload()
    return status.status(server, shared=False)
