"""What is wrong with the fleet as a whole: rules that no single server can evaluate, and positions that none holds."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from alerts.actions import fleet, policy, servers
from alerts.actions.policy import CurrentPolicy
from alerts.domain.compiler import CompiledPolicy, Options
from alerts.domain.fleet_splits import SplitAnalysis, SplitRule, gaps
from alerts.domain.regions import Region

_lock = threading.Lock()
_known: dict[Options, tuple[CompiledPolicy, SplitAnalysis]] = {}
"""The last analysis of each layout: most questions come twice, and most rules stay as they were."""
_told: dict[Options, tuple[CurrentPolicy, tuple[SplitRule, ...]]] = {}
"""The same at one revision: an edit of a server is a revision, too, so its servers need not be asked for again."""


def warnings(server: str, current: CurrentPolicy) -> list[dict[str, Any]]:
    """What a release of this server is warned of: rules whose other parts are evaluated elsewhere.

    Not of those that only read what their author calls unscoped: nothing is to be done, time and again.
    """
    told = _told.get(current.compiled.options)
    if told is None or told[0] is not current:
        told = _told[current.compiled.options] = (current, _splits(current.compiled, _regions(current)))
    found = (rule.finding() for rule in told[1] if server in rule.servers and not rule.is_as_said)
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
    with _lock:
        known = _known.get(compiled.options)
        if known is None or known[0] is not compiled or known[1].servers != regions:
            analysis = SplitAnalysis(compiled, regions, known[1] if known else None)
            known = _known[compiled.options] = (compiled, analysis)
        return known[1].rules


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
