"""The judge of rule files: ``promtool``, which comes with the Prometheus that will load them.

It prints, for 2.42 and 3.x alike, ``<file>: <line>:<column>: group "<g>", rule <n>, "<name>": <words>``; position and
place are left out where they make no sense, YAML errors run over several lines, and some are printed twice.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from alerts.adapters.verdicts import Content, Program, Verdicts, content_of, is_still, program

logger = logging.getLogger(__name__)

VERDICTS = Verdicts()

FILES_PER_RUN = 500  # an argument list has its limits
GOOD, REFUSED = (0, 3), 1  # 3: lint findings only
MAX_WORDS = 4_000
FEW_BYTES = 4 * 1024 * 1024  # some 10,000 rules: more would make promtool large in memory


class PromtoolError(Exception):
    """promtool gave no verdict. ``code`` is one of absent, timeout, broken."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(message)


@dataclass(frozen=True)
class Refusal:
    """One thing promtool objects to.

    ``line`` and ``column`` are those in the file, ``expr_line`` and ``expr_column`` those within the expression, all
    1-based, as is ``rule_index``. ``file`` is "" for words that name none.
    """

    file: str
    message: str
    line: int | None = None
    column: int | None = None
    group: str | None = None
    rule_index: int | None = None
    rule_name: str | None = None
    expr_line: int | None = None
    expr_column: int | None = None

    def __str__(self) -> str:
        place = f'group "{self.group}", rule {self.rule_index}, "{self.rule_name}": ' if self.rule_index else ""
        return f"{self.file}: {place}{self.message}" if self.file else f"{place}{self.message}"


