"""The Django project: settings, URLs, and the ways in."""

import os

if os.environ.get("CELERY_BROKER_URL"):
    # Shared tasks bind to the app that was imported first.
    from config_server.celery import app as celery_app

    __all__ = ["celery_app"]
