"""What is wrong with the fleet as a whole: rules that no single server can evaluate, and positions that none holds."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from alerts.actions import fleet, policy, servers
from alerts.actions.policy import CurrentPolicy
from alerts.domain.compiler import CompiledPolicy
from alerts.domain.fleet_splits import SplitAnalysis, SplitRule, gaps
from alerts.domain.regions import Region

_lock = threading.Lock()
_known: tuple[CompiledPolicy, SplitAnalysis] | None = None


def warnings(server: str, current: CurrentPolicy) -> list[dict[str, Any]]:
    """What a release of this server is warned of: rules whose other parts are evaluated elsewhere."""
    found = (rule.finding() for rule in _splits(current.compiled, _regions(current)) if server in rule.servers)
    return [
        {"code": one.code, "message": one.message, "hint": one.hint, "key": one.key, "rule_id": one.rule_id}
        for one in found
    ]


def findings() -> dict[str, Any]:
    """As the policy and the enabled servers are now."""
    current = policy.current()
    regions = _regions(current)
    nobody = gaps(regions)
    return {
        "revision": current.revision,
        "servers": list(regions),
        "needs_several_servers": [_split(rule) for rule in _splits(current.compiled, regions)],
        "gaps": None if nobody is None else [{"region": region.text} for region in nobody],
    }


def _regions(current: CurrentPolicy) -> dict[str, Region]:
    return {spec.name: fleet.region_of(spec, current.policy.topology) for spec in servers.enabled()}


def _splits(compiled: CompiledPolicy, regions: Mapping[str, Region]) -> tuple[SplitRule, ...]:
    """Remembered: most questions come twice, and most rules stay as they were."""
    global _known
    with _lock:
        if _known is None or _known[0] is not compiled or _known[1].servers != regions:
            _known = (compiled, SplitAnalysis(compiled, regions, _known[1] if _known else None))
        return _known[1].rules


def _split(rule: SplitRule) -> dict[str, Any]:
    finding = rule.finding()
    return {
        "kind": rule.kind,
        "key": rule.key,
        "rule_id": rule.rule_id,
        "name": rule.name,
        "region": rule.region,
        "servers": list(rule.servers),
        "label": rule.label,
        "code": finding.code,
        "message": finding.message,
        "hint": finding.hint,
    }
