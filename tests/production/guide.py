"""The blocks of docs/production.md, to be typed as they stand."""

from __future__ import annotations

import os
import re

from tests.docs.documents import ROOT, blocks
from tests.docs.sessions import commands, typed
from tests.production.conftest import Installation
from tests.servers.binaries import find, library_path

GUIDE = ROOT / "docs/production.md"
VARYING = (
    (r"\d+ files, \d+ rules of release \d+", "N files, N rules of release N"),
    (r"\([0-9a-f]{12}\)", "(HASH)"),
)


def body(title: str) -> str:
    (block,) = (block for block in blocks(GUIDE.read_text("utf-8")) if block.title == title)
    return block.body


def type_block(title: str, installation: Installation, **variables: str) -> None:
    """Every command of the block ends well and prints what the guide shows."""
    (block,) = (block for block in blocks(GUIDE.read_text("utf-8")) if block.title == title)
    pg_dump = find("pg_dump")
    environment = installation.environment | library_path(pg_dump) | variables
    environment["PATH"] = f"{ROOT / '.venv/bin'}:{pg_dump.parent}:{os.environ['PATH']}"
    printed = "".join(
        typed(command) + Installation(environment).run("bash", "-euc", command) for command in commands(block)
    )
    assert steady(printed) == steady(block.body)


def steady(text: str) -> str:
    for pattern, word in VARYING:
        text = re.sub(pattern, word, text)
    return text


def sql(title: str, database: str) -> list[str]:
    """The statements of a block, for a database (and its roles) of another name."""
    text = re.sub(r"--.*", "", body(title)).replace("config_server", database)
    return [statement.strip() for statement in text.split(";") if statement.strip()]


def renamed(url: str, **parts: str) -> str:
    """A database URL with another user or database."""
    url = re.sub(r"//[^@]*@", f"//{parts['user']}@", url) if "user" in parts else url
    return f"{url.rpartition('/')[0]}/{parts['database']}" if "database" in parts else url
