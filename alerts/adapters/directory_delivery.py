"""Delivery into a directory that a server reads: stage → promtool → swap → reload → read back (DESIGN 5).

Laws kept here:

- Nothing is swapped in that promtool refuses, nor while Prometheus' own configuration is already broken.
- When anything is off after the swap, the old set comes back before anything else happens, and is loaded again.
- Only what was read back counts as ``verified``.
- The journal is asked before every step that changes something outside; who was overtaken writes nothing more.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from alerts.adapters.deliverer import (
    Bundle,
    EndsAs,
    Fallback,
    Journal,
    Overtaken,
    Problem,
    Seen,
    Undelivered,
    problem,
    timed,
)
from alerts.adapters.failpoints import reach
from alerts.adapters.loaded_rules import LoadedRules
from alerts.adapters.prometheus import (
    LifecycleDisabled,
    Prometheus,
    PrometheusError,
    PrometheusUnavailable,
    ReloadRefused,
)
from alerts.adapters.promtool import Promtool, PromtoolError, Refusal
from alerts.adapters.read_back import Mismatch, compare, unhealthy
from alerts.adapters.release_store import Drift, Manifest, ReleaseStore, StagedRelease, StoreError

logger = logging.getLogger(__name__)

READ_BACK_PATIENCE = 10.0
SHOWN = 50


@dataclass
class DirectoryDelivery:
    """One attempt. ``rule_dir``: the directory, by the name under which the server's paths are recognised.

    ``fence``: the number of the lease this writer holds; None where it is the only one by other means.
    ``in_place``: the set that should be there now. Where the disk is found to differ, everything is checked.
    ``check_all``: every file is judged and compared rule by rule, not just those that changed.
    ``in_parts``: what is loaded is asked for and compared a part at a time: slower, and smaller. Only for servers that
    send what they are asked for.
    """

    store: ReleaseStore
    promtool: Promtool
    prometheus: Prometheus
    journal: Journal
    fallback: Fallback
    rule_dir: Path
    reload_enabled: bool = True
    fence: int | None = None
    in_place: Manifest | None = None
    check_all: bool = False
    in_parts: bool = False
    patience: float = READ_BACK_PATIENCE

    def __post_init__(self) -> None:
        self.previous: str | None = None
        self.drift: list[Drift] = []

    def stage(self, bundle: Bundle) -> StagedRelease:
        self.journal.before("stage")
        self.bundle = bundle
        with timed(self.journal, "stage"), _store_errors():
            self.previous = self.store.current()
            self.staged = self.store.stage(
                bundle.contents, self.fence, bundle.manifest, in_place=self.in_place, found=self._note
            )
        self.journal.entered("staged")
        return self.staged

    def check(self) -> None:
        if not self.promtool.available:
            absent = problem("promtool_absent", "promtool was not found: these files passed the in-process checks only")
            logger.warning("%s; set PROMTOOL_PATH", absent["message"])
            self.journal.warn(absent)
        else:
            names = None if self.check_all else self.staged.changed
            reach("promtool.before")
            with timed(self.journal, "promtool"):
                try:
                    refusals = self.promtool.check(self.staged.path, names) if names is None or names else []
                except PromtoolError as error:
                    raise Undelivered("failed", [problem(f"promtool_{error.code}", error.message)]) from error
            reach("promtool.after")
            if refusals:
                raise Undelivered("rejected", [refusal_problem(refusal) for refusal in refusals[:SHOWN]], refusals)
        self.journal.entered("checked")

    def activate(self) -> None:
        if self.reload_enabled:
            self._require_sound_configuration()
        self._swap()
        if self.reload_enabled:
            self._reload()

    def read_back(self) -> bool:
        if not self.reload_enabled:
            return False
        reach("read_back.before")
        with timed(self.journal, "read_back"), _prometheus_errors("rolled_back"):
            changed = None if self.check_all else {*self.staged.changed}
            found = self._compare(self.bundle, changed)
            deadline = time.monotonic() + self.patience
            while found and time.monotonic() < deadline:
                time.sleep(0.2)
                found = self._compare(self.bundle)
        if found:
            words = [
                problem("read_back_mismatch", f"Prometheus loaded something else: {mismatch}")
                for mismatch in found[:SHOWN]
            ]
            raise Undelivered("rolled_back", words)
        reach("read_back.after")
        return True

    def go_back(self, refused: Undelivered) -> None:
        """The old set first, then the reload: a bad file on disk would stop the next start of Prometheus."""
        reach("rollback.before")
        with timed(self.journal, "rollback"):
            try:
                self.journal.before("rollback")
                self._restore()
                self.prometheus.reload()
            except (StoreError, PrometheusError) as error:
                _stop_when_overtaken(error)
                refused.problems.append(problem("rollback_incomplete", f"going back did not finish: {error}"))
        reach("rollback.after")

    def look(self, bundle: Bundle) -> Seen:
        return look(self.store, self.prometheus, bundle, self.rule_dir, in_parts=self.in_parts)

    def _note(self, drift: Drift) -> None:
        self.drift.append(drift)
        self.check_all = True
        self.journal.warn(drift_problem(drift))

    def _compare(self, bundle: Bundle, changed: Collection[str] | None = None) -> list[Mismatch]:
        return compared(self.prometheus, bundle, self.rule_dir, changed, in_parts=self.in_parts)[0]

    def _require_sound_configuration(self) -> None:
        """A reload of ours must not fail for what somebody else broke; when the old files load again, it is mended."""
        with timed(self.journal, "health"), _prometheus_errors("failed"):
            if self.prometheus.config_ok() is not False:
                return
            try:
                self.prometheus.reload()
            except ReloadRefused as refused:
                if self._all_refusals():  # what is in place was damaged by hand: the swap mends it
                    return
                message = f"Prometheus' own configuration is broken, by something other than these rules: {refused}"
                hint = "run `promtool check config` on its configuration; this is tried again"
                broken = problem("prometheus_config_broken", message, hint=hint)
                raise Undelivered("failed", [broken]) from refused

    def _swap(self) -> None:
        self.journal.before("swap")
        with timed(self.journal, "swap"), _store_errors():
            self.store.activate(self.staged.content_hash, self.fence)
        self.journal.entered("active")

    def _reload(self) -> None:
        self.journal.before("reload")
        reach("reload.before")
        with timed(self.journal, "reload"), _prometheus_errors("rolled_back"):
            try:
                self.prometheus.reload()
            except ReloadRefused as refused:
                words = [str(refusal) for refusal in self._all_refusals()]
                told = problem("reload_refused", str(refused), promtool=words or None)
                raise Undelivered("rolled_back", [told]) from refused
            except LifecycleDisabled as error:
                raise Undelivered("rolled_back", [problem("lifecycle_disabled", str(error))]) from error
        reach("reload.after")

    def _all_refusals(self) -> list[Refusal]:
        try:
            return self.promtool.check(self.store.link)[:SHOWN]
        except (PromtoolError, OSError):
            return []

    def _restore(self) -> None:
        """The set that was in place; a damaged or lost one from the last good; where there was none, no rules.

        Whoever died between swap and reload left this very set in place: that is no former one.
        """
        try:
            if self.previous is not None and self.previous != self.staged.content_hash:
                self.store.activate(self.previous, self.fence)
                return
        except StoreError as error:
            _stop_when_overtaken(error)
            logger.warning("the previous set cannot simply come back: %s", error)
        self.store.activate(self.store.stage(self.fallback(), self.fence).content_hash, self.fence)


def look(
    store: ReleaseStore, prometheus: Prometheus, bundle: Bundle, rule_dir: Path, *, in_parts: bool = False
) -> Seen:
    """How disk and server differ from a bundle. Changes nothing."""
    seen = Seen([drift_problem(found) for found in store.drift(bundle.manifest)[:SHOWN]])
    try:
        found, failing = compared(prometheus, bundle, rule_dir, in_parts=in_parts)
    except PrometheusError as error:
        seen.unreachable = str(error)
        return seen
    seen.loaded = [problem("drift_loaded", str(mismatch)) for mismatch in found[:SHOWN]]
    seen.failing = failing[:SHOWN]
    return seen


def compared(
    prometheus: Prometheus,
    bundle: Bundle,
    rule_dir: Path,
    changed: Collection[str] | None = None,
    *,
    in_parts: bool = False,
) -> tuple[list[Mismatch], list[Problem]]:
    """How what is loaded differs from a bundle, rule by rule in the ``changed`` files (None: in all); and which rules
    cannot be evaluated."""
    found, failing = dict[str, Mismatch](), dict[str, Problem]()  # by their words: each part finds the outline's anew
    for files, groups in bundle.parts(changed) if in_parts else [(changed, None)]:
        loaded = prometheus.rules_of(rule_dir, files, groups)
        expected = bundle.expected(files, groups)
        for mismatch in compare(expected, loaded, rule_dir=rule_dir, changed=files, groups=groups):
            found.setdefault(str(mismatch), mismatch)
        for rule in failing_rules(loaded, rule_dir):
            failing.setdefault(str(rule), rule)
    return list(found.values()), list(failing.values())


def failing_rules(loaded: LoadedRules, rule_dir: Path) -> list[Problem]:
    """The rules that Prometheus cannot evaluate."""
    return [
        problem("evaluation_failed", rule.last_error, file=rule.file, group=rule.group, rule=rule.rule)
        for rule in unhealthy(loaded, rule_dir)[:SHOWN]
    ]


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


def _stop_when_overtaken(error: Exception) -> None:
    if isinstance(error, StoreError) and error.code == "fenced_off":
        raise Overtaken(error.message) from error


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        _stop_when_overtaken(error)
        raise Undelivered("failed", [problem(error.code, error.message, hint=error.hint or None)]) from error


@contextmanager
def _prometheus_errors(state: EndsAs) -> Iterator[None]:
    try:
        yield
    except PrometheusUnavailable as error:
        raise Undelivered(state, [problem("prometheus_unavailable", str(error))]) from error
    except PrometheusError as error:
        raise Undelivered(state, [problem("prometheus_answer", str(error))]) from error