class Promtool:
    """``path`` None: there is none, and the in-process checks have to do."""

    def __init__(self, path: str | Path | None, *, timeout: float = 60.0) -> None:
        self.path = str(path) if path else None
        self.timeout = timeout

    @property
    def available(self) -> bool:
        return self.path is not None and os.path.isfile(self.path) and os.access(self.path, os.X_OK)

    @cached_property
    def _version(self) -> str:
        done = self._run(["--version"], cwd=tempfile.gettempdir())
        match = re.search(r"version (\S+)", done.stdout + done.stderr)  # 2.42 prints it to stderr
        if done.returncode != 0 or match is None:
            raise PromtoolError("broken", f"{self.path} does not tell its version: {_tail(done)}")
        return match[1]

    def version(self) -> str:
        """As it prints it, e.g. ``3.5.3+ds1``; asked once."""
        return self._version

    def check(self, directory: str | Path, names: Collection[str] | None = None) -> list[Refusal]:
        """The verdict on some files of a directory (None: all its ``*.yml``); empty when there is no objection.

        Contents that have passed before are not judged again (see ``verdicts``).
        """
        directory = Path(directory)
        wanted = sorted(path.name for path in directory.glob("*.yml")) if names is None else sorted(names)
        refusals: list[Refusal] = []
        for start in range(0, len(wanted), FILES_PER_RUN):
            refusals += self._check(directory, wanted[start : start + FILES_PER_RUN])
        return refusals

    def check_rules_text(self, text: bytes | str) -> list[Refusal]:
        """The verdict on the text of one rule file; what it says of ``file`` means nothing."""
        data = text.encode() if isinstance(text, str) else text
        content, by = Content(sha256(data).digest()), self._program()
        if by is not None and VERDICTS.has_passed(by, content):
            return []
        with tempfile.TemporaryDirectory(prefix="promtool-") as directory:  # 0700
            (Path(directory) / "rules.yml").write_bytes(data)
            refusals = self._judge(Path(directory), ["rules.yml"])
        if by is not None and not refusals:
            VERDICTS.passed(by, [content])
        return refusals

    def _check(self, directory: Path, names: Sequence[str]) -> list[Refusal]:
        by = self._program()
        if by is None:
            return self._judge(directory, names)
        contents = {name: content_of(directory / name) for name in names}
        unknown = _unknown(by, contents)
        if not unknown:
            return []
        with VERDICTS.judging(by, [content for name in unknown if (content := contents[name])]):
            unknown = _unknown(by, contents)
            refusals = self._judge(directory, unknown) if unknown else []
            if not refusals and self._program() == by:
                judged = ((directory / name, contents[name]) for name in unknown)
                VERDICTS.passed(by, [content for file, content in judged if content and is_still(file, content)])
        return refusals

    def _program(self) -> Program | None:
        return program(self.path) if self.path is not None and self.available else None

    def _judge(self, directory: Path, names: Sequence[str]) -> list[Refusal]:
        paths = [f"./{name}" for name in names]
        done = self._run(["check", "rules", "--lint=none", *paths], cwd=directory, few=_are_few(directory, names))
        if done.returncode in GOOD:
            return []
        if done.returncode != REFUSED:
            raise PromtoolError("broken", f"{self.path} ended with code {done.returncode}: {_tail(done)}")
        refusals = list(parse_refusals(done.stderr, paths))
        return refusals or [Refusal("", _tail(done) or "promtool refused without a word")]

    def _run(self, arguments: Sequence[str], cwd: str | Path, *, few: bool = True) -> subprocess.CompletedProcess[str]:
        if self.path is None or not self.available:
            raise PromtoolError("absent", f"there is no promtool at {self.path}" if self.path else "no promtool found")
        command = [os.path.abspath(self.path), *arguments]
        environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "HOME": tempfile.gettempdir()}
        if few:
            environment["GOGC"] = "400"  # a quarter less CPU: starting makes most of the garbage
        try:
            return subprocess.run(
                command,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                timeout=self.timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise PromtoolError("timeout", f"promtool took longer than {self.timeout:g} s") from error
        except OSError as error:
            raise PromtoolError("broken", f"{self.path} cannot be run: {error.strerror}") from error


def _unknown(by: Program, contents: Mapping[str, Content | None]) -> list[str]:
    """The files that have to be judged."""
    return [name for name, content in contents.items() if content is None or not VERDICTS.has_passed(by, content)]


def _are_few(directory: Path, names: Sequence[str]) -> bool:
    try:
        return sum((directory / name).stat().st_size for name in names) <= FEW_BYTES
    except OSError:
        return False


_POSITION = re.compile(r"(\d+):(\d+): ")
_PLACE = re.compile(r'group "((?:[^"\\]|\\.)*)", rule (\d+), "((?:[^"\\]|\\.)*)": ', re.DOTALL)
_IN_EXPRESSION = re.compile(r"could not parse expression: (\d+):(\d+): ")


def parse_refusals(printed: str, paths: Sequence[str]) -> Iterator[Refusal]:
    """What promtool printed about these files, each objection once, in its order."""
    known = {f"{path}:" for path in paths}
    seen: set[tuple[str, str]] = set()
    for file, words in _objections(printed, known):
        if (file, words) not in seen:
            seen.add((file, words))
            yield _refusal(file.removeprefix("./"), words)


def _objections(printed: str, known: Collection[str]) -> Iterator[tuple[str, str]]:
    file, lines = "", list[str]()
    for line in printed.split("\n"):
        head, _, rest = line.partition(" ")
        if head in known:
            if lines:
                yield file, "\n".join(lines)
            file, lines = head.removesuffix(":"), [rest]
        elif line.strip() in ("", "FAILED:") or line.startswith("Checking "):
            continue
        elif lines:
            lines.append(line)  # YAML's own list of errors
        elif line.strip():
            yield "", line.strip()
    if lines:
        yield file, "\n".join(lines)


def _refusal(file: str, words: str) -> Refusal:
    line: int | None = None
    column: int | None = None
    expr_line = expr_column = index = group = name = None
    while match := _POSITION.match(words):  # now and then there are two; 0:0 means "somewhere"
        line, column = int(match[1]) or line, int(match[2]) or column
        words = words[match.end() :]
    if match := _PLACE.match(words):
        group, index, name = _unquote(match[1]), int(match[2]), _unquote(match[3])
        words = words[match.end() :]
    if match := _IN_EXPRESSION.match(words):
        expr_line, expr_column = int(match[1]), int(match[2])
    return Refusal(file, words[:MAX_WORDS], line, column, group, index, name, expr_line, expr_column)


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", '"': '"', "\\": "\\"}
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))", re.DOTALL)


def _unquote(text: str) -> str:
    """Go's %q, undone."""
    return _ESCAPE.sub(
        lambda match: _ESCAPES.get(match[4], match[0]) if match[4] else chr(int(match[1] or match[2] or match[3], 16)),
        text,
    )


def _tail(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stderr.strip() or done.stdout.strip())[-MAX_WORDS:]
