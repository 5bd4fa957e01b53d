"""How the server is doing."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from alerts.actions import status
from alerts.actions.errors import NotFound
from alerts.models import Role
from alerts.web.access import at_least, page
from alerts.web.summary import summary


@page()
def show(request: HttpRequest) -> HttpResponse:
    """Asks the disk and Prometheus now, but for one that an agent looks after; says so when one does not answer."""
    try:
        found = status.status()
    except NotFound:  # the server `default` was deleted
        return redirect("servers")
    context = {
        "summary": summary(),
        "status": found,
        "is_admin": at_least(request.role, Role.ADMIN),  # type: ignore[attr-defined]
    }
    return render(request, "alerts/status.html", context)
