"""Ten edits right after one another, with a running worker: how many releases, and when Prometheus holds the last."""

from __future__ import annotations

import sys
import time
from typing import Any

from bench import policies
from bench.clocks import median
from bench.installation import ROOT, installation, rule_server
from bench.table import Result
from tests.servers.processes import Process

EDITS = 10
PATIENCE = 300


def measure(*, tiny: bool = False) -> list[Result]:
    groups, keys = (5, 4) if tiny else (100, 100)
    with rule_server() as (server, rule_dir), installation(prometheus=server.url, rule_dir=rule_dir) as here:
        from alerts.models import AlertRule

        rows = policies.make_groups(groups)
        policies.write(
            policies.rule_row(f"Rule{key}", policies.expression(key), group=group)
            for group in rows
            for key in range(keys)
        )
        command = [sys.executable, "manage.py", "worker", "--reconcile-every", "3600"]
        worker = Process(command, ROOT, env=here.environment)
        worker.log = here.folder / "worker.log"
        with worker:
            _wait_for(_latest_revision())
            ids = list(AlertRule.objects.order_by("id").values_list("pk", flat=True))[: EDITS * 7 : 7]
            _burst(ids, 1)  # the first burst finds the worker with everything still to be remembered
            releases, spans, delays = [], [], []
            for turn in range(3):
                before = _releases()
                span, delay = _burst(ids, turn + 2)
                releases.append(_releases() - before)
                spans.append(span)
                delays.append(delay)
        reload = median(server.reload_cost().wall for _ in range(3))
    what = f"burst of {EDITS} edits at {groups * keys:,} rules"
    return [
        Result(
            f"{what}: releases",
            f"the most of three bursts, each within {1000 * max(spans):.0f} ms",
            max(releases),
            "",
            "at most",
            2,
        ),
        Result(
            f"{what}: last state loaded",
            f"{median(delays):.2f} s after the last edit until it was read back (median of three); "
            f"a reload takes Prometheus {reload:.2f} s",
            median(delays) / reload,
            " reloads",
            "at most",
            3,
        ),
    ]


def _burst(ids: list[int], turn: int) -> tuple[float, float]:
    """Seconds that the edits took, and from the last one until the server was verified to hold it."""
    start = time.monotonic()
    for number, rule_id in enumerate(ids):
        revision = policies.change(rule_id, query_template=policies.expression(1_000_000 * turn + number))
    written = time.monotonic()
    _wait_for(revision)
    return written - start, time.monotonic() - written


def _wait_for(revision: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while _state()["loaded_revision"] < revision:
        assert time.monotonic() < deadline, f"the worker did not get there: {_state()}"
        time.sleep(0.02)


def _state() -> dict[str, Any]:
    from alerts.models import ServerState

    state = ServerState.objects.first()
    return {"loaded_revision": state.loaded_revision if state else -1, "error": state.last_error if state else None}


def _latest_revision() -> int:
    from alerts.models import PolicyState

    return PolicyState.current()


def _releases() -> int:
    from alerts.models import Release

    return Release.objects.count()
