"""promtool's word on rules that are being written. It works beside us: it is handed rules as they become known."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from alerts.adapters.promtool import Promtool, PromtoolError, Refusal
from alerts.domain import renderer
from alerts.domain.compiled import CompiledRule
from alerts.domain.errors import Finding
from alerts.domain.layers import KeyId
from alerts.models import PolicyRow

logger = logging.getLogger(__name__)

_PLACE = re.compile(r"\b\d+:\d+: ")
AT_ONCE = 1_000
"""Rules in one run: many more than a start of promtool costs, few enough that the last run does not keep us waiting."""
SIDE_BY_SIDE = 2


class Candidate(NamedTuple):
    """``author``: the row whose own text this is, as its author wrote it; None for what was compiled."""

    rule: CompiledRule
    author: PolicyRow | None = None

    @property
    def key_id(self) -> KeyId:
        return (self.rule.kind, self.rule.key)


class Verdict(NamedTuple):
    candidate: Candidate
    refusal: Refusal

    @property
    def said(self) -> tuple[KeyId, str]:
        """The same of what somebody wrote and of what was compiled from it: only the places in them differ."""
        return self.candidate.key_id, _PLACE.sub("", self.refusal.message)


class Judge:
    """Collects what is to be judged, each rule once, and has it judged as soon as there is enough for a run."""

    def __init__(self, tool: Promtool, pool: ThreadPoolExecutor) -> None:
        self._tool = tool
        self._has_tool = tool.available  # asked once: it looks at the disk
        self._pool = pool
        self._known: set[object] = set()
        self._waiting: list[Candidate] = []
        self._runs: list[tuple[list[Candidate], Future[list[Refusal]]]] = []

    def hand(self, candidates: Iterable[Candidate]) -> None:
        if not self._has_tool:
            return
        for candidate in candidates:
            said = (_said(candidate.rule), id(candidate.author))
            if said not in self._known:
                self._known.add(said)
                self._waiting.append(candidate)
                if len(self._waiting) == AT_ONCE:
                    self._run()

    def verdicts(self) -> list[Verdict]:
        """What it refuses of all that it was handed, in that order."""
        self._run()
        try:
            return [
                Verdict(candidates[(refusal.rule_index or 1) - 1], refusal)
                for candidates, refusals in self._runs
                for refusal in refusals.result()
            ]
        except PromtoolError as error:
            # No verdict is no refusal: the deploy asks again before anything is swapped in.
            logger.warning("promtool gave no verdict on a write: %s", error)
            return []

    def _run(self) -> None:
        if self._waiting:
            candidates, self._waiting = self._waiting, []
            group = renderer.RuleGroup("check", None, tuple([candidate.rule for candidate in candidates]))
            text = renderer.render_file([group])
            self._runs.append((candidates, self._pool.submit(self._tool.check_rules_text, text)))


@contextmanager
def judging(tool: Promtool) -> Iterator[Judge]:
    with ThreadPoolExecutor(max_workers=SIDE_BY_SIDE, thread_name_prefix="promtool") as pool:
        try:
            yield Judge(tool, pool)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _said(rule: CompiledRule) -> object:
    """All of a rule that promtool looks at: it need not be asked twice."""
    return (*rule.identity, rule.expr, rule.for_duration, rule.keep_firing_for, rule.annotations)


def findings_of(verdicts: Iterable[Verdict]) -> list[Finding]:
    """Each objection once: where it was written, if it is there, for that place means something to people."""
    verdicts = list(verdicts)
    told = {verdict.said for verdict in verdicts if verdict.candidate.author is not None}
    findings = []
    for verdict in verdicts:
        if verdict.candidate.author is not None or verdict.said not in told:
            told.add(verdict.said)
            findings.append(_finding(*verdict))
    return findings


def _finding(candidate: Candidate, refusal: Refusal) -> Finding:
    rule, author = candidate
    pointer = "/query_template" if author is not None else ""
    offset = None
    if pointer and refusal.expr_line and refusal.expr_column:
        lines = rule.expr.split("\n")
        offset = sum(len(line) + 1 for line in lines[: refusal.expr_line - 1]) + refusal.expr_column - 1
    return Finding(
        "promtool_refused",
        f"promtool refuses it: {refusal.message}",
        pointer=pointer,
        hint="promtool is the judge of what Prometheus will load",
        offset=offset,
        line=refusal.expr_line if pointer else None,
        column=refusal.expr_column if pointer else None,
        key=rule.key,
        rule_id=None if author is None else author.pk,
    )
