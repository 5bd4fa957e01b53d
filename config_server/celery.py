"""The Celery app: imported only when ``CELERY_BROKER_URL`` is set."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config_server.settings")

app = Celery("config_server")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["alerts.tasks"], related_name="deploying")
