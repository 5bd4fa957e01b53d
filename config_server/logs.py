"""Log lines: one record is one line, says which request, server and release it is about, and holds no secret.

Free of Django: the agent writes its lines with it too.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import unquote, urlsplit

CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
FORMATS = ("line", "json")

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
SERVER: ContextVar[str] = ContextVar("server", default="")
RELEASE: ContextVar[str] = ContextVar("release", default="")
CONTEXT = {"request_id": REQUEST_ID, "server": SERVER, "release": RELEASE}
# What a line about an answered request says (``extra`` of its record).
ACCESS_FIELDS = ("method", "route", "status", "ms", "user")


@contextmanager
def about(**said: object) -> Iterator[None]:
    """Records made inside say what they are about: ``about(server="eu", release=12)``; nests."""
    tokens = [(CONTEXT[name], CONTEXT[name].set(str(value))) for name, value in said.items()]
    try:
        yield
    finally:
        for variable, token in reversed(tokens):
            variable.reset(token)


class InContext(logging.Filter):
    """Puts ``request_id``, ``server`` and ``release`` on every record; what a record says itself stays."""

    def filter(self, record: logging.LogRecord) -> bool:
        for name, variable in CONTEXT.items():
            if not hasattr(record, name):
                setattr(record, name, variable.get())
        return True


# --- secrets ------------------------------------------------------------------------------------------------------

HIDDEN = "***"
SHORTEST_SECRET = 6
_SECRET_SHAPES = (
    # user:password@ of any URL; the user may stay.
    (re.compile(r"(?<=://)([^\s/@:'\"]*):[^\s/@'\"]+@"), rf"\1:{HIDDEN}@"),
    (re.compile(r"(?i)\b(bearer|basic)(\\?['\"]?[\s:=]+)[A-Za-z0-9+/._~=-]{6,}"), rf"\1\2{HIDDEN}"),
    (re.compile(r"\bcs_[A-Za-z0-9_-]{16,}"), f"cs_{HIDDEN}"),
    (
        re.compile(r"(?i)\b(password|passwd|secret|token|api_key)(['\"]?\s*[=:]\s*['\"]?)[^\s'\",;&]{3,}"),
        rf"\1\2{HIDDEN}",
    ),
)
_SECRET_NAMES = re.compile(r"PROM_AUTH_\w+|\w*(?:SECRET_KEY|PASSWORD)")
_URL_NAMES = ("DATABASE_URL", "CELERY_BROKER_URL")


class Secrets:
    """Takes secrets out of text: what looks like one, and the very values that this process' environment holds."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        values = {value for name, value in variables.items() if _SECRET_NAMES.fullmatch(name)}
        for name in _URL_NAMES:
            values |= _passwords(variables.get(name, ""))
        longest_first = sorted((value for value in values if len(value) >= SHORTEST_SECRET), key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def hide(self, text: str) -> str:
        if self._values is not None:
            text = self._values.sub(HIDDEN, text)
        for shape, instead in _SECRET_SHAPES:
            text = shape.sub(instead, text)
        return text


def _passwords(url: str) -> set[str]:
    try:
        password = urlsplit(url).password or ""
    except ValueError:
        return set()
    return {password, unquote(password)}


# --- formats ------------------------------------------------------------------------------------------------------


def _escaped(text: str) -> str:
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class OneLine(logging.Formatter):
    """``time level logger: message``, what it is about before the colon in brackets; control characters as escapes."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s%(about)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
        self.secrets = Secrets(os.environ)

    def format(self, record: logging.LogRecord) -> str:
        said = [f"{name}={value}" for name in CONTEXT if (value := getattr(record, name, ""))]
        record.about = f" [{' '.join(said)}]" if said else ""
        return _escaped(self.secrets.hide(super().format(record)))


class JsonLine(logging.Formatter):
    """One JSON object per line: ``time, level, logger, message``, what it is about, and ``exception``."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__()
        self.secrets = Secrets(os.environ)

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": self.secrets.hide(record.getMessage()),
        }
        said |= {name: str(value) for name in CONTEXT if (value := getattr(record, name, ""))}
        said |= {name: getattr(record, name) for name in ACCESS_FIELDS if hasattr(record, name)}
        if record.exc_info:
            said["exception"] = self.secrets.hide(self.formatException(record.exc_info))
        text = json.dumps(said, ensure_ascii=False, default=str)
        # What JSON lets through unescaped and terminals or line readers take for more.
        return CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text.encode("utf-8", "replace").decode())


FORMATTERS: dict[str, type[logging.Formatter]] = {"line": OneLine, "json": JsonLine}


def configuration(log_format: str, level: str) -> dict[str, Any]:
    """For ``logging.config.dictConfig``: everything to stderr."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"context": {"()": InContext}},
        "formatters": {"chosen": {"()": FORMATTERS[log_format]}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "chosen", "filters": ["context"]},
            "null": {"class": "logging.NullHandler"},
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": [], "level": level if level != "DEBUG" else "INFO", "propagate": True},
            "django.server": {"handlers": [], "propagate": True},
            # Refused requests have their access line; failed ones say more here.
            "django.request": {"handlers": [], "level": "ERROR", "propagate": True},
            # Anybody can send a wrong Host header: the request's own line is enough, without a traceback each.
            "django.security.DisallowedHost": {"handlers": ["null"], "propagate": False},
        },
    }
