"""The app."""

from django.apps import AppConfig
from django.conf import settings


class AlertsConfig(AppConfig):
    name = "alerts"
    label = "alerts"
    verbose_name = "Alert policy"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from alerts import checks  # noqa: F401  (registers the system checks)

        if settings.CELERY_BROKER_URL:
            from alerts.tasks.messenger import employ

            employ()
