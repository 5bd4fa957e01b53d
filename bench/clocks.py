"""What something cost: CPU seconds of this process, of its children and of another process, and wall time."""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any


def process_cpu(pid: int) -> float:
    """CPU seconds another process has used, all its threads included, to the nanosecond."""
    return time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3); /proc counts in hundredths only


def own_cpu() -> float:
    """This process and the children it has waited for (promtool)."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def children_cpu(pid: int) -> float:
    """CPU seconds of the children another process has waited for, in hundredths (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


class Spent(AbstractContextManager["Spent"]):
    """``with Spent() as spent:`` … ``spent.cpu`` and ``spent.wall`` in seconds; ``pid``: of another process."""

    def __init__(self, pid: int | None = None) -> None:
        self._cpu: Callable[[], float] = own_cpu if pid is None else lambda: process_cpu(pid)
        self.cpu = self.wall = 0.0

    def __enter__(self) -> Spent:
        self._wall_before, self._cpu_before = time.perf_counter(), self._cpu()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu, self.wall = self._cpu() - self._cpu_before, time.perf_counter() - self._wall_before


def cpu_of(work: Callable[[], Any], times: int = 1) -> list[float]:
    """CPU seconds of each of several calls."""
    found = []
    for _ in range(times):
        with Spent() as spent:
            work()
        found.append(spent.cpu)
    return found


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def peak_memory() -> int:
    """The largest resident size this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
