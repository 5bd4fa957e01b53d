"""The policy over several servers: what each evaluates, who holds a position, and what does not fit on one alone."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence

import orjson

from alerts.actions.policy import CurrentPolicy
from alerts.adapters.server_spec import ServerSpec
from alerts.domain.compiled import CompiledRule
from alerts.domain.compiler import Options
from alerts.domain.fleet import ServerView
from alerts.domain.layers import Position, Topology
from alerts.domain.regions import Region
from alerts.domain.server_selectors import selector_region

REMEMBERED = 256
"""Views kept in memory, by layout and selector: servers that say the same share one."""
FORGOTTEN_AFTER = 600.0
"""Seconds that nobody asked for a view: its server is gone, or selects otherwise by now."""

Place = tuple[Options, bytes]

_lock = threading.Lock()
_views: OrderedDict[Place, ServerView] = OrderedDict()
_asked: dict[Place, float] = {}


def place_of(spec: ServerSpec, current: CurrentPolicy) -> Place:
    """What servers have in common that evaluate the same."""
    return current.compiled.options, orjson.dumps(spec.selector, option=orjson.OPT_SORT_KEYS)


def remembered() -> set[Place]:
    """The places that somebody asked about of late."""
    with _lock:
        return set(_views)


def region_of(spec: ServerSpec, topology: Topology) -> Region:
    """The positions whose series this server holds."""
    return selector_region(topology, spec.selector)


def view_of(spec: ServerSpec, current: CurrentPolicy, kept: Sequence[CompiledRule] = ()) -> ServerView:
    """The policy as this server evaluates it; only what changed since the last view is gone through again.

    ``kept``: rules in force beside the compiled ones, for what they record.
    """
    key = place_of(spec, current)
    _asked[key] = time.monotonic()
    region = region_of(spec, current.policy.topology)
    known = _views.get(key)
    if known is not None and not kept and known.compiled is current.compiled and known.region == region:
        return known
    if kept:
        return ServerView(current.compiled, region, known, kept)
    with _lock:
        view = _views[key] = ServerView(current.compiled, region, _views.get(key))
        _views.move_to_end(key)
        long_ago = time.monotonic() - FORGOTTEN_AFTER
        idle = [one for one in _views if one != key and _asked.get(one, 0.0) < long_ago]
        for one in [*idle, *list(_views)[: max(0, len(_views) - len(idle) - REMEMBERED)]]:
            _views.pop(one, None)
            _asked.pop(one, None)
    return view


def holders(topology: Topology, position: Position, among: Iterable[ServerSpec]) -> list[ServerSpec]:
    """Those that hold the series at ``position``; none: nothing evaluates them."""
    return [spec for spec in among if not spec.selector or region_of(spec, topology).holds(position)]
