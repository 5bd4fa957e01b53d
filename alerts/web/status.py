"""How the server is doing."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from alerts.actions import alerts_now, status
from alerts.actions.errors import NotFound
from alerts.models import Role
from alerts.web.access import at_least, page
from alerts.web.summary import summary


@page()
def show(request: HttpRequest) -> HttpResponse:
    """Asks the disk and Prometheus now; says so when one of them does not answer."""
    try:
        found = status.status()
    except NotFound:  # the server `default` was deleted
        return redirect("servers")
    # Before the first delivery nobody has asked Prometheus yet.
    unavailable = "" if found["loaded_release"] else alerts_now.ask().unavailable
    context = {
        "summary": summary(),
        "status": found,
        "unavailable": unavailable,
        "reachable": found["reachable"] and not unavailable,
        "is_admin": at_least(request.role, Role.ADMIN),  # type: ignore[attr-defined]
    }
    return render(request, "alerts/status.html", context)
