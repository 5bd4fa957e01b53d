"""What the control plane is told: an account of an attempt, cut to what it takes in.

A report that is refused for its size would be one that is never told: long words are cut, never the report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from alerts.adapters.deliverer import Problem
from alerts.agent.holding import Account

SHOWN = 50
LONGEST_WORDS = 4_000
LARGEST_PROBLEM = 12_000
REFUSAL_FIELDS = ("file", "group", "rule_index", "rule_name", "message", "line")


def report_of(release: int | None, content_hash: str, account: Account, versions: Mapping[str, str]) -> dict[str, Any]:
    """``release`` None: it speaks of none."""
    refusals = ({name: getattr(refusal, name) for name in REFUSAL_FIELDS} for refusal in account.refusals)
    return {
        "release": release,
        "content_hash": content_hash,
        "state": account.state,
        "errors": _bounded(account.errors),
        "warnings": _bounded(account.warnings),
        "refusals": _bounded(refusals),
        "timings": account.timings,
        "loaded_hash": account.loaded_hash,
        "drift": _bounded(account.drift),
        **versions,
    }


def _bounded(problems: Iterable[Problem]) -> list[Problem]:
    bounded = []
    for problem in list(problems)[:SHOWN]:
        cut = {name: value[:LONGEST_WORDS] if isinstance(value, str) else value for name, value in problem.items()}
        cut["message"] = cut["message"] or "no words were given"
        if len(orjson.dumps(cut)) > LARGEST_PROBLEM:
            cut = {name: cut[name][:1000] for name in ("code", "message") if name in cut}
        bounded.append(cut)
    return bounded
