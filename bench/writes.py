"""Writing rules on PostgreSQL: one among 100,000 beside one among 1,000, and ten thousand at once.

The databases lie on one server; the first two take turns. What promtool costs is the same for both and far more than
all else, so the ratio that has a goal leaves it out. The bulk write is the action behind
``POST /alert-rules/bulk``: every rule is validated and compiled, and promtool judges all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from bench import policies
from bench.clocks import median
from bench.installation import installation, postgresql
from bench.table import Result

METRIC = "http_requests_total"
GROUPS = 100


def measure(*, tiny: bool = False) -> list[Result]:
    few, many, rounds, writes, bulk = (20, 200, 2, 2, 50) if tiny else (1_000, 100_000, 5, 12, 10_000)
    with postgresql() as url, installation(database=url):
        small, large = "bench", "bench_large"
        _create(large)
        groups = {}
        for name, size in ((small, few), (large, many)):
            _use(name)
            groups[name] = _populate(size)
        numbers = count()
        spent: dict[tuple[str, bool], list[float]] = {}
        for _ in range(rounds):
            for name in (small, large):
                _use(name)
                _writes(groups[name], numbers, 2)  # connects, and reads the topology
                for judged in (False, True):
                    found = _writes(groups[name], numbers, writes if not judged else 2, judged=judged)
                    spent.setdefault((name, judged), []).extend(found)
        asked = _statements(groups[large], numbers)
        speed = median([_bulk(groups[large], bulk, numbers) for _ in range(3)])
        imported = _import(bulk, numbers)
    alone, among = median(spent[small, False]), median(spent[large, False])
    whole, whole_among = median(spent[small, True]), median(spent[large, True])
    return [
        Result(
            f"write a rule at {many:,} rules, beside one at {few:,} (PostgreSQL)",
            f"{1000 * among:.1f} ms, at {few:,} {1000 * alone:.1f} ms, promtool left out "
            f"(with it {1000 * whole_among:.0f} and {1000 * whole:.0f} ms)",
            among / alone,
            " ×",
            "at most",
            1.3,
        ),
        Result(
            f"write a rule at {many:,} rules: statements",
            "revision, rule, its metrics, all that is related to it; a rule at a target needs one more",
            asked,
            "",
            "at most",
            5,
        ),
        Result(
            f"{bulk:,} rules written at once (PostgreSQL)",
            f"{bulk / speed:.1f} s (median of three) beside {many:,} others: validated, compiled, judged, stored",
            speed,
            " rules/s",
            "at least",
            1000,
        ),
        Result(
            f"{bulk:,} rules written at once right after the first {bulk:,}",
            f"{bulk / imported:.1f} s: as in an import, before PostgreSQL has looked at its tables (ANALYZE)",
            imported,
            " rules/s",
            "at least",
            1000,
        ),
    ]


def _create(name: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE template0")


def _use(name: str) -> None:
    """This process speaks to that database from now on, and knows nothing of it yet."""
    from django.core.management import call_command
    from django.db import connection

    from alerts.actions import places

    postgres: Any = connection
    postgres.close()
    postgres.close_pool()
    postgres.settings_dict["NAME"] = name
    places.forget()
    call_command("migrate", interactive=False, verbosity=0)


def _populate(rules: int) -> list[Any]:
    from django.db import connection

    from alerts.models import AlertRule, RuleMetric

    groups = policies.make_groups(GROUPS)
    policies.write(
        policies.rule_row(f"Rule{number}", policies.expression(number), group=groups[number % GROUPS])
        for number in range(rules)
    )
    ids = AlertRule.objects.values_list("pk", flat=True)
    RuleMetric.objects.bulk_create([RuleMetric(rule_id=row_id, metric=METRIC) for row_id in ids], batch_size=5000)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")  # as PostgreSQL itself does within a minute
    return groups


def _writes(groups: list[Any], numbers: Iterator[int], times: int, *, judged: bool = False) -> list[float]:
    from django.conf import settings

    from alerts.actions import rules

    path = settings.PROMTOOL_PATH
    settings.PROMTOOL_PATH = path if judged else None
    try:
        return [_timed(lambda: rules.create(_rule(groups, numbers))) for _ in range(times)]
    finally:
        settings.PROMTOOL_PATH = path


def _rule(groups: list[Any], numbers: Iterator[int]) -> dict[str, Any]:
    number = next(numbers)
    return {
        "name": f"New{number}",
        "external_id": f"new-{number}",
        "group_id": groups[number % GROUPS].pk,
        "query_template": policies.expression(10**6 + number),
        "severity": "warning",
        "config": policies.CONFIG,
    }


def _timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _statements(groups: list[Any], numbers: Iterator[int]) -> int:
    """Those that begin and end the transaction left out."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as captured:
        _writes(groups, numbers, 1)
    return sum(not query["sql"].startswith(("BEGIN", "COMMIT", "SET ")) for query in captured)


def _bulk(groups: list[Any], size: int, numbers: Iterator[int]) -> float:
    """Rules per second."""
    from alerts.actions import bulk_rules

    items = [_rule(groups, numbers) for _ in range(size)]
    spent = _timed(lambda: bulk_rules.write_all(items))
    return size / spent


def _import(size: int, numbers: Iterator[int]) -> float:
    """Rules per second of the second of two bulk writes into an empty policy, of which there are no statistics."""
    from django.db import connection

    _create("bench_new")
    _use("bench_new")
    with connection.cursor() as cursor:
        for table in ("alerts_alertrule", "alerts_rulemetric"):
            cursor.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    groups = policies.make_groups(GROUPS)
    _bulk(groups, size, numbers)
    return _bulk(groups, size, numbers)
