"""Who may do what in the admin: the same roles as everywhere, for users who are staff."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from alerts.actions import tokens
from alerts.models import Role

RANKED = (Role.VIEWER, Role.EDITOR, Role.ADMIN)


def has_role(request: HttpRequest, needed: Role) -> bool:
    """The role is looked up once per request: every row and every model asks."""
    if not hasattr(request, "alerts_role"):
        request.alerts_role = tokens.role_of(request.user)  # type: ignore[attr-defined]
    role = request.alerts_role  # type: ignore[attr-defined]
    return role in RANKED and RANKED.index(Role(role)) >= RANKED.index(needed)


class RolePermissions:
    """Viewers see, editors write; ``see`` and ``write`` name the least roles. Django's own permissions do not count."""

    see = Role.VIEWER
    write = Role.EDITOR

    def has_module_permission(self, request: HttpRequest) -> bool:
        return has_role(request, self.see)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return has_role(request, self.see)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return has_role(request, self.write)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return has_role(request, self.write)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return has_role(request, self.write)


class ReadOnly(RolePermissions):
    """Written by the product alone."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
