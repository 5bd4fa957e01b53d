"""Two web and two worker processes beside one of each: answers per second.

All of them may use both cores; so do PostgreSQL and the clients, who take their part of the second core from a single
web process already. Beside it, without a goal: one of each confined to one core with PostgreSQL and the clients, as it
tells apart whether processes get in each other's way; and what the two cores give to processes that share nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bench import clients, cores, policies, scale
from bench.clocks import median
from bench.installation import ROOT, Installation, installation, postgresql
from bench.table import Result
from tests.servers.processes import Process

CLIENTS = 8


def measure(*, tiny: bool = False) -> list[Result]:
    groups, keys, targets = (5, 4, 10) if tiny else (50, 200, 1_000)
    seconds, turns = (1.0, 1) if tiny else (8.0, 3)
    with postgresql() as database, installation(database=database, PROMETHEUS_RULE_LAYOUT="consolidated") as here:
        places = policies.make_groups(groups)
        policies.write(scale.in_half(places, keys))
        ids = policies.make_targets(targets, places)
        both = sorted(os.sched_getaffinity(0))[:2]
        ways: dict[tuple[int, int], list[float]] = {(1, 1): [], (2, 2): [], (1, 2): []}  # processes, cores
        worth: list[float] = []
        for _ in range(turns):
            worth.append(cores.worth_of_two(seconds / 4))
            for (processes, given), rates in ways.items():
                with confined(both[:given]):
                    rates.append(_rate(here, processes, ids, seconds))
    one, two, alone = ways.values()
    what = f"answers/s to effective, {CLIENTS} clients and PostgreSQL on the same cores; median of {turns}"
    return [
        Result(
            "two web and two worker processes beside one of each, all on two cores",
            f"{median(two):.0f} beside {median(alone):.0f} {what}",
            median(more / less for less, more in zip(alone, two, strict=True)),
            " ×",
            "at least",
            1.7,
        ),
        Result(
            "two web and two worker processes on two cores beside one of each on one",
            f"{median(two):.0f} beside {median(one):.0f} {what}",
            median(more / less for less, more in zip(one, two, strict=True)),
            " ×",
        ),
        Result(
            "what these two cores give to two processes that share nothing, beside one",
            f"each computes and nothing else; {', '.join(f'{ratio:.2f}' for ratio in worth)} in {turns} turns",
            median(worth),
            " ×",
        ),
    ]


@contextmanager
def confined(cores: Sequence[int]) -> Iterator[None]:
    """PostgreSQL, and all that is started meanwhile, have these cores only."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        status = Path(f"/proc/{cursor.fetchone()[0]}/status").read_text()
    postmaster = int(status.partition("PPid:")[2].split()[0])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    everybody = [0, postmaster, *map(int, children)]
    before = os.sched_getaffinity(0)
    _confine(everybody, cores)
    try:
        yield
    finally:
        _confine(everybody, before)


def _confine(pids: Iterable[int], cores: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # a worker of PostgreSQL's that was done
            os.sched_setaffinity(pid, cores)


def _rate(here: Installation, processes: int, ids: list[int], seconds: float) -> float:
    paths = [f"/api/v1/targets/{target}/alert-rules/effective" for target in ids[:: max(1, len(ids) // 50)]]
    with ExitStack() as stack:
        web = stack.enter_context(scale.web(here, processes))
        for number in range(processes):
            worker = Process([sys.executable, "manage.py", "worker"], ROOT, env=here.environment)
            worker.log = here.folder / f"worker-{number}.log"
            stack.enter_context(worker)
        _ask(web, paths, 1.5)  # every process compiles first
        return _ask(web, paths, seconds)


def _ask(web: scale.Web, paths: list[str], seconds: float) -> float:
    each = [paths[number::CLIENTS] for number in range(CLIENTS)]
    answers = clients.ask(web.port, web.token, each, seconds=seconds)
    return sum(len(times) for times in answers) / seconds
