"""A company's worth of policy: 100,000 targets, 1,000 groups, 200 policies with a word of each group on each.

Compiled from nothing in a fresh process; then asked over HTTP what is in force for one target, by eight clients at
once, with two web processes on the same cores. Each client asks for targets drawn at random, which are in many groups,
and reads answers without looking into them (``clients``): a Python client with eight threads that parsed them took as
much of the cores as the server, and timed its own waiting.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import requests

from bench import clients, policies
from bench.clocks import median, process_cpu
from bench.installation import ROOT, Installation, installation, postgresql
from bench.table import Result
from tests.servers.processes import Process, eventually, free_port

CLIENTS = 8
WEB_PROCESSES = 2
THRESHOLDS = 5
NAMESPACE = "environment"

# Runs on its own, so that nothing but the compile is in its memory.
COMPILE = """
import json, sys, time
from pathlib import Path
import django
django.setup()
from alerts.actions import policy
from alerts.domain.renderer import render
start = time.process_time()
current = policy.current(sys.argv[1])
loaded = time.process_time()
files = render(current.compiled.rules)
print(json.dumps({
    "compile": loaded - start, "render": time.process_time() - loaded, "rules": len(current.compiled.rules),
    "problems": len(current.compiled.problems), "size": sum(len(file.content) for file in files.values()),
    # Not ru_maxrss: a child begins with its parent's.
    "peak": 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]),
}))
"""


def measure(*, tiny: bool = False) -> list[Result]:
    groups, keys, few, many = (10, 4, 20, 40) if tiny else (1_000, 200, 1_000, 100_000)
    requests_each = 5 if tiny else 60
    with postgresql() as database, installation(database=database, PROMETHEUS_RULE_LAYOUT="consolidated") as here:
        places = policies.make_groups(groups)
        policies.write(in_half(places, keys))
        policies.make_targets(few, places)
        with web(here) as serving:
            small = _ask(serving, few, requests_each)
        policies.make_targets(many, places)
        with web(here) as serving:
            large = _ask(serving, many, requests_each)
        policies.replace(everywhere(places, keys))
        compiled = {layout: _compiled(here, layout) for layout in ("consolidated", "per-scope")}
    what = f"{many:,} targets × {keys} policies × {groups:,} groups"
    return [
        *(line for layout, found in compiled.items() for line in _compile_lines(what, layout, found)),
        *(line for kind in KINDS for line in _http_lines(what, kind, small[kind], large[kind], few)),
    ]


def _compile_lines(what: str, layout: str, found: dict[str, Any]) -> Iterable[Result]:
    spent = found["compile"] + found["render"]
    assert not found["problems"]
    yield Result(
        f"full compile, {what}: {layout}",
        f"read, compiled and rendered in a fresh process: {found['compile']:.1f} + {found['render']:.1f} s CPU; "
        f"{found['rules']:,} rules, {found['size'] / 1e6:.1f} MB",
        spent,
        " s",
        "at most",
        10,
    )
    yield Result(
        f"full compile, {what}: {layout}, peak memory",
        "largest resident size of that process",
        found["peak"] / 1e6,
        " MB",
        "at most",
        500,
    )


def _http_lines(what: str, kind: str, small: Asked, large: Asked, few: int) -> Iterable[Result]:
    yield Result(
        f"{kind} of one target over HTTP, {what}",
        f"CPU of the web processes per request, {large.found} keys in force; the fastest of four rounds",
        1000 * large.cpu,
        " ms",
        "at most",
        15,
    )
    yield Result(
        f"{kind} over HTTP: beside a fleet of {few:,} targets",
        f"{1000 * small.cpu:.1f} ms there",
        large.cpu / small.cpu,
        " ×",
        "at most",
        1.25,
    )
    yield Result(
        f"{kind} over HTTP: 95 % of the answers",
        f"{CLIENTS} clients and {WEB_PROCESSES} web processes on the same cores; half of them within "
        f"{1000 * large.half:.0f} ms",
        1000 * large.p95,
        " ms",
        "at most",
        60,
    )


KINDS = ("effective", "trace")


class Asked:
    """What one kind of question cost: CPU seconds per request, and seconds within which answers came."""

    def __init__(self, cpu: float, half: float, p95: float, found: int) -> None:
        self.cpu, self.half, self.p95, self.found = cpu, half, p95, found


class Web:
    """Two web processes and a token."""

    def __init__(self, url: str, token: str, pids: list[int], process: Process) -> None:
        self.url, self.token, self.pids, self.process = url, token, pids, process

    def __enter__(self) -> Web:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def cpu(self) -> float:
        return sum(process_cpu(pid) for pid in self.pids)


def web(here: Installation, processes: int = WEB_PROCESSES) -> Web:
    from alerts.actions import tokens
    from alerts.models import Role

    token, _ = tokens.create("bench", Role.VIEWER)
    port = free_port()
    command = [
        *(sys.executable, "-m", "gunicorn", "config_server.wsgi", "--config", "python:config_server.gunicorn"),
        *("--bind", f"127.0.0.1:{port}", "--workers", str(processes), "--threads", "4", "--no-control-socket"),
    ]
    process = Process(command, ROOT, env=here.environment)
    process.log = here.folder / "web.log"
    process.start()
    url = f"http://127.0.0.1:{port}"
    eventually(lambda: requests.get(f"{url}/-/ready", timeout=5).ok, timeout=120)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return Web(url, token, [int(pid) for pid in children.split()], process)


def _ask(web: Web, targets: int, each: int) -> dict[str, Asked]:
    from alerts.models import Target

    ids = list(Target.objects.order_by("id").values_list("pk", flat=True)[:targets])
    return {kind: _rounds(web, kind, ids, each) for kind in KINDS}


def _rounds(web: Web, kind: str, ids: list[int], each: int) -> Asked:
    rng = random.Random(1)
    found = _found(web, kind, ids[0])
    for _ in range(2):  # both processes compile
        clients.ask(web.port, web.token, _paths(kind, ids, rng), each=6)
    costs, waits = [], []
    for _ in range(4):
        paths, before = _paths(kind, ids, rng), web.cpu
        answers = [seconds for each_of in clients.ask(web.port, web.token, paths, each=each) for seconds in each_of]
        costs.append((web.cpu - before) / len(answers))
        waits.append(sorted(answers))
    best = min(waits, key=lambda found: found[int(len(found) * 0.95)])
    return Asked(min(costs), median(best), best[int(len(best) * 0.95)], found)


def _paths(kind: str, ids: list[int], rng: random.Random) -> list[list[str]]:
    """What each client asks for."""
    some = [[rng.choice(ids) for _ in range(50)] for _ in range(CLIENTS)]
    return [[f"/api/v1/targets/{target}/alert-rules/{kind}" for target in targets] for targets in some]


def _found(web: Web, kind: str, target: int) -> int:
    url = f"{web.url}/api/v1/targets/{target}/alert-rules/{kind}"
    answer = requests.get(url, headers={"Authorization": f"Bearer {web.token}"}, timeout=60)
    assert answer.ok, answer.text
    body = answer.json()
    return len(body.get("rules") or body.get("keys"))


def _compiled(here: Installation, layout: str) -> dict[str, Any]:
    command = [sys.executable, "-c", COMPILE, layout]
    done = subprocess.run(command, cwd=ROOT, env=here.environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def in_half(groups: list[Any], keys: int) -> Iterable[Any]:
    """Each policy is written in every other group, with one of five thresholds: half of them are in force in each."""
    for key in range(keys):
        for number, group in enumerate(groups):
            if (key + number) % 2:
                said = policies.CONFIG | {"template_vars": _share(number)}
                yield policies.rule_row(f"Rule{key}", _query(key), variables=VARIABLES, group=group, config=said)


def everywhere(groups: list[Any], keys: int) -> Iterable[Any]:
    """A rule for everything, and a word of every group: half mute it, the others have one of five thresholds."""
    for key in range(keys):
        yield policies.rule_row(f"Rule{key}", _query(key), variables=VARIABLES)
        for number, group in enumerate(groups):
            said: dict[str, Any] = {"config": {"template_vars": _share(number)}}
            if (key + number) % 2 == 0:
                said = {"enabled": False, "config": {}}
            yield policies.rule_row(f"Rule{key}", None, group=group, merge_strategy="merge", severity=None, **said)


VARIABLES = [{"name": "share", "type": "number", "default": 0.05}]


def _query(key: int) -> str:
    return policies.expression(key).replace("0.05", "{{ .share }}")


def _share(number: int) -> dict[str, float]:
    return {"share": 0.1 * (1 + number % THRESHOLDS)}
