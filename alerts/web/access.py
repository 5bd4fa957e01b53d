"""Who may see our pages: whoever is signed in and has a role; some buttons need a stronger one."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from alerts.actions import tokens
from alerts.models import Role

RANKED = (Role.VIEWER, Role.EDITOR, Role.ADMIN)
LOGIN = "/login"
View = Callable[..., HttpResponse]


def at_least(role: str | None, needed: Role) -> bool:
    return role in RANKED and RANKED.index(Role(role)) >= RANKED.index(needed)


def page(needed: Role = Role.VIEWER) -> Callable[[View], View]:
    """Sign in first; then the role counts. The view finds it as ``request.role``."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path() if request.method == "GET" else "/", LOGIN)
            role = tokens.role_of(request.user)
            if not at_least(role, needed):
                return render(request, "alerts/no_role.html", {"needed": needed.value, "role": role}, status=403)
            request.role = role  # type: ignore[attr-defined]
            return view(request, *args, **kwargs)

        return guarded

    return decorate
