"""Console blocks of the documents: what is typed in them, and what they show."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.documents import REWRITE, ROOT, Block, blocks, same
from tests.servers.processes import free_port

END = "--- end of command ---"
WEB, PROMETHEUS = "8000", "9090"

# What differs from run to run.
VARYING = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r'"value": "[^"]*"', '"value": "N"'),
    (r"revision \d+", "revision N"),
)

# How the tour begins; other documents begin after it.
BEGINNING = r"""
export PROMTOOL_PATH=$(scripts/fetch_tools.py --path promtool)
mkdir -p var
.venv/bin/python manage.py up >var/up.log 2>&1 &
until grep -qs '^ready' var/up.log; do sleep 0.2; done
.venv/bin/python manage.py create_api_token --user me --role admin >var/my-token
"""


class Session:
    """The blocks of a document whose title begins with a word, on ports of their own."""

    def __init__(self, document: Path, word: str) -> None:
        self.document = document
        self.word = word
        self.ports = {WEB: str(free_port()), PROMETHEUS: str(free_port())}

    @property
    def blocks(self) -> list[Block]:
        found = [
            block for block in blocks(self.document.read_text("utf-8")) if block.title.startswith(f"{self.word}: ")
        ]
        assert found, "the document shows nothing"
        return found

    def script(self, beginning: str = "", end: str = "") -> str:
        lines = ["exec 2>&1", f"export PROMETHEUS_URL=http://127.0.0.1:{self.ports[PROMETHEUS]}", self._here(beginning)]
        for block in self.blocks:
            for command in commands(block):
                lines += ["true" if command == "make setup" else self._here(command), f"echo '{END}'"]
        return "\n".join([*lines, end])

    def compare(self, outputs: list[str]) -> None:
        """Every block shows what was printed; with DOCS_REWRITE it does so afterwards."""
        left = iter(outputs)
        for block in self.blocks:
            shown = ""
            for command in commands(block):
                output = next(left, "the shell ended before\n")
                for written, here in self.ports.items():
                    output = re.sub(rf"\b{here}\b", written, output)
                output = output.rstrip("\n")
                shown += typed(command) + (output + "\n" if output else "")
            if steady(shown) != steady(block.body):
                assert REWRITE, f"{block.title}: it prints this now:\n{shown}"
                same(self.document, block, shown)

    def _here(self, command: str) -> str:
        for written, here in self.ports.items():
            command = command.replace(f":{written}", f":{here}").replace(f'"port": {written}', f'"port": {here}')
        command = command.replace(".venv/bin/python", str(ROOT / ".venv/bin/python"))
        return re.sub(r"manage\.py up\b", f"manage.py up --port {self.ports[WEB]}", command)


def commands(block: Block) -> list[str]:
    """Each as typed: after `$`, with its further lines after `>`."""
    found = re.findall(r"^\$ (.*(?:\n> ?.*)*)", block.body, re.MULTILINE)
    return [re.sub(r"\n> ?", "\n", command) for command in found]


def typed(command: str) -> str:
    return "$ " + command.replace("\n", "\n> ").replace("> \n", ">\n") + "\n"


def steady(text: str) -> str:
    """Without what differs from run to run."""
    for pattern, word in VARYING:
        text = re.sub(pattern, word, text)
    return text.rstrip("\n")
