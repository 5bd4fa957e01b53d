#!/usr/bin/env python3
"""Unpacks servers into .tools/<name>/ without installing them; nothing outside this clone is touched.

    scripts/fetch_tools.py prometheus            what the demo runs on: this Debian's prometheus and promtool
    scripts/fetch_tools.py --tests               everything the tests use
    scripts/fetch_tools.py --path prometheus     print the program's path (fetching it if need be)

First choice: Debian's packages, through the mirror this machine's apt uses, with package lists of our own under
.tools/apt and apt's own checking of signatures. Second choice: the upstream release with its published checksum.
What is there already costs nothing. What cannot be had leaves its reason in .tools/<name>.missing.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

TOOLS = Path(__file__).resolve().parent.parent / ".tools"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
CURRENT = "sid"
ALERTMANAGER_FILES = b"./" * 8 + b"alertmanager-files"  # exactly as long as the path it replaces
GITHUB = "https://github.com/prometheus"


class Unavailable(Exception):
    """The tool cannot be had this way; the message is for a person."""


@dataclass(frozen=True)
class Tool:
    name: str
    provides: str  # a program that is there when the tool is; may hold a wildcard
    packages: tuple[str, ...]
    suites: tuple[str | None, ...] = (None,)  # tried in order; None: this machine's own
    with_libraries: bool = False  # also the libraries that this machine lacks
    upstream: tuple[tuple[str, str], ...] = ()  # (project, version) released on GitHub
    installed: str | None = None  # where Debian keeps it when it is installed; then nothing is fetched

    @property
    def folder(self) -> Path:
        return TOOLS / self.name


OWN = Tool("prometheus", "usr/bin/promtool", ("prometheus",), upstream=(("prometheus", "2.53.4"),))
TESTS = (
    OWN,
    Tool(
        "prometheus-current",
        "usr/bin/promtool",
        ("prometheus", "promtool"),
        suites=(CURRENT,),
        upstream=(("prometheus", "3.5.3"),),
    ),
    Tool(
        "alertmanager",
        "usr/bin/prometheus-alertmanager",
        ("prometheus-alertmanager",),
        suites=(CURRENT, None),
        upstream=(("alertmanager", "0.33.1"),),
    ),
    Tool("victoria-metrics", "usr/bin/vmalert", ("victoria-metrics",), suites=(CURRENT,)),
    Tool(
        "postgresql",
        "usr/lib/postgresql/*/bin/postgres",
        ("postgresql",),
        with_libraries=True,
        installed="/usr/lib/postgresql/*/bin/postgres",
    ),
    Tool("redis", "usr/bin/redis-server", ("redis-server",), with_libraries=True, installed="/usr/bin/redis-server"),
    Tool("pgbouncer", "usr/sbin/pgbouncer", ("pgbouncer",), with_libraries=True, installed="/usr/sbin/pgbouncer"),
    Tool("nginx", "usr/sbin/nginx", ("nginx", "openssl"), with_libraries=True, installed="/usr/sbin/nginx"),
)
NAMES = {tool.name: tool for tool in TESTS}


def say(text: str) -> None:
    print(f"fetch_tools: {text}", file=sys.stderr, flush=True)


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    if done.returncode:
        words = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise Unavailable(f"{Path(command[0]).name}: {' / '.join(words[-3:])}")
    return done.stdout


# ------------------------------------------------------------------------------------------------ Debian


class Debian:
    """apt with sources and state of its own: works unprivileged, on empty package lists too."""

    def __init__(self, suite: str | None) -> None:
        release = platform.freedesktop_os_release()
        if release.get("ID") != "debian" or not shutil.which("apt-get"):
            raise Unavailable(f"this is {release.get('PRETTY_NAME', 'not Debian')}, whose packages are not used")
        self.suite = suite or release.get("VERSION_CODENAME", "sid")
        self.folder = TOOLS / "apt" / self.suite
        for name in ("lists/partial", "cache/archives/partial"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        sources = self.folder / "sources.list"
        signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""  # else apt's own trusted keys decide
        sources.write_text(f"deb {signed}{debian_mirror()} {self.suite} main\n")
        self._options = [
            *("-o", f"Dir::Etc::sourcelist={sources}", "-o", "Dir::Etc::sourceparts=-"),
            *("-o", f"Dir::State::Lists={self.folder / 'lists'}", "-o", f"Dir::Cache={self.folder / 'cache'}"),
            *("-o", "APT::Sandbox::User=", "-o", "APT::Install-Recommends=false", "-o", "APT::Get::List-Cleanup=false"),
            *("-o", "Acquire::Languages=none", "-o", "Acquire::Retries=3", "-o", "Debug::NoLocking=true"),
            *("-o", "APT::Update::Error-Mode=any"),
        ]
        self._apt("update")

    def _apt(self, *arguments: str, cwd: Path | None = None) -> str:
        return run("apt-get", *self._options, "-q", *arguments, cwd=cwd)

    def unpack(self, tool: Tool, into: Path) -> None:
        packages = list(tool.packages)
        if tool.with_libraries:
            packages = self._lacking(tool.packages)
        with tempfile.TemporaryDirectory(dir=self.folder) as debs:
            self._apt("download", *packages, cwd=Path(debs))
            for deb in sorted(Path(debs).glob("*.deb")):
                run("dpkg", "-x", deb, into)

    def _lacking(self, packages: tuple[str, ...]) -> list[str]:
        """The packages and those of their dependencies that are not installed here, as apt resolves them."""
        simulated = self._apt("--simulate", "install", *packages)
        # LLVM is 30 MB for a just-in-time compiler that stays off.
        return [name for name in re.findall(r"^Inst (\S+)", simulated, re.MULTILINE) if not name.startswith("libllvm")]


@cache
def debian_of(suite: str | None) -> Debian:
    return Debian(suite)


def debian_mirror(etc: Path = Path("/etc/apt")) -> str:
    """The Debian archive in this machine's apt sources, of either format."""
    for file in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        if not file.is_file() or file.suffix not in (".list", ".sources"):
            continue
        for line in file.read_text(errors="replace").splitlines():
            if line.startswith(("deb ", "URIs:")):
                for word in line.split():
                    if re.fullmatch(r"(https?|file|mirror\+\w+):\S*/debian/?", word):
                        return word
    return "http://deb.debian.org/debian"


