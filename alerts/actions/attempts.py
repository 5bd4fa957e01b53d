"""One attempt to give a server a set: delivered into its directory, or offered to its agent.

Where promtool, or the server itself, refuses single rules, their keys stay as last compiled and the others go ahead
(DESIGN 4, *Last good*).
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from alerts.actions import bundles, changes, compiled_keys, releases, server_verdicts, telemetry, wanted
from alerts.actions.compile_check import promtool, promtool_version
from alerts.actions.delivery import Delivery, Problem, Undelivered, problem, put_back, refusal_problem
from alerts.actions.lease import Lease
from alerts.actions.outcomes import record_failure, record_success
from alerts.actions.refused_keys import refused_on
from alerts.actions.wanted import WantedSet
from alerts.adapters.prometheus import PrometheusError
from alerts.adapters.promtool import PromtoolError, Refusal
from alerts.adapters.release_store import StoreError
from alerts.adapters.server_spec import ServerSpec
from alerts.domain.errors import Finding
from alerts.domain.layers import KeyId
from alerts.models import Release, ServerState

logger = logging.getLogger(__name__)

MOST_ROUNDS = 5
"""Keys that promtool refuses may come to light one after another."""

Blamed = dict[KeyId, tuple[Finding, ...]]
State = Release.State

_refused: dict[str, tuple[str, Blamed]] = {}
"""By server: the content that promtool refused last, and the keys it blamed, so that it is not asked again."""


def without_refused(state: ServerState, compiled: WantedSet) -> WantedSet:
    """What is left of a compiled set when the keys that are known to be refused in it stay as last compiled.

    Another process may have found out: then it is known of the revision that is in force.
    """
    content, blamed = _refused.get(state.name, ("", {}))
    if content != compiled.content_hash:
        blamed = refused_on(state, compiled.revision) if state.loaded_revision == compiled.revision else {}
    return wanted.wanted(blamed, server=state.name) if blamed else compiled


class Attempt:
    """``compiled`` is what the policy says; what it comes to may leave out keys that promtool refuses."""

    def __init__(
        self, spec: ServerSpec, release: Release, compiled: WantedSet, state: ServerState, lease: Lease
    ) -> None:
        self.spec = spec
        self.release = release
        self.wanted = compiled
        self.state = state
        self.lease = lease
        self._first = compiled.content_hash
        self._blamed: Blamed = {}
        self._drifted = False
        self._asks = True

    def deliver(self, *, check_all: bool) -> None:
        """Into the server's directory; the release and the server's state tell how it went."""
        in_place = self.state.loaded_release.manifest if self.state.loaded_release else None
        for _ in range(MOST_ROUNDS):
            releases.describe(self.release, self.wanted, self.state, self.lease.guard)
            fallback = partial(releases.last_good, self.state)
            delivery = Delivery(self.spec, self.wanted, self.release, self.lease, fallback, in_place, check_all)
            try:
                read_back = self._run(delivery)
            except Undelivered as undelivered:
                refused = self._leave_out(undelivered.refusals, undelivered.problems)
                if not refused and not self._heed(delivery, undelivered):
                    self._fail(undelivered.state, undelivered.problems)
                    return
                in_place = None  # how the disk differs from it is told already
                check_all = check_all or self._drifted
            else:
                self._succeed(delivery, read_back)
                return
        self._fail(State.REJECTED, [problem("promtool_refused", "promtool refuses what is left, too")])

    def place(self) -> None:
        """Into the server's directory, and no further: it is told and asked nothing, so nothing is verified."""
        self.spec, self._asks = replace(self.spec, reload_enabled=False), False
        self.deliver(check_all=True)

    def _run(self, delivery: Delivery) -> bool:
        try:
            return delivery.run()
        finally:  # it may be mended already, so that nobody finds it again
            if delivery.drift:
                self._drifted = True
                telemetry.note_drift(self.spec.name, on_disk=len(delivery.drift))

    def offer(self, refused: list[Refusal]) -> None:
        """To the server's agent, once promtool here finds nothing wrong either. ``refused``: what it said of this."""
        for _ in range(MOST_ROUNDS):
            releases.describe(self.release, self.wanted, self.state, self.lease.guard)
            try:
                refusals = refused or self._judged()
            except PromtoolError as error:
                self._fail(State.FAILED, [problem(f"promtool_{error.code}", error.message)])
                return
            if not refusals:
                bundles.offer(self.release, self.state, self.lease.guard)
                return
            problems = [refusal_problem(refusal) for refusal in refusals[: changes.LISTED]]
            if not self._leave_out(refusals, problems):
                self._fail(State.REJECTED, problems)
                return
            refused = bundles.refusals(self.state, self.wanted)
        self._fail(State.REJECTED, [problem("promtool_refused", "promtool refuses what is left, too")])

    def _judged(self) -> list[Refusal]:
        """promtool's word on the files that are not loaded there already."""
        tool = promtool()
        known = self.state.loaded_release.manifest if self.state.loaded_release else {}
        fresh = {name: content for name, content in self.wanted.contents.items() if known.get(name) != self._hash(name)}
        if not fresh or not tool.available:
            return []
        with tempfile.TemporaryDirectory(prefix="config-server-") as folder:
            for name, content in fresh.items():
                (Path(folder) / name).write_bytes(content)
            return tool.check(folder, fresh)

    def _hash(self, name: str) -> str:
        return self.wanted.manifest[name]

    def _heed(self, delivery: Delivery, undelivered: Undelivered) -> bool:
        """Goes on without what the server itself objects to, where it refused a reload and promtool knows not why."""
        codes = [problem["code"] for problem in undelivered.problems]
        if undelivered.state != "rolled_back" or codes != ["reload_refused"]:
            return False
        loaded = self.state.loaded_release.manifest if self.state.loaded_release else {}
        refusals = server_verdicts.refusals(delivery.server, loaded, self.wanted)
        problems = [server_verdicts.told(refusal) for refusal in refusals[: changes.LISTED]]
        return self._leave_out(refusals, problems, server_verdicts.CODE)

    def _leave_out(self, refusals: Sequence[Refusal], problems: list[Problem], code: str = "promtool_refused") -> bool:
        """Goes on without the keys that are refused; False when that is not possible."""
        blamed = _blame(refusals, self.wanted, code)
        if not blamed or blamed.keys() <= self._blamed.keys() or self.state.pinned_release is not None:
            return False
        self._blamed |= blamed
        self.release.warnings.extend(problems)
        self.wanted = wanted.wanted(self._blamed, server=self.spec.name)
        _refused[self.spec.name] = (self._first, self._blamed)
        return True

    def _succeed(self, delivery: Delivery, read_back: bool) -> None:
        # Asked before the transaction: nobody else's write should wait for Prometheus.
        seen = {**(_seen(delivery) if self._asks else {}), "promtool_version": promtool_version() or ""}
        record_success(self.release, self.state, self.lease.guard, verified=read_back, **seen)
        if self._drifted:
            telemetry.note_healed(self.spec.name)
        if read_back:
            compiled_keys.remember_compiled(self.release, self.wanted, self.lease)
        releases.prune(self.spec, self.state, self.lease.epoch)

    def _fail(self, outcome: str, problems: list[Problem]) -> None:
        self._mend_disk(problems)
        record_failure(self.release, self.state, self.lease.guard, outcome=outcome, problems=problems)

    def _mend_disk(self, problems: list[Problem]) -> None:
        """Damaged files would keep Prometheus from starting, or start it without rules: the last good ones go back."""
        good = releases.good_release(self.state)
        if good is None or not releases.disk_drift(self.spec, good):
            return
        try:
            put_back(self.spec, good, self.lease)
        except StoreError as error:
            problems.append(problem(error.code, f"release {good.pk} cannot be put back on disk: {error.message}"))
        else:
            logger.warning("release %s was put back on disk, to be loaded later", good.pk)
            telemetry.note_healed(self.spec.name)


def _blame(refusals: Sequence[Refusal], wanted_set: WantedSet, code: str) -> Blamed:
    """The keys whose rules were refused; empty when a refusal cannot be traced to a key."""
    blamed: Blamed = {}
    for refusal in refusals:
        file = wanted_set.files.get(refusal.file)
        group = next((group for group in file.groups if group.name == refusal.group), None) if file else None
        if group is None or refusal.rule_index is None or refusal.rule_index > len(group.rules):
            return {}
        rule = group.rules[refusal.rule_index - 1]
        found = Finding(code, refusal.message, key=rule.key)
        blamed[(rule.kind, rule.key)] = (*blamed.get((rule.kind, rule.key), ()), found)
    return blamed


def _seen(delivery: Delivery) -> Mapping[str, str]:
    """What the server says of itself."""
    try:
        return {"prometheus_version": delivery.server.known_version() or "", "flavour": delivery.server.flavour()}
    except PrometheusError:
        return {}
