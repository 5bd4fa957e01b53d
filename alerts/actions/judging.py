"""promtool's word on rules that are being written. It works beside us: it is handed rules as they become known."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from alerts.adapters.promtool import Promtool, PromtoolError, Refusal
from alerts.domain import renderer
from alerts.domain.compiled import CompiledRule
from alerts.domain.errors import Finding
from alerts.models import PolicyRow

logger = logging.getLogger(__name__)

AT_ONCE = 1_000
"""Rules in one run: many more than a start of promtool costs, few enough that the last run does not keep us waiting."""
SIDE_BY_SIDE = 2


class Candidate(NamedTuple):
    """``author``: the row whose own text this is, as its author wrote it; None for what was compiled."""

    rule: CompiledRule
    author: PolicyRow | None = None


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
            said = _said(candidate.rule)
            if said not in self._known:
                self._known.add(said)
                self._waiting.append(candidate)
                if len(self._waiting) == AT_ONCE:
                    self._run()

    def findings(self) -> list[Finding]:
        """What it refuses of all that it was handed, in that order."""
        self._run()
        try:
            return [
                _finding(refusal, candidates[(refusal.rule_index or 1) - 1])
                for candidates, verdict in self._runs
                for refusal in verdict.result()
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


def _finding(refusal: Refusal, candidate: Candidate) -> Finding:
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
