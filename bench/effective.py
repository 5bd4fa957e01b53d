"""What is in force for one target of many: a look-up in the compiled policy, so their number must not count."""

from __future__ import annotations

import random

from bench import policies
from bench.clocks import Spent, median
from bench.installation import installation
from bench.table import Result

TIMES = 60


def measure(*, tiny: bool = False) -> list[Result]:
    keys, layers, targets = (10, 60, 20) if tiny else (500, 10_000, 10_000)
    few = 5 if tiny else 100
    with installation():
        from alerts.actions import effective

        groups = policies.make_groups(layers // keys * 5)
        rng = random.Random(1)
        _write(rng, groups, keys, layers // keys)
        times, fastest, found = {}, {}, {}
        for count in (few, targets):
            ids = policies.make_targets(count, groups)
            picked = rng.sample(ids, min(10, len(ids)))
            for target in picked:  # the first call compiles
                effective.effective_for_target(target)
            spent = []
            for turn in range(TIMES):
                with Spent() as call:
                    answer = effective.effective_for_target(picked[turn % len(picked)])
                spent.append(call.cpu)
            times[count], fastest[count], found[count] = median(spent), min(spent), len(answer["rules"])
    what = f"effective for one of {targets:,} targets, {layers:,} layers of {keys} keys"
    return [
        Result(
            what,
            f"{found[targets]} rules in force there; median CPU of {TIMES} calls in process, SQLite included",
            1000 * times[targets],
            " ms",
            "at most",
            15,
        ),
        Result(
            f"{what}: beside {few} targets",
            f"the fastest call took {1000 * fastest[few]:.1f} ms CPU with {few:,} and {1000 * fastest[targets]:.1f} ms "
            f"with {targets:,} targets",
            fastest[targets] / fastest[few],
            " ×",
            "at most",
            1.25,
        ),
    ]


def _write(rng: random.Random, groups: list[object], keys: int, each: int) -> None:
    """Every key has layers in some groups: in a fifth of all, so about a fifth of the keys are in force in any one."""
    rows = []
    for key in range(keys):
        for group in rng.sample(groups, each):
            query = policies.expression(key)
            rows.append(policies.rule_row(f"Rule{key}", query, group=group))
    policies.write(rows)
