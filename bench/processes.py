"""Two web and two worker processes beside one of each: answers per second from the same machine.

The clients are one lean process that reads answers without looking into them; PostgreSQL and the clients need their
share of the cores, too, so on two cores the ideal of 2 × is out of reach.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from typing import Any

from bench import policies, scale
from bench.clocks import median
from bench.installation import ROOT, Installation, installation, postgresql
from bench.table import Result
from tests.servers.processes import Process

CLIENTS = 8

# Its own process: the interpreter's lock of the bench must not hold it up.
CLIENT = """
import http.client, json, sys, threading, time
port, token, seconds, paths = int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), json.loads(sys.argv[4])
counts = []
def run(number):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        connection.request("GET", paths[(number + count) % len(paths)], headers={"Authorization": "Bearer " + token})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        count += 1
    counts.append(count)
threads = [threading.Thread(target=run, args=(number,)) for number in range(int(sys.argv[5]))]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps(sum(counts) / seconds))
"""


def measure(*, tiny: bool = False) -> list[Result]:
    groups, keys, targets = (5, 4, 10) if tiny else (50, 200, 1_000)
    seconds, turns = (1.0, 1) if tiny else (8.0, 3)
    with postgresql() as database, installation(database=database, PROMETHEUS_RULE_LAYOUT="consolidated") as here:
        places = policies.make_groups(groups)
        policies.write(scale.in_half(places, keys))
        ids = policies.make_targets(targets, places)
        rates: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(turns):
            for processes in rates:
                rates[processes].append(_rate(here, processes, ids, seconds))
    return [
        Result(
            "two web and two worker processes beside one of each",
            f"{median(rates[2]):.0f} beside {median(rates[1]):.0f} answers/s to effective, {CLIENTS} clients, "
            f"PostgreSQL and all processes on the same cores; median of {turns}",
            median(two / one for one, two in zip(rates[1], rates[2], strict=True)),
            " ×",
            "at least",
            1.7,
        )
    ]


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
    port = web.url.rpartition(":")[2]
    command = [sys.executable, "-c", CLIENT, port, web.token, str(seconds), json.dumps(paths), str(CLIENTS)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    rate: Any = json.loads(done.stdout)
    return float(rate)
