"""One of several servers: what it scrapes, and which positions its selector means, taken literally."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alerts.domain.layers import Topology
from tests.domain.oracle import ancestors
from tests.servers.loopback import Exporter
from tests.servers.prometheus import PrometheusServer


@dataclass
class Site:
    """``scrapes_all``: its exporter shows every target's series, also those that the selector leaves to others."""

    name: str
    prometheus: PrometheusServer
    exporter: Exporter
    layout: str
    selector: dict[str, Any] = field(default_factory=dict)
    scrapes_all: bool = False
    row_id: int = 0

    def holds(self, topology: Topology, position: Mapping[str, str]) -> bool:
        """A listed value means its group and all below it, "" the series without the label."""
        labels = {namespace.name: namespace.label for namespace in topology.namespaces}
        return all(self._means(topology, name, said, position[labels[name]]) for name, said in self.selector.items())

    @staticmethod
    def _means(topology: Topology, namespace: str, said: Any, value: str) -> bool:
        listed = said["not_in"] if isinstance(said, Mapping) else said
        inside = any(one in listed for one in ancestors(topology, namespace, value))
        return inside is not isinstance(said, Mapping)
