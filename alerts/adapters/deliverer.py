"""Giving one server one set of files, whichever way it is reached: the contract, and the order of its steps.

    stage → check → activate → read back;   when anything is off after activating: go back

There are two ways so far, one class (``DirectoryDelivery``): from the control plane into a shared directory, and from
the agent beside a remote server. A third that pushes to a ruler's API (Mimir, Cortex) would

- *stage*: ask for the groups it holds now, and keep them to go back to; the difference to the bundle is what changed;
- *check*: give the changed files to promtool, from a temporary folder;
- *activate*: put the changed groups and delete the others, in that order. The whole does not change in one step
  there: so it records which bundle it is at before the first request, and whoever takes over does the same again;
- *read back*: ask for all groups, and compare;
- *go back*: put the kept groups again; those of ``fallback`` when it no longer has them;
- *look*: read back without waiting.

Nothing here knows of databases or of Django: the agent has neither.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol

from alerts.adapters.promtool import Refusal
from alerts.adapters.release_files import Manifest, content_hash, manifest_of
from alerts.adapters.written_rules import ExpectedFile, expect_bytes, expect_rendered
from alerts.domain import rule_files
from alerts.domain.renderer import RuleFile

Problem = dict[str, Any]
Entered = Literal["staged", "checked", "active"]
EndsAs = Literal["rejected", "rolled_back", "failed"]


NAMES_PER_PART = 40  # of files, or groups: so many a Prometheus can be asked for in one address
BYTES_PER_PART = 400_000  # about a thousand rules


def problem(code: str, message: str, **more: Any) -> Problem:
    return {"code": code, "message": message, **{name: value for name, value in more.items() if value is not None}}


class Undelivered(Exception):
    """The set is not what the server holds. ``state`` is the release's, ``problems`` are for people.

    ``rolled_back``: something had been activated. ``refusals`` are promtool's words on single rules.
    """

    def __init__(self, state: EndsAs, problems: list[Problem], refusals: Sequence[Refusal] = ()) -> None:
        self.state = state
        self.problems = problems
        self.refusals = list(refusals)
        super().__init__("; ".join(problem["message"] for problem in problems[:3]))


class Overtaken(Exception):
    """Another writer has taken this server over. Nothing was changed, nothing is to be mended or recorded."""


class Part(NamedTuple):
    """Some files of a bundle; with ``groups`` only these of them."""

    files: frozenset[str]
    groups: frozenset[str] | None = None


@dataclass(frozen=True, eq=False)
class Bundle:
    """A whole set of rule files. ``rendered``: as the renderer made them, where it was this process.

    ``frugal``: what the files mean is read when it is asked for, and only outlines of them are kept.
    """

    contents: Mapping[str, bytes]
    manifest: Manifest
    rendered: Mapping[str, RuleFile] = field(default_factory=dict)
    frugal: bool = False

    @classmethod
    def of(cls, contents: Mapping[str, bytes], *, frugal: bool = False) -> Bundle:
        """From bytes alone; StoreError ``bad_name`` when a file cannot be called that."""
        return cls(contents, manifest_of(contents), frugal=frugal)

    @cached_property
    def content_hash(self) -> str:
        return content_hash(self.manifest)

    def expected(
        self, changed: Collection[str] | None = None, groups: Collection[str] | None = None
    ) -> list[ExpectedFile]:
        """What should be loaded then; rule by rule at least in the ``changed`` files (None: in all), and there in these
        ``groups`` (None: in all).
        """
        if self.rendered:
            return expect_rendered(self.rendered.values(), changed)
        if not self.frugal:
            return [expect_bytes(name, content) for name, content in self.contents.items()]
        return [
            self._read(name, groups) if changed is None or name in changed else self._outlines[name]
            for name in self.contents
        ]

    def parts(self, names: Collection[str] | None = None) -> Iterator[Part]:
        """Of these files (None: of all), few enough rules at a time to look at closely; at least one, maybe empty.

        A file that is longer than a part comes group by group.
        """
        names = sorted(self.contents if names is None else names)
        long = [name for name in names if self.frugal and len(self.contents[name]) > BYTES_PER_PART]
        sizes = {name: len(self.contents[name]) for name in names if name not in long}
        parts = [Part(part) for part in _bounded(sizes)]
        for name in long:
            file, sizes = frozenset((name,)), {group: len(piece) for group, piece in self._pieces(name).items()}
            parts += [Part(file, part) for part in _bounded(sizes)] or [Part(file)]
        yield from parts or [Part(frozenset())]

    def _read(self, name: str, groups: Collection[str] | None) -> ExpectedFile:
        pieces = self._pieces(name) if groups is not None else {}
        if groups is None or not pieces:
            return _expected(name, rule_files.pieces(self.contents[name]))
        read = [
            _expected(name, [pieces[group.name]]).groups[0] if group.name in groups else group
            for group in self._outlines[name].groups
        ]
        return ExpectedFile(name, read)

    def _pieces(self, name: str) -> dict[str, bytes]:
        """A file's groups, each as a file of its own, by name; none where it cannot be taken apart."""
        outline, pieces = self._outlines[name].groups, rule_files.pieces(self.contents[name])
        found = {group.name: piece for group, piece in zip(outline, pieces, strict=False)}
        return found if len(outline) == len(pieces) == len(found) else {}

    @cached_property
    def _outlines(self) -> dict[str, ExpectedFile]:
        return {
            name: _expected(name, rule_files.pieces(content), outlined=True) for name, content in self.contents.items()
        }


