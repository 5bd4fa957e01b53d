"""Gives one server one set of files: stage → promtool → swap → reload → read back (DESIGN 5).

Laws kept here:

- Nothing is swapped in that promtool refuses, nor while Prometheus' own configuration is already broken.
- When anything is off after the swap, the old set comes back before anything else happens, and is loaded again.
- Only what was read back counts as ``verified``.
- The lease is asked before every step that changes something outside.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from alerts.actions.compile_check import promtool
from alerts.actions.lease import Lease
from alerts.actions.wanted import WantedSet
from alerts.adapters import read_back
from alerts.adapters.failpoints import reach
from alerts.adapters.loaded_rules import LoadedRules
from alerts.adapters.prometheus import (
    LifecycleDisabled,
    Prometheus,
    PrometheusError,
    PrometheusUnavailable,
    ReloadRefused,
)
from alerts.adapters.promtool import PromtoolError, Refusal
from alerts.adapters.release_store import Drift, ReleaseStore, StagedRelease, StoreError
from alerts.adapters.server_spec import ServerSpec
from alerts.adapters.written_rules import ExpectedFile, expect_bytes, expect_rendered
from alerts.models import Release

logger = logging.getLogger(__name__)

READ_BACK_PATIENCE = 10.0
SHOWN = 50

Problem = dict[str, Any]


class Undelivered(Exception):
    """The set is not what the server holds. ``state`` is the release's, ``problems`` are for people.

    ``refusals`` are promtool's words on single rules, when it was promtool.
    """

    def __init__(self, state: str, problems: list[Problem], refusals: list[Refusal] | None = None) -> None:
        self.state = state
        self.problems = problems
        self.refusals = refusals or []
        super().__init__("; ".join(problem["message"] for problem in problems[:3]))


def problem(code: str, message: str, **more: Any) -> Problem:
    return {"code": code, "message": message, **{name: value for name, value in more.items() if value is not None}}


def rule_store(spec: ServerSpec) -> ReleaseStore:
    return ReleaseStore(spec.rule_dir, file_mode=spec.file_mode)


def prometheus(spec: ServerSpec) -> Prometheus:
    return Prometheus.of(
        spec, credentials_dir=settings.PROMETHEUS_CREDENTIALS_DIR, allowed=settings.PROMETHEUS_ALLOWED_HOSTS
    )


@dataclass
class Delivery:
    """One attempt. The release's state is stored after every step; its ``timings`` are seconds by step."""

    spec: ServerSpec
    wanted: WantedSet
    release: Release
    lease: Lease
    fallback: Callable[[], Mapping[str, bytes]]
    check_all: bool = False

    def __post_init__(self) -> None:
        self.store = rule_store(self.spec)
        self.server = prometheus(self.spec)
        self.previous: str | None = None

    def run(self) -> StagedRelease:
        """Steps, in order. Raises Undelivered with the state the release ends in."""
        staged = self._stage()
        self._check(staged)
        if not self.spec.reload_enabled:
            self._swap(staged)
            return staged
        self._require_sound_configuration()
        self._swap(staged)
        try:
            self._reload()
            self._read_back(staged)
        except Undelivered as refused:
            self._go_back(refused)
            raise
        return staged

    def _stage(self) -> StagedRelease:
        self.lease.renew()
        with self._timed("stage"), self._store_errors():
            self.previous = self.store.current()
            staged = self.store.stage(self.wanted.contents)
        self._enter("staged")
        return staged

    def _check(self, staged: StagedRelease) -> None:
        tool = promtool()
        if not tool.available:
            absent = problem("promtool_absent", "promtool was not found: these files passed the in-process checks only")
            logger.warning("%s; set PROMTOOL_PATH", absent["message"])
            self.release.warnings.append(absent)
        else:
            names = None if self.check_all else staged.changed
            reach("promtool.before")
            with self._timed("promtool"):
                try:
                    refusals = tool.check(staged.path, names) if names is None or names else []
                except PromtoolError as error:
                    raise Undelivered("failed", [problem(f"promtool_{error.code}", error.message)]) from error
            reach("promtool.after")
            if refusals:
                raise Undelivered("rejected", [refusal_problem(refusal) for refusal in refusals[:SHOWN]], refusals)
        self._enter("checked")

    def _require_sound_configuration(self) -> None:
        """A reload of ours must not fail for what somebody else broke; when the old files load again, it is mended."""
        with self._timed("health"), self._prometheus_errors("failed"):
            if self.server.config_ok() is not False:
                return
            try:
                self.server.reload()
            except ReloadRefused as refused:
                if self._all_refusals():  # what is in place was damaged by hand: the swap mends it
                    return
                message = f"Prometheus' own configuration is broken, by something other than these rules: {refused}"
                hint = "run `promtool check config` on its configuration; this is tried again"
                broken = problem("prometheus_config_broken", message, hint=hint)
                raise Undelivered("failed", [broken]) from refused

    def _swap(self, staged: StagedRelease) -> None:
        self.lease.renew()
        with self._timed("swap"), self._store_errors():
            self.store.activate(staged.content_hash)
        self._enter("active")

    def _reload(self) -> None:
        self.lease.renew()
        reach("reload.before")
        with self._timed("reload"), self._prometheus_errors("rolled_back"):
            try:
                self.server.reload()
            except ReloadRefused as refused:
                words = [str(refusal) for refusal in self._all_refusals()]
                raise Undelivered(
                    "rolled_back", [problem("reload_refused", str(refused), promtool=words or None)]
                ) from refused
            except LifecycleDisabled as error:
                raise Undelivered("rolled_back", [problem("lifecycle_disabled", str(error))]) from error
        reach("reload.after")

    def _all_refusals(self) -> list[Refusal]:
        try:
            return promtool().check(self.store.link)[:SHOWN]
        except (PromtoolError, OSError):
            return []

    def _read_back(self, staged: StagedRelease) -> None:
        reach("read_back.before")
        with self._timed("read_back"), self._prometheus_errors("rolled_back"):
            changed = None if self.check_all else {*staged.changed}
            found = mismatches(self.spec, self.server.rules(), self.wanted, changed)
            deadline = time.monotonic() + READ_BACK_PATIENCE
            while found and time.monotonic() < deadline:
                time.sleep(0.2)
                found = mismatches(self.spec, self.server.rules(), self.wanted)
        if found:
            raise Undelivered(
                "rolled_back",
                [
                    problem("read_back_mismatch", f"Prometheus loaded something else: {mismatch}")
                    for mismatch in found[:SHOWN]
                ],
            )
        reach("read_back.after")

    def _go_back(self, refused: Undelivered) -> None:
        """The old set first, then the reload: a bad file on disk would stop the next start of Prometheus."""
        reach("rollback.before")
        with self._timed("rollback"):
            try:
                self.lease.renew()
                self._restore()
                self.server.reload()
            except (StoreError, PrometheusError) as error:
                refused.problems.append(problem("rollback_incomplete", f"going back did not finish: {error}"))
        reach("rollback.after")

    def _restore(self) -> None:
        """The set that was in place; a damaged or lost one from the database; where there was none, no rules."""
        try:
            if self.previous is not None:
                self.store.activate(self.previous)
                return
        except StoreError as error:
            logger.warning("the previous set cannot simply come back: %s", error)
        self.store.activate(self.store.stage(self.fallback()).content_hash)

    # -- bookkeeping ---------------------------------------------------------------------------------------------------

    def _enter(self, state: str) -> None:
        self.release.state = state
        self.release.save()

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = self.release.timings.get(step, 0.0) + time.perf_counter() - start
            self.release.timings[step] = round(seconds, 4)

    @contextmanager
    def _store_errors(self) -> Iterator[None]:
        try:
            yield
        except StoreError as error:
            raise Undelivered("failed", [problem(error.code, error.message, hint=error.hint or None)]) from error

    @contextmanager
    def _prometheus_errors(self, state: str) -> Iterator[None]:
        try:
            yield
        except PrometheusUnavailable as error:
            raise Undelivered(state, [problem("prometheus_unavailable", str(error))]) from error
        except PrometheusError as error:
            raise Undelivered(state, [problem("prometheus_answer", str(error))]) from error


def mismatches(
    spec: ServerSpec, loaded: LoadedRules, wanted: WantedSet, changed: Collection[str] | None = None
) -> list[read_back.Mismatch]:
    """How what is loaded differs from a wanted set; rule by rule in the ``changed`` files (None: in all)."""
    return read_back.compare(expected(wanted, changed), loaded, rule_dir=spec.rule_dir, changed=changed)


def expected(wanted: WantedSet, changed: Collection[str] | None) -> list[ExpectedFile]:
    if wanted.files:
        return expect_rendered(wanted.files.values(), changed)
    return [expect_bytes(name, content) for name, content in wanted.contents.items()]


def drift_problem(found: Drift) -> Problem:
    return problem("drift_on_disk", f"{found.path} {found.detail}", file=found.path, kind=found.kind)


def refusal_problem(refusal: Refusal) -> Problem:
    return problem(
        "promtool_refused",
        refusal.message,
        file=refusal.file or None,
        group=refusal.group,
        rule=refusal.rule_name,
        line=refusal.line,
    )
