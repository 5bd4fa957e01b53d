"""How values look on our pages."""

from __future__ import annotations

import json
from typing import Any

from django import template
from django.utils.dateparse import parse_datetime
from django.utils.timesince import timesince
from django.utils.timezone import now

register = template.Library()


@register.filter
def plain(value: Any) -> str:
    """A text as it is, anything else as JSON; nothing is a dash."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@register.filter
def pretty(value: Any) -> str:
    """JSON over several lines."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


@register.filter
def ago(value: Any) -> str:
    """How long since a time, which may be a text as Prometheus writes it."""
    moment = parse_datetime(value[:19] + "Z") if isinstance(value, str) else value
    if moment is None:
        return ""
    seconds = (now() - moment).total_seconds()
    if seconds < 60:
        return f"{max(0, int(seconds))} s"
    return timesince(moment, depth=1).replace("\u00a0", " ")


@register.filter
def seconds(value: Any) -> str:
    """A duration that people can compare."""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


@register.simple_tag
def selected(value: Any, wanted: Any) -> str:
    return "current" if value == wanted else ""
