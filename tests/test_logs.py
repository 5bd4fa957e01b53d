"""Log lines: one record is one line in either format, says what it is about, and never holds a secret."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from config_server.logs import InContext, JsonLine, OneLine, Secrets, about

ROOT = Path(__file__).resolve().parent.parent
HOSTILE = ["a\nb", "a\r\nb", "a\x1b[31mb", "a\u2028b", "a\x00b", "a\x85b", "a\x7fb", "a\udcffb"]


def record(message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error else None
    made = logging.LogRecord("alerts.x", logging.WARNING, __file__, 1, message, args, exc_info)
    assert InContext().filter(made)
    return made


def as_json(made: logging.LogRecord) -> dict[str, object]:
    line = JsonLine().format(made)
    assert len(line.splitlines()) == 1
    found: dict[str, object] = json.loads(line)
    return found


@pytest.mark.parametrize("text", HOSTILE)
def test_a_json_line_is_one_line_of_json(text: str) -> None:
    found = as_json(record("said %s", text))
    assert found.keys() == {"time", "level", "logger", "message"}
    assert str(found["message"]).startswith("said a")


def test_a_json_line_has_its_traceback_in_a_field_of_its_own() -> None:
    try:
        raise ValueError("no\ngood")
    except ValueError:
        found = as_json(record("failed", error=sys.exception()))
    assert found["message"] == "failed"
    assert "ValueError: no\ngood" in str(found["exception"])


def test_records_say_what_they_are_about() -> None:
    with about(request_id="abcd-1", server="eu"):
        with about(release=12):
            inner = record("delivered")
        outer = record("done")
    after = record("idle")
    assert "WARNING alerts.x [request_id=abcd-1 server=eu release=12]: delivered" in OneLine().format(inner)
    found = as_json(inner)
    assert (found["request_id"], found["server"], found["release"]) == ("abcd-1", "eu", "12")
    assert "alerts.x [request_id=abcd-1 server=eu]: done" in OneLine().format(outer)
    assert "alerts.x: idle" in OneLine().format(after)


TOKEN = "cs_" + "Ab3-_" * 8
SECRETS = {
    "a header": (f"sent {{'Authorization': 'Bearer {TOKEN}'}}", TOKEN),
    "a bearer of another maker": ("Authorization: Bearer eyJhbGciOi.eyJzdWIi", "eyJhbGciOi"),
    "basic credentials": ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA"),
    "a token of ours alone": (f"no such token: {TOKEN}", TOKEN),
    "a password in a URL": ("GET http://scraper:hunter22@10.0.0.1:9090/x failed", "hunter22"),
    "a short password in a URL": ("redis://:pw@h:6379/0 is away", ":pw@"),
    "a query parameter": ("GET /x?page=1&token=deadbeef&y=2", "deadbeef"),
    "a connection string": ("host=db password=hunter22 dbname=x", "hunter22"),
    "a JSON field": ('{"password": "hunter22"}', "hunter22"),
    "a variable's value": ("the answer was correct-horse", "correct-horse"),
    "a database's password": ("FATAL: p%40ss/word and p@ss/word", "word"),
}
VARIABLES = {
    "PROM_AUTH_EU": "correct-horse",
    "DATABASE_URL": "postgresql://u:p%40ss%2Fword@h/d",
    "CELERY_BROKER_URL": "redis://:brokers-own@h/0",
}


@pytest.mark.parametrize(("text", "secret"), SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("formatter", [OneLine, JsonLine])
def test_a_secret_is_hidden_wherever_it_stands(
    monkeypatch: pytest.MonkeyPatch, formatter: type[logging.Formatter], text: str, secret: str
) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    text = text.replace("p%40ss/word", "p%40ss%2Fword")
    try:
        raise RuntimeError(text)
    except RuntimeError as error:
        found = formatter().format(record("%s", text, error=error))
    # The source line of a traceback is ours; what was raised with it is not.
    assert secret not in found
    assert "***" in found


@pytest.mark.parametrize(
    "text",
    [
        "release 12 verified: 40 rules, revision 7",
        "http://127.0.0.1:9090/api/v1/rules answered 500",
        "GET /api/v1/targets/{id} 200 1.5ms user@example.org",
        "the token is not valid",
        "the password is too short",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Secrets(VARIABLES).hide(text) == text


def test_the_formats_need_no_django() -> None:
    code = "import sys, config_server.logs; print(sorted({'django', 'celery', 'alerts'} & set(sys.modules)))"
    keep = {"PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=keep, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
