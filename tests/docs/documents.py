"""The documents as data: their links, tables and fenced blocks.

``DOCS_REWRITE=1 .venv/bin/pytest tests/docs`` writes what the product prints into them instead of comparing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REWRITE = os.environ.get("DOCS_REWRITE") == "1"

_FENCE = re.compile(
    r"(?:^<!-- (?P<title>[^>]+) -->\n)?^```(?P<language>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


def documents() -> list[Path]:
    """All that is written for people."""
    own = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return [*own, *sorted((ROOT / "docs").glob("*.md"))]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@dataclass(frozen=True)
class Block:
    """A fenced block; ``title`` is the words of a comment on the line above."""

    title: str
    language: str
    body: str


def blocks(text: str, *, language: str = "") -> list[Block]:
    found = (Block(match["title"] or "", match["language"], match["body"]) for match in _FENCE.finditer(text))
    return [block for block in found if not language or block.language == language]


def prose(text: str) -> str:
    """The text without fenced blocks."""
    return _FENCE.sub("", text)


def links(text: str) -> Iterator[str]:
    return (match[1] for match in _LINK.finditer(prose(text)))


def anchors(text: str) -> set[str]:
    """What headings can be linked as, in the manner of GitHub."""
    headings = (re.sub(r"[`*]", "", match[1]).strip().lower() for match in _HEADING.finditer(prose(text)))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


def table(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its two head lines."""
    _, _, rest = text.partition(f"\n{heading}\n")
    lines = re.search(r"(?:^\|.*\|\n)+", rest, re.MULTILINE)
    assert lines, f"there is no table below {heading!r}"
    rows = lines.group().splitlines()[2:]
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def same(path: Path, block: Block, printed: str) -> None:
    """The block says what the product printed; with DOCS_REWRITE it does so afterwards."""
    printed = printed.rstrip("\n") + "\n"
    if REWRITE and block.body != printed:
        head = f"<!-- {block.title} -->\n```{block.language}\n"
        text = path.read_text("utf-8")
        assert text.count(head + block.body) == 1
        path.write_text(text.replace(head + block.body, head + printed), "utf-8")
        return
    assert printed == block.body, f"{named(path)}: {block.title}"
