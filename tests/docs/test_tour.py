"""The README's tour, typed as it stands into a shell beside a real Prometheus, prints what the README says."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docs.documents import REWRITE, ROOT, Block, blocks, same
from tests.servers.binaries import PrometheusBinaries
from tests.servers.processes import Process, free_port

README = ROOT / "README.md"
TypeIn = Callable[[str], list[str]]
END = "--- end of command ---"

# What differs from run to run.
VARYING = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r'"value": "[^"]*"', '"value": "N"'),
    (r"revision \d+", "revision N"),
)


def tour() -> list[Block]:
    found = [block for block in blocks(README.read_text("utf-8")) if block.title.startswith("tour: ")]
    assert found
    return found


def commands(block: Block) -> list[str]:
    """Each as typed: after `$`, with its further lines after `>`."""
    found = re.findall(r"^\$ (.*(?:\n> ?.*)*)", block.body, re.MULTILINE)
    return [re.sub(r"\n> ?", "\n", command) for command in found]


def typed(command: str) -> str:
    return "$ " + command.replace("\n", "\n> ").replace("> \n", ">\n") + "\n"


@pytest.fixture
def stand_in(tmp_path: Path, prometheus_binaries: dict[str, PrometheusBinaries]) -> Iterator[TypeIn]:
    """Types a script in a place that looks like a fresh clone after `make setup`; the output, command by command."""
    release = list(prometheus_binaries.values())[-1]
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ("alerts", "config_server", "migrations", "scripts", "manage.py"):
        (clone / name).symlink_to(ROOT / name)
    private = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment = private | {"PROMETHEUS": str(release.prometheus), "PROMTOOL": str(release.promtool)}
    environment |= {"VAR_DIR": str(clone / "var"), "PYTHONPATH": str(clone)}
    processes: list[Process] = []

    def type_in(script: str) -> list[str]:
        process = Process(["bash", "-c", script], clone, env=environment)
        processes.append(process.start())
        process.wait(150)
        return process.output.split(END + "\n")[:-1]

    yield type_in
    for process in processes:
        process.stop()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="the tour is written for curl")
def test_tour_prints_what_the_readme_says(stand_in: TypeIn) -> None:
    ports = {"8000": str(free_port()), "9090": str(free_port())}
    script = ["exec 2>&1", f"export PROMETHEUS_URL=http://127.0.0.1:{ports['9090']}"]
    for block in tour():
        for command in commands(block):
            for written, here in ports.items():
                command = command.replace(f":{written}", f":{here}").replace(f'"port": {written}', f'"port": {here}')
            command = command.replace(".venv/bin/python", str(ROOT / ".venv/bin/python"))
            command = re.sub(r"manage\.py up\b", f"manage.py up --port {ports['8000']}", command)
            script += ["true" if command == "make setup" else command, f"echo '{END}'"]
    outputs = iter(stand_in("\n".join(script)))
    for block in tour():
        printed = ""
        for command in commands(block):
            output = next(outputs, "the shell ended before\n")
            for written, here in ports.items():
                output = re.sub(rf"\b{here}\b", written, output)
            output = output.rstrip("\n")
            printed += typed(command) + (output + "\n" if output else "")
        compare(block, printed)


def compare(block: Block, printed: str) -> None:
    """As it stands when only what varies differs."""
    if steady(printed) != steady(block.body):
        if not REWRITE:
            assert steady(printed) == steady(block.body)
        same(README, block, printed)


def steady(text: str) -> str:
    for pattern, word in VARYING:
        text = re.sub(pattern, word, text)
    return text.rstrip("\n")