def _expected(name: str, pieces: Iterable[bytes], *, outlined: bool = False) -> ExpectedFile:
    """Read piece by piece: the whole of a file as YAML is many times as large as its rules."""
    groups = (group for piece in pieces for group in expect_bytes.__wrapped__(name, piece).groups)
    return ExpectedFile(name, [replace(group, rules=()) if outlined else group for group in groups])


def _bounded(sizes: Mapping[str, int]) -> Iterator[frozenset[str]]:
    part, size = set[str](), 0
    for name in sizes:
        if part and (len(part) == NAMES_PER_PART or size + sizes[name] > BYTES_PER_PART):
            yield frozenset(part)
            part, size = set(), 0
        part.add(name)
        size += sizes[name]
    if part:
        yield frozenset(part)


class Journal(Protocol):
    """Who wants to know how a delivery goes on."""

    def before(self, step: str) -> None:
        """Called before every step that changes something outside. May raise, to stop there: a lost lease."""

    def entered(self, state: Entered) -> None: ...

    def took(self, step: str, seconds: float) -> None:
        """A step may take its time in several parts."""

    def warn(self, problem: Problem) -> None: ...


class Staged(Protocol):
    @property
    def content_hash(self) -> str: ...


@dataclass
class Seen:
    """What differs: where it is kept, and in what is loaded. ``unreachable``: why the latter is not known."""

    on_disk: list[Problem] = field(default_factory=list)
    loaded: list[Problem] = field(default_factory=list)
    failing: list[Problem] = field(default_factory=list)
    unreachable: str = ""

    @property
    def any(self) -> bool:
        return bool(self.on_disk or self.loaded)


class Deliverer(Protocol):
    """One attempt at one server. Steps raise Undelivered; what they raise with ``rolled_back`` has to be taken back."""

    def stage(self, bundle: Bundle) -> Staged:
        """Puts the set beside the one in force, which stays untouched."""

    def check(self) -> None:
        """Undelivered ``rejected`` when a judge refuses a file."""

    def activate(self) -> None:
        """Makes the staged set the one that is loaded. Not while the server is broken by something else."""

    def read_back(self) -> bool:
        """Whether the server was seen to have loaded just this; False where that is not for us to ask."""

    def go_back(self, refused: Undelivered) -> None:
        """Brings the former set back before anything else happens; what goes wrong is added to ``refused``."""

    def look(self, bundle: Bundle) -> Seen:
        """Compares what is kept and loaded with a bundle. Changes nothing."""


def deliver(deliverer: Deliverer, bundle: Bundle) -> bool:
    """All steps, in order; whether it was read back. Raises Undelivered with the state the release ends in."""
    deliverer.stage(bundle)
    deliverer.check()
    try:
        deliverer.activate()
        return deliverer.read_back()
    except Undelivered as refused:
        if refused.state == "rolled_back":
            deliverer.go_back(refused)
        raise


@contextmanager
def timed(journal: Journal, step: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        journal.took(step, time.perf_counter() - start)


Fallback = Callable[[], Mapping[str, bytes]]
"""The files of the last release that was good: what to go back to when the server has none that is."""
