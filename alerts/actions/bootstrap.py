"""The first administrator: there is no default password."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction

from alerts.models import PolicyState

USERNAME = "admin"


@dataclass(frozen=True)
class FirstAdmin:
    """``path`` is where the password was written; None: it was shown on the terminal."""

    username: str
    path: Path | None


def make_first_admin(out: TextIO) -> FirstAdmin | None:
    """Make one unless somebody can administer already; of several processes that start together, one does.

    The password goes to ``out`` when that is a terminal, else into ``var/initial-admin-password``, readable for its
    owner only, and ``out`` is told the path.
    """
    User: Any = get_user_model()
    with transaction.atomic():
        PolicyState.lock()
        if User.objects.filter(is_superuser=True, is_active=True).exists():
            return None
        password = secrets.token_urlsafe(15)
        user, _ = User.objects.get_or_create(username=USERNAME)
        user.is_active = user.is_staff = user.is_superuser = True
        user.set_password(password)
        user.save()
        path = None if out.isatty() else Path(settings.VAR_DIR) / "initial-admin-password"
        if path is not None:
            _write_private(path, password)
    # Only now: a password on the screen must be a true one.
    if path is None:
        out.write(f"First start: sign in as {USERNAME} with the password {password}\n")
    else:
        out.write(f"First start: sign in as {USERNAME}; the password is in {path}\n")
    out.flush()
    return FirstAdmin(USERNAME, path)


def _write_private(path: Path, password: str) -> None:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(password + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
