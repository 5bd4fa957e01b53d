"""The Celery app: imported only when ``CELERY_BROKER_URL`` is set. Redis carries messages; the database is the truth.

Any task may come twice, late or never: each looks into the database for what is to be done.
"""

import logging
import os
import time
from typing import Any

from celery import Celery
from celery.signals import beat_init, before_task_publish, setup_logging, task_postrun, task_prerun, worker_init
from kombu import Exchange, Queue

from alerts.adapters.broker import SENT_AT
from config_server import redis_transport
from config_server.logs import REQUEST_ID

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config_server.settings")
# Celery would run all system checks, loading the whole web for them, and look at nothing they find.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")
# Celery warns whoever runs it as root: that too is one line among the others.
logging.captureWarnings(True)

QUEUES = ("deploy", "reconcile", "housekeeping")
"""In the order in which workers empty them; ``-Q deploy,reconcile,housekeeping`` says the same."""

SWEEP_EVERY = 10.0
LOOK_AROUND_EVERY = 5.0

redis_transport.install()
app = Celery("config_server")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    task_queues=[Queue(name, Exchange(name), routing_key=name) for name in QUEUES],
    task_default_queue="deploy",
    task_create_missing_queues=False,
    task_routes={
        "alerts.deploy": "deploy",
        "alerts.sweep": "deploy",
        "alerts.reconcile_all": "reconcile",
        "alerts.reconcile": "reconcile",
        "alerts.housekeeping": "housekeeping",
    },
    # A task is taken off Redis when it is done; one whose worker died comes back after the visibility timeout.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,  # for ever: Redis may be away for as long as it likes
    broker_connection_timeout=2,
    broker_transport_options={
        "queue_order_strategy": "priority",
        "visibility_timeout": 300,
        "socket_timeout": 2,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 10,
    },
    timezone="UTC",
    beat_scheduler="config_server.beat:Frugal",
    # Nothing here expires or waits for a time of day: a host whose clock jumps would throw it away, or keep it.
    beat_schedule={
        "sweep": {"task": "alerts.sweep", "schedule": SWEEP_EVERY},
        "look around": {"task": "alerts.reconcile_all", "schedule": LOOK_AROUND_EVERY},
        "housekeeping": {"task": "alerts.housekeeping", "schedule": 3600.0},
    },
)
app.autodiscover_tasks(["alerts.tasks"], related_name="delivering")


@worker_init.connect
@beat_init.connect
def refuse_wrong_settings(**_: Any) -> None:
    """Whatever a signal's receiver raises is only logged, but for this."""
    from django.core.exceptions import ImproperlyConfigured

    from config_server.doors import require_sound_settings

    try:
        require_sound_settings()
    except ImproperlyConfigured as error:
        raise SystemExit(str(error)) from None


@worker_init.connect
@beat_init.connect
def without_database_pool(**_: Any) -> None:
    """Before any process is forked: a pool's connections must not be shared between processes."""
    from config_server.database import without_pool

    without_pool()


@setup_logging.connect
def keep_our_lines(**_: Any) -> None:
    """Django's settings have set logging up; Celery would add handlers and formats of its own."""


@before_task_publish.connect
def say_when_it_was_sent(headers: dict[str, Any], **_: Any) -> None:
    """Also of one that comes again: it has not waited since the first time."""
    headers[SENT_AT] = time.time()


@task_prerun.connect
def begin_records_of_a_task(task_id: str, **_: Any) -> None:
    """A task's id stands where a request's does."""
    REQUEST_ID.set(task_id)


@task_postrun.connect
def end_records_of_a_task(**_: Any) -> None:
    REQUEST_ID.set("")
