"""What was given to Prometheus, and the way back."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from alerts.actions import releases, rollback
from alerts.actions.errors import NotFound, PolicyError
from alerts.models import Release, Role
from alerts.web.access import at_least, page
from alerts.web.paging import paged
from alerts.web.summary import summary

# The manifest of a large release is not read for a list.
LISTED = (
    "id",
    "server",
    "state",
    "trigger",
    "revision",
    "rule_count",
    "changes",
    "errors",
    "warnings",
    "created_at",
    "timings",
)


@page()
def index(request: HttpRequest) -> HttpResponse:
    """Newest first."""
    state = request.GET.get("state", "")
    rows = Release.objects.order_by("-id").only(*LISTED)
    if state in Release.State.values:
        rows = rows.filter(state=state)
    context = {"summary": summary(), "paged": paged(request, rows), "state": state, "states": Release.State.values}
    return render(request, "alerts/releases.html", context)


@page()
def detail(request: HttpRequest, release_id: int) -> HttpResponse:
    release = _find(release_id)
    state = releases.state_of(release.server)
    in_force = state.loaded_release_id == release.pk
    longest = max(release.timings.values(), default=0) or 1
    return render(
        request,
        "alerts/release.html",
        {
            "summary": summary(),
            "release": release,
            "pinned": state.pinned_release_id,
            "in_force": in_force,
            "is_admin": at_least(request.role, Role.ADMIN),  # type: ignore[attr-defined]
            "can_go_back": release.verified_at is not None and state.pinned_release_id != release.pk,
            "timings": [(step, seconds, round(100 * seconds / longest)) for step, seconds in release.timings.items()],
        },
    )


@require_POST
@page(Role.ADMIN)
def roll_back(request: HttpRequest, release_id: int) -> HttpResponse:
    """Pin the server to this release and deliver it."""
    _find(release_id)
    try:
        going = rollback.roll_back(release_id)
    except PolicyError as error:
        messages.error(request, str(error))
    else:
        done = "Went back" if going.finished_at else "A worker goes back"
        messages.success(request, f"{done} to release {release_id}; the server is pinned to it until you resume.")
    return redirect("release", release_id)


@require_POST
@page(Role.ADMIN)
def resume(request: HttpRequest) -> HttpResponse:
    """Take the pin off and deliver the policy as it is now."""
    rollback.resume()
    messages.success(request, "Resumed: the policy as it is now is delivered.")
    return redirect("status")


def _find(release_id: int) -> Release:
    try:
        return rollback.find(release_id)
    except NotFound as error:
        raise Http404(str(error)) from error
