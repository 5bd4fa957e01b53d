"""The project around the app: what pages may load, and what a log line looks like."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest
from django.core import checks

from alerts.models import Namespace
from config_server.logs import OneLine


def line(message: str, *args: object, error: BaseException | None = None) -> str:
    exc_info = (type(error), error, error.__traceback__) if error else None
    return OneLine().format(logging.LogRecord("alerts.x", logging.WARNING, __file__, 1, message, args, exc_info))


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\x1b[31mb", "a\u2028b", "a\x00b", "a\x85b"])
def test_nothing_in_a_record_begins_another_line(text: str) -> None:
    found = line("said %s", text)
    assert len(found.splitlines()) == 1
    assert "\x1b" not in found


def test_a_traceback_stays_on_its_line() -> None:
    try:
        raise ValueError("no\ngood")
    except ValueError:
        found = line("failed", error=sys.exception())
    assert len(found.splitlines()) == 1
    assert "ValueError" in found


def test_a_line_says_when_how_bad_and_who() -> None:
    time, level, name, *_ = line("said").split()
    assert time.endswith("Z")
    assert (level, name) == ("WARNING", "alerts.x:")


def test_words_of_other_languages_stay_readable() -> None:
    assert "größe 監視" in line("größe 監視")


@pytest.mark.django_db
def test_a_page_loads_only_from_this_server(client: Any) -> None:
    response = client.get("/admin/login/")
    assert response.status_code == 200
    assert "default-src 'self'" in response["Content-Security-Policy"]
    assert "script-src" not in response["Content-Security-Policy"]
    assert (response["X-Frame-Options"], response["X-Content-Type-Options"]) == ("DENY", "nosniff")


def test_static_files_are_served_without_being_collected(client: Any) -> None:
    response = client.get("/static/admin/css/base.css")
    assert response.status_code == 200
    assert b"".join(response.streaming_content)


@pytest.mark.django_db
@pytest.mark.parametrize("setting", ["TARGET_LABEL", "SCOPE_LABEL"])
def test_a_label_setting_that_a_namespace_already_uses_is_found(settings: Any, setting: str) -> None:
    Namespace.objects.create(name="site", label="place")
    setattr(settings, setting, "place")
    found = checks.run_checks(tags=["alerts"], databases=["default"])
    assert [message.id for message in found if message.level >= checks.ERROR] == ["alerts.E017"]
