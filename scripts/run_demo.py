#!/usr/bin/env python3
"""The demo: Prometheus and the control plane together, with a policy that makes real alerts fire.

    scripts/demo                 set everything up, show it, and stay until Ctrl-C
    scripts/demo --once          the same, then stop
    scripts/demo --state DIR     keep state there instead of var/demo

Binds to 127.0.0.1, on ports 8000 and 9090 or free ones. Every run begins afresh. Everything it starts ends with it.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

import demo_words

ROOT = Path(__file__).resolve().parent.parent
PR_SET_PDEATHSIG = 1

HOST = "127.0.0.1"
JOBS = ("prometheus", "node", "config-server")
START_PATIENCE = 90.0
FIRING_PATIENCE = 90.0
SETTLE_PATIENCE = 45.0
STOP_PATIENCE = 30.0
# By target, what the policy makes fire within seconds: the picture is whole once all of it does.
SOON_FIRING = {("checkout-1", "TargetDown"), ("gpu-1", "TargetDown"), ("prometheus", "ProcessMemoryHigh")}
# Our own variables must not leak in: the demo never touches another control plane's data.
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TERM", "SSL_CERT_FILE", "LD_LIBRARY_PATH")

T = TypeVar("T")
_direct = build_opener(ProxyHandler({}))


class Failed(Exception):
    """Why the demo cannot go on, for a person."""


class Stop(BaseException):
    """Ctrl-C or SIGTERM."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Start Prometheus and the control plane, and show the main job.")
    parser.add_argument("--once", action="store_true", help="stop after everything was shown")
    parser.add_argument("--state", type=Path, default=ROOT / "var" / "demo", help="where its state goes")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    demo: Demo | None = None
    try:
        with fresh(options.state.absolute()) as state:
            demo = Demo(state)
            demo.set_up()
            demo.show()
            if not options.once:
                demo.stay()
    except Failed as failure:
        print(f"demo: {failure}", file=sys.stderr)
        return 1
    except Stop:
        print("\ndemo: stopping", flush=True)
    finally:
        if demo is not None:
            demo.tear_down()
    return 0


def _stop(number: int, frame: FrameType | None) -> None:
    # Once: what comes next must not interrupt the tidying up.
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    raise Stop


