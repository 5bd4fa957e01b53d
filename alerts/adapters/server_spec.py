"""How one server is reached and fed: what every deliverer needs to know, and nothing of databases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class ServerSpec:
    """One server. ``auth`` and ``tls`` name where secrets lie, they hold none (see ``credentials``).

    ``rule_dir`` is where the sets are written on this machine; an agent's is its own business. ``reload_enabled``
    False: somebody else reloads it. ``timeout`` is in seconds, for a reload.
    """

    name: str
    url: str
    rule_dir: Path
    delivery: Literal["directory", "agent"] = "directory"
    layout: Literal["per-scope", "consolidated"] = "per-scope"
    selector: Mapping[str, Any] = field(default_factory=dict)
    auth: Mapping[str, Any] = field(default_factory=dict)
    tls: Mapping[str, Any] = field(default_factory=dict)
    enabled: bool = True
    reload_enabled: bool = True
    file_mode: int = 0o444
    timeout: float = 30.0
