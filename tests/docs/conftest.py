"""A shell in a place that looks like a fresh clone after `make setup`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docs.documents import ROOT
from tests.docs.sessions import END
from tests.servers.binaries import PrometheusBinaries
from tests.servers.processes import Process

IN_A_CLONE = ("alerts", "config_server", "migrations", "scripts", "manage.py")


@pytest.fixture
def type_in(tmp_path: Path, prometheus_binaries: dict[str, PrometheusBinaries]) -> Iterator[Callable[[str], list[str]]]:
    """Types a script; the output, command by command."""
    release = list(prometheus_binaries.values())[-1]
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in IN_A_CLONE:
        (clone / name).symlink_to(ROOT / name)
    private = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment = private | {"PROMETHEUS": str(release.prometheus), "PROMTOOL": str(release.promtool)}
    environment |= {"VAR_DIR": str(clone / "var"), "PYTHONPATH": str(clone)}
    processes: list[Process] = []

    def run(script: str) -> list[str]:
        process = Process(["bash", "-c", script], clone, env=environment)
        processes.append(process.start())
        process.wait(150)
        return process.output.split(END + "\n")[:-1]

    yield run
    for process in processes:
        process.stop()
