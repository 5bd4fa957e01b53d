"""Targets with their alerts now, and everything in force at one of them."""

from __future__ import annotations

from typing import Any

from django.db.models import Case, IntegerField, Prefetch, Q, QuerySet, Value, When
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from alerts.actions import alerts_now, effective
from alerts.actions.alerts_now import AlertsNow
from alerts.actions.errors import NotFound
from alerts.models import Group, Membership, Target
from alerts.web.access import page
from alerts.web.paging import paged
from alerts.web.summary import summary

STATES = ("firing", "pending")
# More than these in one question to the database would be slow, and nobody pages through them.
MOST_HOSTS = 5000


@page()
def index(request: HttpRequest) -> HttpResponse:
    """The targets, those with firing alerts first."""
    now = alerts_now.ask()
    search, state = request.GET.get("q", "").strip()[:200], request.GET.get("state", "")
    rows = _in_order(_narrowed(search, state, request.GET.get("group", ""), now), now)
    found = paged(request, rows)
    alerts = alerts_now.explained(now, [target.hostname for target in found.page])
    return render(
        request,
        "alerts/targets.html",
        {
            "summary": summary(),
            "rows": [(target, alerts.get(target.hostname, [])) for target in found.page],
            "paged": found,
            "firing": now.count("firing"),
            "pending": now.count("pending"),
            "elsewhere": alerts_now.without_target(now),
            "unavailable": now.unavailable,
            "partial": now.partial,
            "search": search,
            "state": state if state in STATES else "",
            "group": _group(request.GET.get("group", "")),
        },
    )


def _narrowed(search: str, state: str, group: str, now: AlertsNow) -> QuerySet[Target]:
    rows = Target.objects.living()
    if search:
        rows = rows.filter(Q(hostname__icontains=search) | Q(address__icontains=search))
    if state in STATES:
        rows = rows.filter(hostname__in=now.hosts(state)[:MOST_HOSTS])
    if _is_id(group):
        rows = rows.filter(memberships__group_id=int(group))
    return rows.prefetch_related(_memberships())


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


def _group(text: str) -> Group | None:
    return Group.objects.living().filter(pk=int(text)).select_related("namespace").first() if _is_id(text) else None


def _memberships() -> Prefetch:
    ordered = Membership.objects.select_related("group", "namespace").order_by("-namespace__priority", "namespace_id")
    return Prefetch("memberships", queryset=ordered)


def _in_order(rows: QuerySet[Target], now: AlertsNow) -> QuerySet[Target]:
    ranks = [
        When(hostname__in=hosts, then=Value(rank))
        for rank, state in enumerate(STATES)
        if (hosts := now.hosts(state)[:MOST_HOSTS])
    ]
    if not ranks:
        return rows.order_by("hostname", "id")
    rank = Case(*ranks, default=Value(len(STATES)), output_field=IntegerField())
    return rows.annotate(rank=rank).order_by("rank", "hostname", "id")


@page()
def detail(request: HttpRequest, target_id: int) -> HttpResponse:
    """What is in force at one target, what of it is firing, and why it is what it is."""
    try:
        place = effective.place_of_target(target_id)
    except NotFound as error:
        raise Http404(str(error)) from error
    target = Target.objects.prefetch_related(_memberships()).get(pk=target_id)
    now = alerts_now.ask(place.held_by())
    alerts = alerts_now.explained(now, [target.hostname]).get(target.hostname, [])
    return render(
        request,
        "alerts/target.html",
        {
            "summary": summary(),
            "target": target,
            "alerts": alerts,
            "unavailable": now.unavailable,
            "partial": now.partial,
            **explanation(place, {alert.key: alert.state for alert in reversed(alerts) if alert.key}),
        },
    )


def explanation(place: effective.Place, states: dict[str, str] | None = None) -> dict[str, Any]:
    """Rules in force and their trace, side by side; ``states`` are the alerts now, by key."""
    in_force = effective.effective(place)
    trace = effective.traced(place)
    return {
        "effective": in_force,
        "rules": [(rule, (states or {}).get(rule["key"], "")) for rule in in_force["rules"]],
        "trace_keys": trace["keys"],
    }
