"""One changed rule among many deployed: what it costs us, beside what the reload costs Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from bench import policies
from bench.clocks import Spent, median
from bench.installation import installation, rule_server
from bench.table import Result

TIMES = 5


def in_layers(*, tiny: bool = False) -> list[Result]:
    """Every key has a layer in every group."""
    groups, keys = (5, 4) if tiny else (100, 100)
    return [_measure(f"{keys} keys × {groups} groups", groups, keys, lambda key, group: f"Rule{key}")]


def in_keys(*, tiny: bool = False) -> list[Result]:
    """Every key has one layer."""
    groups, keys = (5, 4) if tiny else (100, 100)
    shape = f"{groups * keys:,} keys in {groups} groups"
    return [_measure(shape, groups, keys, lambda key, group: f"Rule{key}In{group}")]


def _measure(shape: str, groups: int, keys: int, named: Callable[[int, str], str]) -> Result:
    with rule_server() as (server, rule_dir), installation(prometheus=server.url, rule_dir=rule_dir):
        from alerts.actions.deploy import deploy
        from alerts.models import AlertRule

        rows = policies.make_groups(groups)
        policies.write(
            policies.rule_row(named(key, group.name), policies.expression(key), group=group)
            for group in rows
            for key in range(keys)
        )
        first = deploy("bench")
        assert first.good, first.release and first.release.errors
        changed = list(AlertRule.objects.order_by("id").values_list("pk", flat=True))[:: groups * keys // (TIMES + 2)]
        ours, reloads = [], []
        for number, rule_id in enumerate(changed[: TIMES + 1]):
            policies.change(rule_id, query_template=policies.expression(100_000 + number))
            with Spent() as spent:
                outcome = deploy("bench")
            assert outcome.good, outcome.release and outcome.release.errors
            assert outcome.release is not None
            assert outcome.release.changes["counts"]["changed"] == 1
            if number:  # the first one warms up
                ours.append(spent.cpu)
                reloads.append(server.reload_cost().cpu)
        return Result(
            f"one changed rule among {groups * keys:,} deployed: {shape}",
            f"our CPU {median(ours) * 1000:.0f} ms (compile, render, check, write, read back, database; promtool "
            f"included), Prometheus' reload {median(reloads) * 1000:,.0f} ms CPU",
            100 * median(ours) / median(reloads),
            " %",
            "at most",
            10,
        )
