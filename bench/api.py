"""Lists and writes through the API beside bare Django REST framework, in process, under the same middleware.

CPU time. A list is compared with what a tutorial would write for the same rows, and, without a goal, with an endpoint
whose answer lies ready, which needs no database. A creation is compared with the tutorial's, which stores the row, and
one run of promtool on top.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from typing import Any

from bench import policies
from bench.clocks import median
from bench.installation import installation
from bench.table import Result

LISTED = 100


def measure(*, tiny: bool = False) -> list[Result]:
    rules, times = (120, 3) if tiny else (2_000, 60)
    with installation():
        from django.test import override_settings
        from django.test.client import Client

        from alerts.actions import tokens
        from alerts.models import Role

        groups = policies.make_groups(20)
        policies.write(
            policies.rule_row(f"Rule{number}", policies.expression(number), group=groups[number % 20])
            for number in range(rules)
        )
        token, _ = tokens.create("bench", Role.EDITOR)
        with override_settings(ROOT_URLCONF="bench.bare", ALLOWED_HOSTS=["*"]):
            client = Client(headers={"authorization": f"Bearer {token}"})
            return [*_lists(client, times), *_creations(client, groups[0].pk, times)]


def _lists(client: Any, times: int) -> list[Result]:
    from bench import bare

    ours_url = f"/api/v1/alert-rules?page_size={LISTED}"
    answer = client.get(ours_url)
    assert answer.status_code == 200, answer.content
    bare.PREPARED.update(json.loads(answer.content))
    prepared = client.get("/bare/prepared")
    assert len(prepared.content) == len(answer.content), "not the same bytes"
    ours, ready, model = _side_by_side(
        times,
        lambda: client.get(ours_url),
        lambda: client.get("/bare/prepared"),
        lambda: client.get(f"/bare/rules?page_size={LISTED}"),
    )
    what = f"list {LISTED} rules by API"
    return [
        Result(
            what,
            f"ours {_ms(ours)}, a bare DRF endpoint (model, serializer, paginator) with the same rows {_ms(model)}",
            ours / model,
            " ×",
            "at most",
            1.5,
        ),
        Result(
            f"{what}: beside an answer that lies ready",
            f"ours {_ms(ours)}, DRF rendering the same {len(answer.content):,} bytes without any database {_ms(ready)}",
            ours / ready,
            " ×",
        ),
    ]


def _creations(client: Any, group_id: int, times: int) -> list[Result]:
    numbers = iter(range(10**9))

    def create(path: str) -> None:
        number = next(numbers)
        body = {
            "name": f"New{number}",
            "group_id": group_id,
            "query_template": policies.expression(10**6 + number),
            "severity": "warning",
            "config": policies.CONFIG,
        }
        answer = client.post(path, json.dumps(body), content_type="application/json")
        assert answer.status_code == 201, answer.content

    from alerts.actions.compile_check import promtool

    rule = b"groups:\n- name: check\n  rules:\n  - alert: One\n    expr: up == 0\n"
    before = _children()
    ours, bare, starting = _side_by_side(
        times,
        lambda: create("/api/v1/alert-rules"),
        lambda: create("/bare/rules"),
        lambda: promtool().check_rules_text(rule),
    )
    run = (_children() - before) / (times + 1) / 2 + starting  # ours and the run alone take turns
    return [
        Result(
            "create a rule by API",
            f"ours {_ms(ours + run - starting)}, promtool included; a bare DRF endpoint (model, serializer) "
            f"{_ms(bare)} plus one promtool run {_ms(run)}",
            (ours + run - starting) / (bare + run),
            " ×",
            "at most",
            1.5,
        ),
        Result(
            "create a rule by API: promtool left out on both sides",
            f"ours {_ms(ours - starting)}, the bare endpoint {_ms(bare)}",
            (ours - starting) / bare,
            " ×",
        ),
    ]


def _side_by_side(times: int, *works: Callable[[], Any]) -> list[float]:
    """The median CPU time of each, this process alone, in turns, so that all meet the same machine."""
    spent: list[list[float]] = [[] for _ in works]
    for turn in range(times + 1):
        for work, found in zip(works, spent, strict=True):
            start = time.process_time()
            work()
            if turn:  # the first one warms up
                found.append(time.process_time() - start)
    return [median(found) for found in spent]


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"
