"""Which real servers a test run has started, counted across all its worker processes."""

from __future__ import annotations

import os
from pathlib import Path


def _file() -> Path:
    return Path(os.environ["CONFIG_SERVER_TEST_RUN"]) / "servers"


def note(server: str) -> None:
    """One short line in one write: appends of several processes do not mix."""
    with _file().open("a") as file:
        file.write(server + "\n")


def entries() -> list[str]:
    try:
        return _file().read_text().splitlines()
    except (KeyError, FileNotFoundError):
        return []
