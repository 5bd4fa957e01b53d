"""What is wrong with the fleet as a whole: rules that no single server can evaluate, and positions that none holds."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from alerts.actions import fleet, policy, servers
from alerts.actions.policy import CurrentPolicy
from alerts.adapters.server_spec import ServerSpec
from alerts.domain.compiler import CompiledPolicy, Options
from alerts.domain.errors import Finding
from alerts.domain.fleet_splits import SplitAnalysis, SplitRule, gaps
from alerts.domain.regions import Region

_lock = threading.Lock()
_known: dict[Options, tuple[CompiledPolicy, SplitAnalysis]] = {}
"""The last analysis of each layout: most questions come twice, and most rules stay as they were."""


class _Told(NamedTuple):
    """``urls``: by name, of the servers that are fed by directory."""

    current: CurrentPolicy
    splits: tuple[SplitRule, ...]
    urls: Mapping[str, str]


_told: dict[Options, _Told] = {}
"""The same at one revision: an edit of a server is a revision, too, so its servers need not be asked for again."""


def warnings(server: str, current: CurrentPolicy) -> list[dict[str, Any]]:
    """What a release of this server is warned of: rules whose other parts are evaluated elsewhere.

    Not of those that only read what their author calls unscoped: nothing is to be done, time and again.
    """
    told = _told.get(current.compiled.options)
    if told is None or told.current is not current:
        specs = servers.enabled()
        splits = _splits(current.compiled, _regions(current, specs))
        told = _told[current.compiled.options] = _Told(current, splits, _urls(specs))
    found = [rule.finding() for rule in told.splits if server in rule.servers and not rule.is_as_said]
    found += _of_url(server, told.urls)
    return [
        {"code": one.code, "message": one.message, "hint": one.hint, "key": one.key, "rule_id": one.rule_id}
        for one in found
    ]


def _urls(specs: Iterable[ServerSpec]) -> dict[str, str]:
    return {spec.name: spec.url.rstrip("/") for spec in specs if spec.delivery != "agent"}


def _of_url(server: str, urls: Mapping[str, str]) -> Iterator[Finding]:
    """A server that is two objects: what it reads from one rule directory would be taken for what lies in the other."""
    others = [name for name, url in urls.items() if name != server and url == urls.get(server)]
    if others:
        message = f"{', '.join(others)} has the same URL: what one of them is seen to hold may be the other's"
        yield Finding("url_shared", message, hint="give each Prometheus one object, with its own URL", level="warning")


def findings() -> dict[str, Any]:
    """As the policy and the enabled servers are now."""
    current = policy.current()
    regions = _regions(current, servers.enabled())
    nobody = gaps(regions)
    return {
        "revision": current.revision,
        "servers": list(regions),
        "needs_several_servers": [_split(rule) for rule in _splits(current.compiled, regions)],
        "gaps": None if nobody is None else [{"region": region.text} for region in nobody],
    }


def _regions(current: CurrentPolicy, specs: Iterable[ServerSpec]) -> dict[str, Region]:
    return {spec.name: fleet.region_of(spec, current.policy.topology) for spec in specs}


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
