"""What the commands that work on the policy have in common."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from alerts.actions import servers
from alerts.actions.errors import NotFound
from alerts.adapters.server_spec import ServerSpec
from alerts.management import OWN_CHECKS
from config_server.doors import require_sound_settings


class PolicyCommand(BaseCommand):
    """Refuses to guess with wrong settings, and says in one sentence when the database is not ready."""

    requires_system_checks = OWN_CHECKS

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            require_sound_settings()
            return super().execute(*args, **options)
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(
                f"the database is not ready: {str(error).strip()} (run `manage.py migrate`, or `manage.py up`)"
            ) from error


def the_server(name: str) -> ServerSpec:
    """The living server of this name."""
    try:
        return servers.spec(name)
    except NotFound as error:
        known = ", ".join(spec.name for spec in servers.living()) or "none"
        raise CommandError(f"there is no Prometheus server {name!r}; there are: {known}") from error
