"""The first administrator."""

from __future__ import annotations

import stat
import threading
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import authenticate, get_user_model
from django.db import connection

from alerts.actions.bootstrap import make_first_admin
from alerts.actions.tokens import role_of

User: Any = get_user_model()


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def var(settings: Any, tmp_path: Path) -> Path:
    settings.VAR_DIR = tmp_path
    return tmp_path


@pytest.mark.django_db
def test_without_a_terminal_the_password_goes_into_a_private_file(var: Path) -> None:
    out = StringIO()
    made = make_first_admin(out)
    assert made is not None
    path = var / "initial-admin-password"
    assert made.path == path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    password = path.read_text().strip()
    assert str(path) in out.getvalue()
    assert password not in out.getvalue()
    user = authenticate(username="admin", password=password)
    assert role_of(user) == "admin"
    assert user.is_staff
    assert list(var.iterdir()) == [path]


@pytest.mark.django_db
def test_on_a_terminal_the_password_is_shown_and_not_written(var: Path) -> None:
    out = Terminal()
    make_first_admin(out)
    assert authenticate(username="admin", password=out.getvalue().split()[-1]) is not None
    assert list(var.iterdir()) == []


@pytest.mark.django_db
def test_nothing_happens_where_somebody_can_administer(var: Path) -> None:
    User.objects.create_superuser("root", password="x")
    out = StringIO()
    assert make_first_admin(out) is None
    assert (out.getvalue(), User.objects.count(), list(var.iterdir())) == ("", 1, [])


@pytest.mark.django_db
def test_no_admin_is_made_whose_password_cannot_be_kept(var: Path, settings: Any) -> None:
    settings.VAR_DIR = var / "missing"
    with pytest.raises(FileNotFoundError):
        make_first_admin(StringIO())
    assert not User.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_several_that_start_together_one_makes_it(var: Path) -> None:
    start = threading.Barrier(4)
    made: list[Any] = []

    def run() -> None:
        start.wait()
        try:
            made.append(make_first_admin(StringIO()))
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(one is not None for one in made) == 1
    assert authenticate(username="admin", password=(var / "initial-admin-password").read_text().strip())
