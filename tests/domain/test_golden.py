"""Whole policies and the rule files they become, byte by byte, in both layouts; promtool reads them, too.

After a deliberate change write them anew with ``python -m tests.domain.test_golden`` and read the difference.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from alerts.domain.layers import Layer, Scope
from alerts.domain.layout import LAYOUTS, Layout
from alerts.domain.renderer import render
from tests.domain.policies import EACH_SERIES, ONE_SUM, compiled, env, host, layer, logical, recording, threshold

FOLDER = Path(__file__).parent / "golden"

TEXTS = {"summary": "{{ $labels.instance }} uses {{ $value }} %, more than {{ .threshold }}"}
WARNING = {"for_duration": "5m", "annotations": TEXTS}
PLAIN = {"for_duration": "5m", "annotations": {"summary": "{{ $labels.instance }} uses {{ $value }} %"}}

POLICIES: dict[str, list[Layer]] = {
    "thresholds": [
        layer(1, query=EACH_SERIES, severity="warning", default_config=PLAIN),
        layer(2, env("production"), config=threshold(90)),
        layer(3, env("production-eu"), config=threshold(95)),
        layer(4, logical("web"), config={"for_duration": "10m", "labels": {"team": "web"}}),
        layer(5, host("db1.example.org"), enabled=False),
    ],
    "overrides": [
        layer(1, query=EACH_SERIES, severity="warning", default_config=WARNING),
        layer(2, env("staging"), 'cpu_usage{mode!="idle"} > 99', severity="info", config={"interval": "5m"}),
        layer(3, Scope("namespace", "infrastructure"), config={"keep_firing_for": "1h"}, priority=200),
        layer(4, env("production"), "cpu_idle < 5 # of each core", config={"severity": "critical"}),
        layer(5, logical("db"), config={"annotations": {"summary": None, "runbook": 'https://x/"a"\\b'}}),
    ],
    "sums": [
        layer(1, query=ONE_SUM, partition_by=("environment",), severity="critical"),
        layer(2, env("staging"), config=threshold(10)),
        layer(3, env("production"), "absent(up{job=~`node|web`})", key="Silence", severity="critical"),
        layer(4, env("staging"), "up == 0 unless on (target) maintenance", key="Down", unscoped=("maintenance",)),
        layer(5, host("web1"), key="Down", config={"for_duration": "1h"}),
    ],
    "recordings": [
        recording(1, "environment:cpu:sum", "sum by (environment) (cpu_usage)"),
        recording(2, "environment:cpu:relative", "environment:cpu:sum / 100", config={"labels": {"unit": "ratio"}}),
        layer(3, query="environment:cpu:sum > {{ .threshold }}", key="Busy", severity="info"),
        layer(4, env("staging"), key="Busy", config={"for_duration": "1m"}),
    ],
}  # fmt: skip


def files(policy: str, layout: Layout) -> dict[str, bytes]:
    result = compiled(*POLICIES[policy], layout=layout)
    assert not result.problems
    return {name: file.content for name, file in render(result.rules).items()}


every_one = pytest.mark.parametrize(
    ("policy", "layout"), [(policy, layout) for policy in POLICIES for layout in LAYOUTS]
)


@every_one
def test_a_policy_becomes_these_files(policy: str, layout: Layout) -> None:
    expected = {path.name: path.read_bytes().decode() for path in (FOLDER / policy / layout).iterdir()}
    assert {name: content.decode() for name, content in files(policy, layout).items()} == expected


@every_one
def test_promtool_reads_them(policy: str, layout: Layout, promtool: Path) -> None:
    paths = sorted((FOLDER / policy / layout).iterdir())
    assert paths
    done = subprocess.run(
        [promtool, "check", "rules", "--lint-fatal", *paths], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _write() -> None:
    for policy in POLICIES:
        for layout in LAYOUTS:
            folder = FOLDER / policy / layout
            folder.mkdir(parents=True, exist_ok=True)
            for path in folder.iterdir():
                path.unlink()
            for name, content in files(policy, layout).items():
                (folder / name).write_bytes(content)


if __name__ == "__main__":
    _write()
