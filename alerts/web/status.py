"""How the server is doing."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from alerts.actions import status
from alerts.actions.errors import NotFound
from alerts.actions.shared_looks import OthersWait
from alerts.adapters.deliverer import Seen
from alerts.models import Role
from alerts.web.access import at_least, page
from alerts.web.summary import summary


@page()
def show(request: HttpRequest) -> HttpResponse:
    """Asks the disk and Prometheus now, but for one that an agent looks after; says so when one does not answer."""
    try:
        found = _status()
    except NotFound:  # the server `default` was deleted
        return redirect("servers")
    context = {
        "summary": summary(),
        "status": found,
        "is_admin": at_least(request.role, Role.ADMIN),  # type: ignore[attr-defined]
    }
    return render(request, "alerts/status.html", context)


def _status() -> dict[str, Any]:
    try:
        return status.status()
    except OthersWait as error:
        return status.status(drift=Seen(unreachable=str(error)))