@contextmanager
def fresh(state: Path) -> Iterator[Path]:
    """An empty directory of ours; whoever holds its lock is the only demo in it."""
    marker = state / "demo.lock"
    if state.exists() and not marker.exists() and any(state.iterdir()):
        raise Failed(f"{state} holds something that is not a demo's; name another directory with --state")
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(marker, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise Failed(f"{state} cannot be written: {error.strerror}") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Failed(f"a demo is running in {state} already; stop it, or use --state DIR") from error
        for entry in state.iterdir():
            if entry != marker:
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        yield state
    finally:
        os.close(lock)


class Demo:
    def __init__(self, state: Path) -> None:
        self.state = state
        self.prometheus = _program("PROMETHEUS", "prometheus")
        self.promtool = _program("PROMTOOL", "promtool")
        self.web_port = _port(8000)
        self.prometheus_port = _port(9090)
        self.web = f"http://{HOST}:{self.web_port}"
        self.prometheus_url = f"http://{HOST}:{self.prometheus_port}"
        self.rules = state / "rules"
        self.tokens = {role: state / f"{role}-token" for role in ("admin", "discovery")}
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.started = time.monotonic()

    @property
    def environment(self) -> dict[str, str]:
        return {name: os.environ[name] for name in KEPT if name in os.environ} | {
            "VAR_DIR": str(self.state),
            "PROMETHEUS_URL": self.prometheus_url,
            "PROMETHEUS_RULE_DIR": str(self.rules),
            "PROMTOOL_PATH": self.promtool,
            "BASE_URL": self.web,
            "PYTHONUNBUFFERED": "1",
        }

    # --- steps ------------------------------------------------------------------------------------------------------

    def set_up(self) -> None:
        self._say(f"control plane on {self.web}")
        log = self._start(
            "control-plane", sys.executable, ROOT / "manage.py", "up", "--host", HOST, "--port", str(self.web_port)
        )
        self._until(lambda: "ready http://" in log.read_text(errors="replace"), START_PATIENCE, "control plane")
        for role, path in self.tokens.items():
            _write_private(path, self._manage("create_api_token", "--user", "demo", "--role", role))
        self._say(f"Prometheus on {self.prometheus_url}")
        self._start_prometheus()
        self._until(self._prometheus_is_ready, START_PATIENCE, "Prometheus")
        self._say("loading the demo's policy")
        self._manage(
            "load_demo",
            *("--prometheus-address", f"{HOST}:{self.prometheus_port}"),
            *("--web-address", f"{HOST}:{self.web_port}"),
        )
        self.ready = time.monotonic()
        self._say("waiting for the first alert to fire")
        self._until(lambda: self._alerts("firing"), FIRING_PATIENCE, "firing alert")
        self.first = time.monotonic()

    def _start_prometheus(self) -> None:
        configuration = self.state / "prometheus.yml"
        configuration.write_text(
            demo_words.prometheus_configuration(
                rules=self.rules,
                discovery=f"{self.web}/api/v1/sd/prometheus",
                token=self.tokens["discovery"],
                jobs=JOBS,
            )
        )
        self._start(
            "prometheus",
            self.prometheus,
            f"--config.file={configuration}",
            f"--storage.tsdb.path={self.state / 'prometheus-data'}",
            f"--web.listen-address={HOST}:{self.prometheus_port}",
            "--web.enable-lifecycle",
            "--storage.tsdb.retention.time=1d",
        )

    def _prometheus_is_ready(self) -> bool:
        try:
            with _direct.open(f"{self.prometheus_url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def show(self) -> None:
        """Once the alerts that wait a few seconds have had the time."""
        deadline = time.monotonic() + SETTLE_PATIENCE
        while time.monotonic() < deadline and not self._firing() >= SOON_FIRING:
            time.sleep(0.5)
            self._require_alive()
        print()
        print(demo_words.table(self._rows()))
        print()
        print(
            f"The first alert fired {self.first - self.ready:.0f} s after the policy was loaded, "
            f"{self.first - self.started:.0f} s after the start."
        )
        print()
        print(f"Look around:  {self.web}/   (user admin, password in {_short(self.state / 'initial-admin-password')})")
        print(f"Prometheus:   {self.prometheus_url}/alerts")
        print()
        print(self._commands())
        sys.stdout.flush()

    def stay(self) -> None:
        print("\nCtrl-C stops everything.", flush=True)
        while True:
            time.sleep(0.5)
            self._require_alive()

    def tear_down(self) -> None:
        """Politely, Prometheus first; who has not ended within half a minute is killed."""
        running = list(reversed(self.children.values()))
        for child in running:
            if child.poll() is None:
                child.terminate()
        deadline = time.monotonic() + STOP_PATIENCE
        for child in running:
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()

    # --- what is shown ----------------------------------------------------------------------------------------------

    def _rows(self) -> list[tuple[str, str, str, str]]:
        """Target, alert, state, winning layer."""
        rows = []
        alerts = self._alerts()
        for target in self._ask("targets", page_size="100")["results"]:
            host = target["hostname"]
            own = [alert for alert in alerts if alert["labels"].get("target") == host]
            rules = self._ask(f"targets/{target['id']}/alert-rules/effective")["rules"] if own else []
            for alert in sorted(own, key=lambda alert: (alert["state"], alert["labels"]["alertname"])):
                name = alert["labels"]["alertname"]
                layer = next((rule["source"]["scope"] for rule in rules if rule["name"] == name), "?")
                rows.append((host, name, f"{alert['state']} ({alert['labels'].get('severity', '-')})", layer))
            if not own:
                rows.append((host, "-", "disabled" if target["status"] == "disabled" else "-", "-"))
        return rows

    def _commands(self) -> str:
        rules = self._ask("alert-rules", key="PrometheusSeriesHigh", page_size="100")["results"]
        rule = next(rule for rule in rules if rule["scope"] == "environment/staging")
        return demo_words.commands(
            curl="curl" if shutil.which("curl") else ".venv/bin/python scripts/small_curl.py",
            python=_short(Path(sys.executable)),
            web=self.web,
            prometheus=self.prometheus_url,
            token=_short(self.tokens["admin"]),
            state=_short(self.state),
            rule_id=rule["id"],
        )

    # --- asking -----------------------------------------------------------------------------------------------------

    def _alerts(self, state: str | None = None) -> list[dict[str, Any]]:
        try:
            alerts = _get(f"{self.prometheus_url}/api/v1/alerts")["data"]["alerts"]
        except (URLError, OSError) as error:
            raise Failed(f"Prometheus does not answer: {error}") from error
        return [alert for alert in alerts if state is None or alert["state"] == state]

    def _firing(self) -> set[tuple[str, str]]:
        """(target, alert)"""
        return {(alert["labels"].get("target", ""), alert["labels"]["alertname"]) for alert in self._alerts("firing")}

    def _ask(self, path: str, **query: str) -> Any:
        url = f"{self.web}/api/v1/{path}?{urlencode(query)}"
        try:
            return _get(url, self.tokens["admin"].read_text().strip())
        except HTTPError as error:
            raise Failed(f"GET {url} was answered {error.code}: {error.read(500).decode(errors='replace')}") from error
        except (URLError, OSError) as error:
            raise Failed(f"the control plane does not answer: {error}") from error

    # --- processes --------------------------------------------------------------------------------------------------

    def _start(self, name: str, *command: str | Path) -> Path:
        """A child in a session of its own: Ctrl-C reaches only us, and we stop children in order."""
        log = self.state / f"{name}.log"
        with log.open("ab") as output:
            child = subprocess.Popen(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        self.children[name] = child
        return log

    def _manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, ROOT / "manage.py", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise Failed(f"manage.py {arguments[0]} failed:\n{done.stderr.strip()[-2000:]}")
        return done.stdout.strip()

    def _until(self, probe: Callable[[], T], patience: float, what: str) -> T:
        deadline = time.monotonic() + patience
        while not (found := probe()):
            self._require_alive()
            if time.monotonic() > deadline:
                raise Failed(f"no {what} within {patience:.0f} s; the logs are in {_short(self.state)}/*.log")
            time.sleep(0.2)
        return found

    def _require_alive(self) -> None:
        for name, child in self.children.items():
            if child.poll() is not None:
                tail = (self.state / f"{name}.log").read_text(errors="replace").strip()[-2000:]
                raise Failed(f"{name} ended with code {child.returncode}. Its last words:\n{tail}")

    def _say(self, text: str) -> None:
        print(f"demo: {text}", flush=True)


def _die_with_parent() -> None:
    """Also when this process is killed and cannot tidy up."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _program(variable: str, name: str) -> str:
    path = os.environ.get(variable) or shutil.which(name)
    if not path or not os.access(path, os.X_OK):
        raise Failed(
            f"{name} is missing: run `make demo`, which fetches it, or set {variable} to where it is "
            "(https://prometheus.io/download/)"
        )
    return path


def _port(wanted: int) -> int:
    """The wanted port, or a free one, that no other demo is about to use."""
    for port in (wanted, 0, 0, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            found = int(probe.getsockname()[1])
            if _claim(found):
                return found
    raise Failed(f"there is no free port on {HOST}")


_claims: list[socket.socket] = []


def _claim(port: int) -> bool:
    """A name that only one process has, as long as it lives; it is no file."""
    if sys.platform != "linux":
        return True
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0config-server-demo-{port}")
    except OSError:
        claim.close()
        return False
    _claims.append(claim)
    return True


def _get(url: str, token: str = "") -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with _direct.open(Request(url, headers=headers), timeout=15) as answer:  # noqa: S310
        return json.load(answer)


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(text + "\n")


def _short(path: Path) -> str:
    """As one types it in the clone."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


if __name__ == "__main__":
    sys.exit(main())
