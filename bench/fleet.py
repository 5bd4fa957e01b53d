"""One change on many servers: when the last one was read back, and what that costs us beside their reloads.

Real Prometheus servers, a real worker process and PostgreSQL. All servers hold the whole policy, so all of them reload
at once; on few cores their reloads wait for each other, and each server's own reload is as long as it then takes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench import policies
from bench.clocks import children_cpu, median, process_cpu
from bench.installation import NEVER, ROOT, MeasuredPrometheus, installation, newest, postgresql
from bench.table import Result
from tests.servers.processes import Process

CHANGES = 2
PATIENCE = 900


def measure(*, tiny: bool = False) -> list[Result]:
    count, groups, keys = (2, 3, 2) if tiny else (20, 100, 100)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)))
        database = stack.enter_context(postgresql())
        servers = [_server(stack, folder, number) for number in range(count)]
        # All reload at once on a few cores: each takes far longer than on a machine of its own.
        roots = str(folder / "rules")
        here = stack.enter_context(
            installation(database=database, PROMETHEUS_RULE_ROOTS=roots, PROMETHEUS_TIMEOUT="600")
        )
        from alerts.models import AlertRule, PrometheusServer

        PrometheusServer.objects.filter(name="default").update(enabled=False)
        for number, server in enumerate(servers):
            PrometheusServer.objects.create(name=f"s{number:02}", url=server.url, delivery="directory")
        rows = policies.make_groups(groups)
        policies.write(
            policies.rule_row(f"Rule{key}", policies.expression(key), group=group)
            for group in rows
            for key in range(keys)
        )
        worker = Process(
            [sys.executable, "manage.py", "worker", "--reconcile-every", "3600"], ROOT, env=here.environment
        )
        worker.log = here.folder / "worker.log"
        with worker:
            _wait_for(_revision(), count)
            ids = list(AlertRule.objects.order_by("id").values_list("pk", flat=True))[:: max(1, groups * keys // 10)]
            turns = [_turn(worker.pid, servers, rule_id, number) for number, rule_id in enumerate(ids[: CHANGES + 1])]
    del turns[0]  # everything was still to be remembered
    what = f"one change on {count} servers with {groups * keys:,} rules each"
    return [
        Result(
            f"{what}: loaded and read back on all",
            f"{median(turn.wall for turn in turns):.1f} s after the commit (median of {len(turns)}); the slowest "
            f"server's own reload took {median(turn.slowest for turn in turns):.1f} s",
            median(turn.wall / turn.slowest for turn in turns),
            " ×",
            "at most",
            2,
        ),
        Result(
            f"{what}: our CPU",
            f"{1000 * median(turn.ours for turn in turns):.0f} ms (the worker and its promtool) beside "
            f"{median(turn.theirs for turn in turns):.1f} s of the servers",
            100 * median(turn.ours / turn.theirs for turn in turns),
            " %",
            "at most",
            2,
        ),
    ]


class Turn:
    """One change: seconds from commit to the last read-back, of the slowest reload, and CPU of ours and theirs."""

    def __init__(self, wall: float, slowest: float, ours: float, theirs: float) -> None:
        self.wall, self.slowest, self.ours, self.theirs = wall, slowest, ours, theirs


def _turn(worker: int, servers: list[MeasuredPrometheus], rule_id: int, number: int) -> Turn:
    from alerts.models import Release, ServerState

    time.sleep(1)  # what the last turn left behind is collected
    theirs, ours = sum(server.cpu for server in servers), process_cpu(worker) + children_cpu(worker)
    revision = policies.change(rule_id, query_template=policies.expression(1_000_000 + number))
    start = time.monotonic()
    _wait_for(revision, len(servers))
    wall = time.monotonic() - start
    ours = process_cpu(worker) + children_cpu(worker) - ours
    theirs = sum(server.cpu for server in servers) - theirs
    loaded = ServerState.objects.filter(loaded_release__isnull=False).values_list("loaded_release_id", flat=True)
    slowest = max(release.timings["reload"] for release in Release.objects.filter(pk__in=list(loaded)))
    return Turn(wall, slowest, ours, theirs)


def _server(stack: ExitStack, folder: Path, number: int) -> MeasuredPrometheus:
    rule_dir = folder / "rules" / f"s{number:02}"
    rule_dir.mkdir(parents=True)
    server = MeasuredPrometheus(newest(), folder / f"prometheus-{number}", rule_dir=rule_dir, interval=NEVER)
    stack.callback(server.stop)
    server.start()
    return server


def _wait_for(revision: int, count: int) -> None:
    from alerts.models import ServerState

    deadline = time.monotonic() + PATIENCE
    while ServerState.objects.filter(loaded_revision__gte=revision).count() < count:
        assert time.monotonic() < deadline, list(ServerState.objects.values("name", "loaded_revision", "last_error"))
        time.sleep(0.05)


def _revision() -> int:
    from alerts.models import PolicyState

    return PolicyState.current()
