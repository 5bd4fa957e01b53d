"""What servers tell about themselves on their ``/metrics`` page, where their API does not, or not as cheaply."""

from __future__ import annotations

import html
import re
from typing import NamedTuple

from alerts.adapters.loaded_rules import LoadedGroup, LoadedRules

# vmalert writes its own counters before those of every rule, in the order of the alphabet; so this one ends the head.
VMALERT_HEAD_ENDS = re.compile(rb"^vmalert_config_last_reload_total \S+\n", re.MULTILINE)
VMALERT_ERROR_ENDS = re.compile(rb'id="reload-groups-error">\s*<div class="card card-body">(.*?)</div>', re.DOTALL)

_VMALERT_RELOADS = re.compile(rb"^vmalert_config_last_reload_(\w+) (\S+)$", re.MULTILINE)
_VMALERT_VERSION = re.compile(rb'app_version="[^"]*?v?(\d+\.\d+\.\d+[^"]*?)(?:-\d+-g[0-9a-f]+)?"')
_THANOS_RELOAD = re.compile(rb"^thanos_rule_config_last_reload_successful (\S+)$", re.MULTILINE)
_PROMETHEUS_RELOAD = re.compile(rb"^prometheus_config_last_reload_successful (\S+)$", re.MULTILINE)
_GROUP = re.compile(
    rb'^prometheus_rule_group_(rules|interval_seconds)\{rule_group="((?:[^"\\\n]|\\.)*)"\} (\S+)$', re.MULTILINE
)


class VmalertReloads(NamedTuple):
    """``begun`` and ``failed`` count; ``loaded_at`` is that of the last one that changed something, in seconds."""

    begun: int
    failed: int
    successful: bool
    loaded_at: float


def vmalert_reloads(page: bytes) -> VmalertReloads | None:
    """None when this is not a vmalert's page."""
    found = {name: float(value) for name, value in _VMALERT_RELOADS.findall(page)}
    try:
        return VmalertReloads(
            int(found[b"total"]),
            int(found[b"errors_total"]),
            found[b"successful"] == 1,
            found[b"success_timestamp_seconds"],
        )
    except KeyError:
        return None


def vmalert_version(page: bytes) -> str | None:
    """As in its release's name, e.g. ``1.122.0``; None in builds that were not told it, such as Debian's."""
    match = _VMALERT_VERSION.search(page)
    return match[1].decode(errors="replace") if match else None


def vmalert_error(page: bytes) -> str | None:
    """Why its last reload failed, from its front page: its API does not say."""
    match = VMALERT_ERROR_ENDS.search(page)
    return html.unescape(match[1].decode(errors="replace")).strip() or None if match else None


def thanos_reloaded(page: bytes) -> bool | None:
    """Whether a Thanos ruler's last reload went well; None when this is no Thanos ruler's page."""
    match = _THANOS_RELOAD.search(page)
    return float(match[1]) == 1 if match else None


def outline(page: bytes) -> LoadedRules | None:
    """Which groups a Prometheus has loaded, with sizes and intervals, but without their rules.

    Exact or None. The numbers are set while a reload goes on, also by one that fails later: so they count only
    while the last one was successful. ``<file>;<group>`` has one meaning only while there is one semicolon in it.
    """
    reloaded = _PROMETHEUS_RELOAD.search(page)
    if reloaded is None or float(reloaded[1]) != 1:
        return None
    sizes, intervals = dict[bytes, int](), dict[bytes, float]()
    for number, key, value in _GROUP.findall(page):
        if number == b"rules":
            sizes[key] = int(float(value))
        else:
            intervals[key] = float(value)
    groups = list[LoadedGroup]()
    for key, size in sizes.items():
        file, found, name = _unescaped(key).partition(";")
        if not found or ";" in name or key not in intervals:
            return None
        groups.append(LoadedGroup(file, name, intervals[key], outlined=size))
    return LoadedRules(tuple(groups))


_ESCAPES = {b"n": b"\n", b'"': b'"', b"\\": b"\\"}


def _unescaped(label: bytes) -> str:
    if b"\\" in label:
        label = re.sub(rb"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), label, flags=re.DOTALL)
    return label.decode(errors="replace")