# ------------------------------------------------------------------------------------------------ upstream


def unpack_upstream(project: str, version: str, into: Path) -> None:
    """The release archive, against the checksums published beside it."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    name = f"{project}-{version}.{platform.system().lower()}-{machine}"
    base = f"{GITHUB}/{project}/releases/download/v{version}"
    published = download(f"{base}/sha256sums.txt").decode().splitlines()
    checksums = {file: digest for digest, file in (line.split() for line in published)}
    archive = download(f"{base}/{name}.tar.gz")
    if hashlib.sha256(archive).hexdigest() != checksums.get(f"{name}.tar.gz"):
        raise Unavailable(f"{name}.tar.gz does not have its published checksum")
    target = into / "usr/bin"
    target.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for program in {"prometheus", "promtool", "alertmanager", "amtool"} & {
            Path(member).name for member in tar.getnames()
        }:
            content = tar.extractfile(f"{name}/{program}")
            assert content is not None
            file = target / (f"prometheus-{program}" if program == "alertmanager" else program)  # as Debian calls it
            file.write_bytes(content.read())
            file.chmod(0o755)


def download(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 — always https
            content: bytes = answer.read()
            return content
    except OSError as error:
        raise Unavailable(f"{url}: {error}") from error


# ------------------------------------------------------------------------------------------------ both


@contextmanager
def one_at_a_time() -> Iterator[None]:
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left_over in TOOLS.glob("unpacking-*"):  # somebody was interrupted
            shutil.rmtree(left_over)
        yield


def present(tool: Tool) -> bool:
    return any(tool.folder.glob(tool.provides))


def provide(tool: Tool) -> bool:
    """Makes .tools/<name> complete or leaves it absent; True when the tool can be used."""
    missing = TOOLS / f"{tool.name}.missing"
    if present(tool) or (tool.installed and any(Path("/").glob(tool.installed.lstrip("/")))):
        missing.unlink(missing_ok=True)
        return True
    reasons = []
    ways = [partial(from_debian, suite) for suite in tool.suites] + [from_upstream]
    for way in ways:
        with tempfile.TemporaryDirectory(dir=TOOLS, prefix="unpacking-") as temporary:
            folder = Path(temporary) / tool.name
            folder.mkdir()
            try:
                way(tool, folder)
                if not any(folder.glob(tool.provides)):
                    raise Unavailable(f"the packages hold no {tool.provides}")
            except Unavailable as reason:
                reasons.append(str(reason))
                continue
            shutil.rmtree(tool.folder, ignore_errors=True)
            folder.rename(tool.folder)
            missing.unlink(missing_ok=True)
            return True
    missing.write_text("; ".join(reasons) + "\n")
    say(f"{tool.name} could not be had: {'; '.join(reasons)}")
    return False


def from_debian(suite: str | None, tool: Tool, folder: Path) -> None:
    debian = debian_of(suite)
    say(f"{tool.name}: unpacking Debian {debian.suite}'s {', '.join(tool.packages)} into .tools/")
    debian.unpack(tool, folder)
    if (alertmanager := folder / "usr/bin/prometheus-alertmanager").exists():
        # Debian's build wants its two templates at an absolute place: look below the working directory instead.
        alertmanager.write_bytes(
            alertmanager.read_bytes().replace(b"/usr/share/prometheus/alertmanager", ALERTMANAGER_FILES)
        )


def from_upstream(tool: Tool, folder: Path) -> None:
    if not tool.upstream:
        raise Unavailable("install it with your package manager and put it on PATH")
    for project, version in tool.upstream:
        say(f"{tool.name}: fetching {project} {version} from {GITHUB}")
        unpack_upstream(project, version, folder)


def path_of(program: str) -> Path | None:
    """Named by the environment (PROMETHEUS, PROMTOOL), else on PATH, else unpacked here."""
    if named := os.environ.get(program.upper().replace("-", "_")):
        return Path(named)
    if found := shutil.which(program):
        return Path(found)
    unpacked = OWN.folder / "usr/bin" / program
    return unpacked if os.access(unpacked, os.X_OK) else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *NAMES], metavar="name", help=" ".join(NAMES))
    parser.add_argument(
        "--tests", action="store_true", help="everything the tests use; fails only without any Prometheus"
    )
    parser.add_argument("--path", metavar="PROGRAM", choices=["prometheus", "promtool"])
    options = parser.parse_args()
    with one_at_a_time():
        if options.path:
            found = path_of(options.path) or (provide(OWN) and path_of(options.path)) or None
            if not found:
                say("get a release from https://prometheus.io/download and put its prometheus and promtool on PATH")
                return 1
            print(found)
            return 0
        wanted = TESTS if options.tests else [NAMES[name] for name in options.names]
        provided = {tool.name: provide(tool) for tool in wanted}
    if options.tests:
        return 0 if any(ok for name, ok in provided.items() if name.startswith("prometheus")) else 1
    return 0 if all(provided.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
