"""What folding saves Prometheus: the ``consolidated`` layout beside one rule per group, on a real server with series.

The policies are distributive, in force everywhere, and overridden in one group of twenty. Both ways read the same
series, and the alerts that Prometheus then holds must be those that the series call for, one by one.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alerts.adapters.release_store import ReleaseStore
from alerts.domain.compiler import Options, compile_policy
from alerts.domain.layers import GLOBAL, Group, Layer, Namespace, Policy, Scope, Topology
from alerts.domain.renderer import render
from bench.clocks import Spent, median
from bench.installation import MeasuredPrometheus, rule_server
from bench.table import Result
from tests.servers.loopback import Answering
from tests.servers.processes import eventually

LABEL = "environment"
RELOADS = 2


@dataclass(frozen=True)
class Size:
    """``interval``: seconds between evaluations; long enough for the most expensive set to be done in it."""

    groups: int
    policies: int
    overridden: int  # groups per policy
    interval: int


FULL = Size(groups=1_000, policies=20, overridden=50, interval=15)
TINY = Size(groups=20, policies=2, overridden=6, interval=1)


@dataclass(frozen=True)
class Cost:
    """Of one set of rules: how many, CPU seconds per reload and per evaluation of all, and the alerts it raised."""

    rules: int
    reload: float
    evaluation: float
    alerts: int


def measure(*, tiny: bool = False) -> list[Result]:
    size = TINY if tiny else FULL
    few, many = _thresholds(size, distinct=5), _thresholds(size, distinct=size.overridden)
    values = _values(size)
    exporter = Answering(_told_once(values))
    flags = ["--query.lookback-delta=2h"]
    try:
        with rule_server(scrape={"bench": exporter.address}, interval="1s", flags=flags) as (server, rule_dir):
            bench = _Bench(server, rule_dir, size, values)
            plain = bench.cost(_one_rule_per_group(size, few), few)
            folded = bench.cost(_consolidated(size, few), few)
            distinct = bench.cost(_consolidated(size, many), many)
    finally:
        exporter.stop()
    what = f"{size.groups:,} groups × {size.policies} policies, {size.overridden} groups override each with one of"
    return [
        *_compared(f"{what} 5 thresholds", plain, folded, (50, 50, 5)),
        *_compared(f"{what} {size.overridden} thresholds, all distinct", plain, distinct, (None, None, None)),
    ]


def _compared(what: str, many: Cost, few: Cost, goals: tuple[float | None, float | None, float | None]) -> list[Result]:
    proven = f"the {few.alerts:,} alerts are exactly those the series call for"
    return [
        Result(
            f"{what}: rules",
            f"{many.rules:,} one per group, {few.rules:,} consolidated; {proven}",
            many.rules / few.rules,
            " ×",
            bound=goals[0],
        ),
        Result(
            f"{what}: reload",
            f"Prometheus' CPU {1000 * many.reload:,.0f} ms and {1000 * few.reload:,.1f} ms",
            many.reload / few.reload,
            " ×",
            bound=goals[1],
        ),
        Result(
            f"{what}: evaluation",
            f"Prometheus' CPU {1000 * many.evaluation:,.0f} ms and {1000 * few.evaluation:,.0f} ms for every rule once",
            many.evaluation / few.evaluation,
            " ×",
            bound=goals[2],
        ),
    ]


# --- the two ways ---------------------------------------------------------------------------------------------------

Thresholds = Sequence[Mapping[int, int]]
"""For every policy the thresholds that differ from 50, by number of the group."""


def _thresholds(size: Size, distinct: int) -> Thresholds:
    rng = random.Random(7)
    return [
        {group: 51 + index % distinct for index, group in enumerate(rng.sample(range(size.groups), size.overridden))}
        for _ in range(size.policies)
    ]


def _expression(policy: int, threshold: int, matcher: str = "") -> str:
    inside = f"{{{matcher}}}" if matcher else ""
    return f"avg by (target, {LABEL}) (avg_over_time(load{policy}{inside}[1h])) > {threshold}"


def _consolidated(size: Size, thresholds: Thresholds) -> dict[str, bytes]:
    """Our own compile of the policy as people would write it."""
    groups = tuple(Group(LABEL, _name(group)) for group in range(size.groups))
    layers: list[Layer] = []
    for policy, overrides in enumerate(thresholds):
        scopes = {GLOBAL: 50} | {Scope("group", LABEL, _name(group)): over for group, over in overrides.items()}
        for scope, threshold in scopes.items():
            query = _expression(policy, threshold)
            layers.append(Layer(len(layers) + 1, "alerting", f"Load{policy}", scope, query=query, severity="warning"))
    topology = Topology((Namespace(LABEL, LABEL, 100),), groups)
    compiled = compile_policy(Policy(topology, tuple(layers)), Options(layout="consolidated"))
    assert not compiled.problems, compiled.problems
    return {name: file.content for name, file in render(compiled.rules).items()}


def _one_rule_per_group(size: Size, thresholds: Thresholds) -> dict[str, bytes]:
    """As generators of rule files do it: a file for every group, with a copy of every policy. YAML reads JSON."""
    files = {}
    for group in range(size.groups):
        rules = [
            {
                "alert": f"Load{policy}",
                "expr": _expression(policy, overrides.get(group, 50), f'{LABEL}="{_name(group)}"'),
                "labels": {"severity": "warning"},
            }
            for policy, overrides in enumerate(thresholds)
        ]
        files[f"group-{_name(group)}.yml"] = json.dumps({"groups": [{"name": _name(group), "rules": rules}]}).encode()
    return files


def _name(group: int) -> str:
    return f"g{group:04}"


# --- the server -----------------------------------------------------------------------------------------------------


Values = Mapping[tuple[int, int], int]
"""By policy and group: what the one target in that group shows."""


def _values(size: Size) -> Values:
    rng = random.Random(3)
    return {(policy, group): rng.randint(0, 60) for policy in range(size.policies) for group in range(size.groups)}


def _told_once(values: Values) -> Any:
    """An exporter's answers. Samples with a time of their own do not go stale when they are no longer shown, so after
    the first scrape there is nothing left that costs anything.
    """
    now = int(time.time() * 1000)
    lines = [
        f'load{policy}{{target="host-{group}",{LABEL}="{_name(group)}"}} {value} {now}'
        for (policy, group), value in values.items()
    ]
    answers = iter([("\n".join(lines) + "\n").encode()])
    return lambda path, body: (200, "text/plain; version=0.0.4", next(answers, b""))


class _Bench:
    def __init__(self, server: MeasuredPrometheus, rule_dir: Path, size: Size, values: Values) -> None:
        self.server = server
        self.store = ReleaseStore(rule_dir)
        self.size = size
        self.values = values
        count = 'count({__name__=~"load.+"})'
        eventually(
            lambda: [1 for sample in server.query(count) if int(sample["value"][1]) == len(values)],
            timeout=120,
            what="series",
        )
        self.idle = self._round()

    def cost(self, files: Mapping[str, bytes], thresholds: Thresholds) -> Cost:
        self.store.activate(self.store.stage(files).content_hash)
        self._evaluate_every("1h")
        reloads = [self.server.reload_cost().cpu for _ in range(RELOADS)]
        self._evaluate_every(f"{self.size.interval}s")
        self._wait_for_a_turn_of_every_group()  # what the new rules load first is not counted
        evaluation = self._round() - self.idle
        groups = self.server.rules()
        assert all(rule["health"] == "ok" for group in groups for rule in group["rules"])
        alerts = self._prove(thresholds)
        return Cost(sum(len(group["rules"]) for group in groups), median(reloads), evaluation, alerts)

    def _prove(self, thresholds: Thresholds) -> int:
        """Prometheus holds the alerts that the series call for, each once; how many."""
        wanted = Counter(
            (f"Load{policy}", _name(group), f"host-{group}", "warning", "firing", float(value))
            for (policy, group), value in self.values.items()
            if value > thresholds[policy].get(group, 50)
        )
        held = Counter(
            (
                *(alert["labels"][name] for name in ("alertname", LABEL, "target", "severity")),
                alert["state"],
                float(alert["value"]),
            )
            for alert in self.server.alerts()
        )
        assert wanted, "nothing is alerting, so nothing is proven"
        assert held == wanted, f"wanted {_few(wanted - held)}, held {_few(held - wanted)}"
        return wanted.total()

    def _round(self) -> float:
        """CPU seconds of the server in one round, in which every group is evaluated once."""
        with Spent(self.server.pid) as spent:
            time.sleep(self.size.interval)
        return spent.cpu

    def _wait_for_a_turn_of_every_group(self) -> None:
        """Also on a machine that is too busy to evaluate all of them in time."""
        start = datetime.now(UTC)

        def done() -> bool:
            return all(datetime.fromisoformat(group["lastEvaluation"]) > start for group in self.server.rules())

        eventually(done, timeout=20 * self.size.interval, every=1, what="evaluation of every group")

    def _evaluate_every(self, interval: str) -> None:
        self.server.evaluation = interval
        self.server.write_config()
        assert self.server.reload().ok


def _few(alerts: Counter[Any]) -> str:
    return f"{alerts.total()} others such as {list(alerts)[:2]}"
