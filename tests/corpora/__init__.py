"""Rules and expressions that nobody here wrote, with what promtool says of them. Sources and licences: README.md."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@cache
def _load(name: str) -> Any:
    return json.loads((HERE / name).read_text())


@cache
def rule_expressions() -> tuple[tuple[str, bool], ...]:
    """(expression, accepted by promtool 3.5) of every rule, each text once."""
    found: dict[str, bool] = {}
    for source in _load("expressions.json"):
        for text, accepted, _ in source["expressions"]:
            found[text] = accepted
    return tuple(sorted(found.items()))


@cache
def judged_expressions() -> tuple[tuple[str, bool], ...]:
    """(expression, accepted by promtool 3.5) from Prometheus' own tests of its parser."""
    return tuple((case["expr"], case["promtool_3_5"]) for case in _load("verdicts.json")["cases"])


def injection_cases() -> list[dict[str, Any]]:
    """Input, enforced matchers and outcome, from the tests of prom-label-proxy."""
    cases: list[dict[str, Any]] = _load("injection_cases.json")["cases"]
    return cases
