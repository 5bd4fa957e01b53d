"""The key that signs sessions: from the environment, or made once and kept beside the data."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from config_server.environment import Environment

SHORTEST = 32


def secret_key(environment: Environment, var_dir: Path, *, required: bool) -> str:
    """``SECRET_KEY``; where it is not ``required``, the content of ``var/secret-key``, made by whoever comes first."""
    given = environment.given("SECRET_KEY")
    if given is not None:
        if len(given) < SHORTEST:
            environment.wrong(
                "alerts.E002",
                "SECRET_KEY",
                f"is shorter than {SHORTEST} characters.",
                "Make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(50))'",
            )
        return given
    if required:
        environment.wrong(
            "alerts.E002",
            "SECRET_KEY",
            "is not set; with PostgreSQL and DEBUG off every process needs the same one.",
            "Make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(50))'",
        )
        return ""
    path = var_dir / "secret-key"
    try:
        return _read(path) or _make(path)
    except OSError as error:
        environment.wrong(
            "alerts.E002",
            "SECRET_KEY",
            f"is not set and cannot be kept in {path}: {error.strerror}.",
            "Set it, or make VAR_DIR a directory this user can write.",
        )
        return ""


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return ""


def _make(path: Path) -> str:
    """Write it under another name and link it into place: of two processes that start together, both use one key."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(50))
            file.flush()
            os.fsync(file.fileno())
        if path.exists() and not _read(path):
            os.replace(draft, path)
        else:
            # Somebody else was first: theirs counts.
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return _read(path)
