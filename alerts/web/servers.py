"""All Prometheus servers, and one of them: which revision it has loaded, since when, and why not a newer one."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from alerts.actions import fleet_status, rollback
from alerts.models import PrometheusServer, Release, Role
from alerts.web.access import at_least, page
from alerts.web.paging import paged
from alerts.web.releases import LISTED
from alerts.web.summary import summary


@page()
def index(request: HttpRequest) -> HttpResponse:
    """By name; from the database alone, so that no server that hangs holds the page up."""
    rows = list(PrometheusServer.objects.living().order_by("name"))
    found = fleet_status.standings((row.name, row.delivery, row.enabled) for row in rows)
    servers = [(row, found[row.name]) for row in rows]
    return render(request, "alerts/servers.html", {"summary": summary(), "servers": servers})


@page()
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """Its standing and its releases, newest first; of a deleted one the releases are left."""
    row = PrometheusServer.objects.living().filter(name=name).first()
    releases = Release.objects.filter(server=name).order_by("-id").only(*LISTED)
    if row is None and not releases.exists():
        raise Http404(f"there is no server {name}")
    standing = fleet_status.standings([(name, row.delivery, row.enabled)])[name] if row is not None else None
    context = {
        "summary": summary(),
        "name": name,
        "server": row,
        "standing": standing,
        "deleted": fleet_status.DELETED,
        "paged": paged(request, releases),
        "is_admin": at_least(request.role, Role.ADMIN),  # type: ignore[attr-defined]
    }
    return render(request, "alerts/server.html", context)


@require_POST
@page(Role.ADMIN)
def resume(request: HttpRequest, name: str) -> HttpResponse:
    """Take the pin off and deliver the policy as it is now."""
    if not PrometheusServer.objects.living().filter(name=name).exists():
        raise Http404(f"there is no server {name}")
    rollback.resume(name)
    messages.success(request, "Resumed: the policy as it is now is delivered.")
    return redirect("server", name)
