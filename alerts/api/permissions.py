"""What a role may do: each view names the least role per method.

``viewer`` reads; ``editor`` also writes policy objects and asks for a release; ``admin`` also purges, rolls back,
resumes, reloads and writes servers; ``discovery`` reads only what is marked for it (``/sd/*`` and ``/metrics``).
``agent`` stands aside: what is for agents is for them alone, and nothing else is for them.
"""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from alerts.actions import tokens
from alerts.models import Role

RANKS = {Role.DISCOVERY: 0, Role.VIEWER: 1, Role.EDITOR: 2, Role.ADMIN: 3}


def role_of(request: Any) -> str | None:
    """The role a request speaks with: its token's, or else its user's."""
    if request.auth is not None:
        return request.auth.role
    return tokens.role_of(request.user)


def allows(role: str | None, needed: str) -> bool:
    if Role.AGENT in (role, needed):
        return role == needed
    return role is not None and RANKS[Role(role)] >= RANKS[Role(needed)]


class HasRole(BasePermission):
    """Reads ``view.required_role(method)``."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not (request.user and request.user.is_authenticated):
            return False
        role, needed = role_of(request), view.required_role(request.method)
        self.message = f"the role {str(needed)!r} is needed, this is {role!r}" if role else "this user has no role"
        return allows(role, needed)
