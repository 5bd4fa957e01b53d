"""Every measurement runs, at a size at which its figures mean nothing: no test is timed."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import pytest

from bench import ROWS, table
from bench.table import Result
from tests.servers.binaries import ROOT, PrometheusBinaries


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_a_row_can_be_measured(name: str, prometheus_binaries: dict[str, PrometheusBinaries]) -> None:
    environment = {variable: value for variable, value in os.environ.items() if variable in ("PATH", "HOME", "TMPDIR")}
    command = [sys.executable, "-m", "bench", name, "--tiny", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr[-3000:]
    results = table.from_json(json.loads(done.stdout.splitlines()[-1]))
    assert results
    assert all(math.isfinite(result.value) for result in results)  # so small, a difference may drown in noise
    assert any(result.bound is not None for result in results), "a row has a goal"


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        (Result("fold", "", 60, "×", bound=50), "met"),
        (Result("fold", "", 50, "×", bound=50), "met"),
        (Result("fold", "", 25, "×", bound=50), "MISSED by 2.00 ×"),
        (Result("wait", "", 9, "ms", "at most", 10), "met"),
        (Result("wait", "", 15, "ms", "at most", 10), "MISSED by 1.50 ×"),
        (Result("look", "", 15, "ms"), ""),
    ],
)
def test_the_table_says_by_how_much_a_goal_is_missed(result: Result, verdict: str) -> None:
    assert result.verdict == verdict
    assert verdict in table.text([result]).splitlines()[2]
    assert table.from_json(table.to_json([result])) == [result]
