from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from alerts.actions import servers
from alerts.actions.bootstrap import make_first_admin
from alerts.actions.delivery import rule_store
from alerts.adapters.release_store import StoreError
from alerts.management import OWN_CHECKS, processes
from alerts.management.worker_options import add_worker_options, require_at_least_one, require_seconds
from config_server.doors import require_sound_settings

START_PATIENCE = 60.0
POLL_BESIDE_CELERY = 5.0


class Command(BaseCommand):
    help = (
        "Web and worker together, for one machine; with CELERY_BROKER_URL also a Celery worker and beat. "
        "Migrates if needed; prints `ready http://…` when it serves."
    )
    requires_migrations_checks = False
    requires_system_checks = OWN_CHECKS

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000, help="0: a free one")
        parser.add_argument("--workers", type=int, default=2, help="web processes")
        parser.add_argument("--threads", type=int, default=4, help="threads of each web process")
        add_worker_options(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        require_at_least_one(options, "workers", "threads", "parallel")
        require_seconds(options, "reconcile_every")
        self._prepare()
        host, port = options["host"], options["port"] or _free_port(options["host"])
        children: list[subprocess.Popen[bytes]] = []
        stopping: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, _: stopping.append(received))
        try:
            children.append(processes.start(_web(host, port, options)))
            children.append(processes.start(_worker(options)))
            children.extend(processes.start(command) for command in _celery(options))
            self._wait_until_serving(host, port, children, stopping)
            while not stopping:
                self._require_alive(children)
                time.sleep(0.2)
        finally:
            processes.stop(children)

    def _prepare(self) -> None:
        require_sound_settings()
        with _start_lock():
            plan = MigrationExecutor(connection).loader
            executor = MigrationExecutor(connection)
            if executor.migration_plan(plan.graph.leaf_nodes()):
                call_command("migrate", interactive=False, verbosity=0)
        make_first_admin(self.stdout)  # type: ignore[arg-type]
        for server in servers.enabled():
            if server.delivery == "directory" and server.rule_dir.is_relative_to(settings.VAR_DIR):
                try:
                    rule_store(server).prepare()
                except StoreError as error:
                    raise CommandError(str(error)) from error

    def _wait_until_serving(
        self, host: str, port: int, children: list[subprocess.Popen[bytes]], stopping: list[int]
    ) -> None:
        shown = f"[{host}]" if ":" in host else host
        reached = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, shown)  # noqa: S104
        deadline = time.monotonic() + START_PATIENCE
        while not stopping:
            self._require_alive(children)
            try:
                with urllib.request.urlopen(f"http://{reached}:{port}/-/healthy", timeout=2):
                    break
            except urllib.error.HTTPError:
                break  # it answers; what it answers is its business
            except OSError:
                if time.monotonic() > deadline:
                    raise CommandError(f"the web process does not answer on {shown}:{port}") from None
                time.sleep(0.1)
        else:
            return
        self.stdout.write(f"ready http://{shown}:{port}")
        self.stdout.flush()

    def _require_alive(self, children: list[subprocess.Popen[bytes]]) -> None:
        for child in children:
            if child.poll() is not None:
                raise CommandError(f"{_name(child)} ended with code {child.returncode}")


def _name(child: subprocess.Popen[bytes]) -> str:
    words = [str(word) for word in child.args]  # type: ignore[union-attr]
    return next((word for word in ("gunicorn", "beat", "worker") if word in words), words[0])


def _web(host: str, port: int, options: dict[str, Any]) -> list[str]:
    shown = f"[{host}]" if ":" in host else host
    return [
        sys.executable,
        "-m",
        "gunicorn",
        "--config",
        "python:config_server.gunicorn",
        "--bind",
        f"{shown}:{port}",
        "--workers",
        str(options["workers"]),
        "--threads",
        str(options["threads"]),
        "--graceful-timeout",
        "15",
        "--timeout",
        "120",
        "--log-level",
        "warning",
        "--no-control-socket",
        "--limit-request-line",
        "8190",
        "config_server.wsgi",
    ]


def _worker(options: dict[str, Any]) -> list[str]:
    """Beside Celery it only sees to what nobody was woken for, as while Redis is away."""
    given = ["--reconcile-every", str(options["reconcile_every"]), "--parallel", str(options["parallel"])]
    poll = ["--poll", str(POLL_BESIDE_CELERY)] if settings.CELERY_BROKER_URL else []
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), "worker", *given, *poll]


def _celery(options: dict[str, Any]) -> list[list[str]]:
    if not settings.CELERY_BROKER_URL:
        return []
    # --quiet: a banner among lines of JSON is what nobody's log reader expects.
    celery = [sys.executable, "-m", "celery", "--app", "config_server", "--workdir", str(settings.BASE_DIR), "--quiet"]
    queues = ["--queues", "deploy,reconcile,housekeeping", "--pool", "threads"]
    level = ["--loglevel", settings.LOG_LEVEL.lower()]
    return [
        [*celery, "worker", *queues, "--concurrency", str(options["parallel"]), *level],
        [*celery, "beat", *level],
    ]


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


class _start_lock:
    """Of several that start on one machine, one migrates."""

    def __enter__(self) -> None:
        self._file = os.open(settings.VAR_DIR / ".start.lock", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
