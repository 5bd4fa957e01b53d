"""System checks: what is wrong with this installation, each with an id and a hint.

``E`` stops commands, ``W`` says what is weaker. Variables that are wrong by themselves are found while settings load
(``config_server/settings.py``); what is here looks at what the settings point to.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from alerts.adapters.allowed_urls import wrong_entries

LABEL_CLASH_HINT = "Each of the labels the product writes needs a name of its own."


@register("alerts")
def environment_is_sound(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    return [Error(problem.message, hint=problem.hint, id=problem.id) for problem in settings.ENVIRONMENT_PROBLEMS]


@register("alerts")
def rule_directory_is_usable(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    path = Path(settings.PROMETHEUS_RULE_DIR)
    why = _unusable(path, os.W_OK | os.X_OK)
    if not why:
        if not _is_missing(path, "rules"):
            return []
        message = f"PROMETHEUS_RULE_DIR {path} does not exist: nothing can be delivered to the server `default`."
        hint = "Make it, or mount the volume that Prometheus reads its rules from."
        return [Warning(message, hint=hint, id="alerts.W009")]
    hint = "Give this user the right to write there, or name another one in PROMETHEUS_RULE_DIR."
    return [Error(f"The rule directory {path} cannot be written: {why}.", hint=hint, id="alerts.E012")]


@register("alerts")
def rule_roots_are_directories(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    found: list[CheckMessage] = []
    for root in settings.PROMETHEUS_RULE_ROOTS:
        if why := _unusable(Path(root), os.X_OK):
            message = f"PROMETHEUS_RULE_ROOTS holds {root}, below which no server can have its directory: {why}."
            hint = "Name directories that this user may enter, separated by commas."
            found.append(Error(message, hint=hint, id="alerts.E022"))
        elif _is_missing(Path(root), "servers"):
            message = f"PROMETHEUS_RULE_ROOTS holds {root}, which does not exist: nothing can be delivered below it."
            hint = "Make or mount it; servers' directories are not made for you."
            found.append(Warning(message, hint=hint, id="alerts.W006"))
    return found


@register("alerts")
def credentials_can_be_reached(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    path = Path(settings.PROMETHEUS_CREDENTIALS_DIR)
    if why := _unusable(path, os.X_OK):
        message = f"PROMETHEUS_CREDENTIALS_DIR {path} cannot be used: {why}."
        return [Error(message, hint="Name a directory that this user may enter.", id="alerts.E023")]
    if _is_missing(path, "credentials"):
        message = f"PROMETHEUS_CREDENTIALS_DIR {path} does not exist: servers with files of secrets cannot be asked."
        return [Warning(message, hint="Make or mount it, or unset it.", id="alerts.W007")]
    return []


@register("alerts")
def requests_can_be_counted(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """Where each web process writes its figures; without the directory no request is answered."""
    given = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not given or (os.path.isdir(given) and os.access(given, os.W_OK | os.X_OK)):
        return []
    message = f"PROMETHEUS_MULTIPROC_DIR {given} is not a directory that this user can write."
    hint = "Make one, empty at each start, or unset it: the web server then makes one of its own."
    return [Error(message, hint=hint, id="alerts.E025")]


def _unusable(path: Path, rights: int) -> str:
    """Why it, or as much of the way to it as there is, is no directory with these rights; empty when it is."""
    while not os.path.exists(path) and path != path.parent:
        path = path.parent
    if not path.is_dir():
        return f"{path} is not a directory"
    return "" if os.access(path, rights) else f"{path} is closed to this user"


def _is_missing(path: Path, default: str) -> bool:
    """Named and not there; the one under VAR_DIR may be missing where nobody needs it."""
    return not path.exists() and path != settings.VAR_DIR / default


@register("alerts")
def servers_are_bounded(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    wrong = wrong_entries(settings.PROMETHEUS_ALLOWED_HOSTS)
    if not wrong:
        return []
    message = f"PROMETHEUS_ALLOWED_HOSTS holds {wrong[0]!r}, which allows nothing."
    hint = "List hosts, host:port, *.domain or networks such as 10.0.0.0/8, separated by commas."
    return [Error(message, hint=hint, id="alerts.E021")]


@register("alerts")
def promtool_is_there(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    path = settings.PROMTOOL_PATH
    if path is None:
        return [
            Warning(
                "promtool was not found: rules are checked by the built-in parser only, which accepts some "
                "expressions that Prometheus refuses; those are noticed at the reload and rolled back.",
                hint="Install the promtool that came with your Prometheus, or set PROMTOOL_PATH.",
                id="alerts.W001",
            )
        ]
    if not (os.path.isfile(path) and os.access(path, os.X_OK)):
        message = f"PROMTOOL_PATH {path} is not a program this user can run."
        return [Error(message, hint="Name the promtool binary, or unset it to search the PATH.", id="alerts.E013")]
    return []


@register("alerts")
def labels_are_told_apart(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.TARGET_LABEL == settings.SCOPE_LABEL:
        message = f"TARGET_LABEL and SCOPE_LABEL are both {settings.TARGET_LABEL!r}."
        found.append(Error(message, hint=LABEL_CLASH_HINT, id="alerts.E014"))
    wrong = [name for name in settings.DETERMINING_LABELS if not name.isidentifier() or not name.isascii()]
    if wrong:
        message = f"DETERMINING_LABELS holds what is no label name: {', '.join(wrong)}."
        found.append(Error(message, hint="List label names, separated by commas.", id="alerts.E015"))
    return found


@register("alerts")
def severities_are_words(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    wrong = [word for word in settings.SEVERITIES if not word.isprintable() or len(word) > 50 or "{{" in word]
    repeated = len(set(settings.SEVERITIES)) != len(settings.SEVERITIES)
    if not wrong and not repeated:
        return []
    message = "SEVERITIES names one twice." if repeated else f"SEVERITIES holds {wrong[0]!r}."
    hint = "List each severity once, separated by commas, as in critical,warning,info."
    return [Error(message, hint=hint, id="alerts.E016")]


@register("alerts", Tags.database)
def database_is_sound(app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any) -> Any:
    """Only where a database is checked too (``check --database default``, ``migrate``)."""
    from django.db import connection

    if not databases or "default" not in databases or connection.vendor == "unknown":  # which E001 tells of
        return []
    from alerts.actions.readiness import unapplied

    if why := _why_silent(connection):
        hint = "Start it, make the database, or mend DATABASE_URL."
        return [Error(f"The database cannot be asked: {why}", hint=hint, id="alerts.E026")]
    if lacking := unapplied():
        # No error: `migrate`, which mends it, asks this first.
        message = f"The database lacks {lacking} migrations: nothing can be served from it yet."
        return [Warning(message, hint="Run manage.py migrate.", id="alerts.W008"), *_clashing_namespaces()]
    return _clashing_namespaces()


def _why_silent(connection: Any) -> str:
    """What the driver says, without secrets; on a connection of its own, as a pool only says that time is up."""
    alone = connection.copy()
    options = alone.settings_dict["OPTIONS"]
    options.pop("pool", None)
    try:
        with alone.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception as error:  # an unknown option is a TypeError
        why = " ".join(str(error).split())
        secrets = (alone.settings_dict["PASSWORD"], *(options.get(name) for name in ("password", "sslpassword")))
        for secret in filter(None, secrets):
            why = why.replace(str(secret), "***")
        return why or type(error).__name__
    finally:
        alone.close()
    return ""


def _clashing_namespaces() -> list[CheckMessage]:
    from django.db import DatabaseError

    from alerts.models import Namespace

    own = (settings.TARGET_LABEL, settings.SCOPE_LABEL)
    try:
        taken = list(Namespace.objects.living().filter(label__in=own).values_list("name", "label"))
    except DatabaseError:
        return []  # before the first migration
    return [
        Error(
            f"The namespace {name!r} is carried by the label {label!r}, which TARGET_LABEL or SCOPE_LABEL also names.",
            hint=LABEL_CLASH_HINT,
            id="alerts.E017",
        )
        for name, label in taken
    ]


@register("alerts")
def web_is_sound(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.DEBUG and settings.BASE_URL.startswith("https:"):
        message = "DEBUG is on behind a public https address: error pages show source and settings."
        found.append(Warning(message, hint="Unset DEBUG.", id="alerts.W002"))
    if "*" in settings.ALLOWED_HOSTS and not settings.DEBUG:
        message = "ALLOWED_HOSTS accepts every host name."
        found.append(Warning(message, hint="List the names this server is reached by.", id="alerts.W003"))
    if not settings.PROMETHEUS_RELOAD_ENABLED:
        message = (
            "PROMETHEUS_RELOAD_ENABLED is off: rule files are written, but nobody here makes Prometheus read them."
        )
        found.append(Warning(message, hint="Reload Prometheus yourself after each release.", id="alerts.W004"))
    return found


@register("alerts")
def broker_is_verified(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """kombu verifies nothing unless it is told to."""
    parts = urlsplit(settings.CELERY_BROKER_URL or "")
    query = parse_qs(parts.query)
    told = query.get("ssl_cert_reqs", ["required"] if "ssl_ca_certs" in query else [])
    if parts.scheme != "rediss" or told in (["required"], ["CERT_REQUIRED"]):
        return []
    message = "CELERY_BROKER_URL uses TLS, and the certificate is not looked at: anybody in between can be that Redis."
    return [Warning(message, hint="Add ?ssl_cert_reqs=required to it.", id="alerts.W005")]
