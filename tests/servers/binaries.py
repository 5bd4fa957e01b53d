"""Where the real servers are: named by the environment, on PATH, or unpacked into .tools/ by scripts/fetch_tools.py."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools"
FETCH = "scripts/fetch_tools.py"


@dataclass(frozen=True)
class PrometheusBinaries:
    """Server and promtool of one release: the two belong together."""

    version: str
    prometheus: Path
    promtool: Path

    @property
    def major_minor(self) -> str:
        return ".".join(self.version.split(".")[:2])

    @property
    def number(self) -> tuple[int, ...]:
        return tuple(int(part) for part in re.findall(r"\d+", self.version)[:3])


@cache
def version_of(binary: Path, flag: str = "--version") -> str:
    """The first dotted number the program prints of itself; '' when it cannot run here."""
    try:
        done = subprocess.run(
            [binary, flag], capture_output=True, text=True, timeout=30, env={**os.environ, **library_path(binary)}
        )
    except OSError:
        return ""
    match = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)
    return match.group() if match and done.returncode == 0 else ""


@cache
def prometheus_releases() -> dict[str, PrometheusBinaries]:
    """By 'major.minor', oldest first."""
    pairs = [
        (os.environ.get("PROMETHEUS"), os.environ.get("PROMTOOL")),
        (shutil.which("prometheus"), shutil.which("promtool")),
        *((folder / "usr/bin/prometheus", folder / "usr/bin/promtool") for folder in sorted(TOOLS.glob("prometheus*"))),
    ]
    found: dict[str, PrometheusBinaries] = {}
    for server, tool in pairs:
        if server and tool and (version := version_of(Path(server))) and version_of(Path(tool)):
            release = PrometheusBinaries(version, Path(server), Path(tool))
            found.setdefault(release.major_minor, release)
    return dict(sorted(found.items(), key=lambda item: item[1].number))


@cache
def find(program: str, variable: str | None = None) -> Path:
    """The program's path, .tools/ before PATH; fails the test with what to do when there is none."""
    named = os.environ.get(variable or program.upper().replace("-", "_"))
    candidates = [
        *([Path(named)] if named else []),
        *sorted(TOOLS.glob(f"*/usr/bin/{program}"), key=lambda path: version_of(path), reverse=True),
        *sorted(TOOLS.glob(f"*/usr/sbin/{program}")),
        *sorted(TOOLS.glob(f"*/usr/lib/postgresql/*/bin/{program}"), reverse=True),
        *sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), reverse=True),
        *([Path(path)] if (path := shutil.which(program)) else []),
        Path("/usr/sbin") / program,  # not on everybody's PATH
    ]
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return candidate
    pytest.fail(f"{program} is missing: run {FETCH} (make test does)", pytrace=False)


def unpacked_root(binary: Path) -> Path:
    """The folder that plays `/` for this program: `/` itself when it is installed."""
    return next((parent for parent in binary.parents if (parent / "usr").is_dir()), Path("/"))


def library_path(binary: Path) -> dict[str, str]:
    """LD_LIBRARY_PATH for a program that was unpacked together with libraries this machine may lack."""
    root = unpacked_root(binary)
    if root == Path("/"):
        return {}
    folders = {path.parent for top in ("usr/lib", "lib") for path in root.glob(f"{top}/*-linux-gnu*/**/*.so.*")}
    return {"LD_LIBRARY_PATH": ":".join(map(str, sorted(folders)))} if folders else {}


def missing() -> dict[str, str]:
    """What the fetch script could not get, with its reason."""
    return {path.stem: path.read_text().strip() for path in sorted(TOOLS.glob("*.missing"))}
