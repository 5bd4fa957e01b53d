"""A server process: started in its own group, its output in a file, gone when the test run is gone."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
TRIES = 5

_running: weakref.WeakSet[Process] = weakref.WeakSet()


class ServerFailed(AssertionError):
    """The server did not start, or died; the message carries the end of its output."""


def eventually(probe: Callable[[], T | None], *, timeout: float = 15, every: float = 0.05, what: str = "") -> T:
    """The first truthy result of `probe`; fails, naming its last assertion or connection error, otherwise."""
    end = time.monotonic() + timeout
    while True:
        failure: Exception | None = None
        try:
            result = probe()
            if result:
                return result
        except (AssertionError, OSError) as error:
            if isinstance(error, ServerFailed):
                raise
            failure = error
        if time.monotonic() > end:
            raise AssertionError(f"no {what or 'success'} within {timeout:g} s: {failure}") from failure
        time.sleep(every)


def free_port() -> int:
    """A loopback port that was free a moment ago: for servers that cannot choose one and tell."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _state(thread: Path) -> str:
    """R running, S sleeping, T stopped … as the kernel says."""
    return (thread / "stat").read_text().rpartition(")")[2].split()[0]


class Process:
    """`command` in `folder`; also usable as a context manager. `user` switches to it (root only)."""

    def __init__(
        self,
        command: Sequence[str | Path],
        folder: Path,
        *,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        self.command = [str(part) for part in command]
        self.folder = folder
        self.env = dict(os.environ if env is None else env)
        self.user = user
        self.name = Path(self.command[0]).name
        self.log = folder / f"{self.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._read_from = 0

    def start(self) -> Process:
        assert self._process is None, f"{self.name} is running already"
        self.folder.mkdir(parents=True, exist_ok=True)
        # The kernel kills the server when the thread that started it is gone, be it by kill -9.
        prefix = [shutil.which("setpriv") or "setpriv", "--pdeathsig", "KILL"]
        if self.user:
            prefix += ["--reuid", self.user, "--regid", "nogroup", "--clear-groups"]
        with self.log.open("ab") as output:
            self._read_from = output.tell()
            self._process = subprocess.Popen(
                [*prefix, *self.command],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _running.add(self)
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def output(self) -> str:
        """What it has written since its last start."""
        try:
            return self.log.read_bytes()[self._read_from :].decode(errors="replace")
        except FileNotFoundError:
            return ""

    def expect(self, pattern: str, *, timeout: float = 30) -> re.Match[str]:
        """Waits until a line of its output matches; fails at once when it has exited without."""

        def found() -> re.Match[str] | None:
            exited = not self.running
            match = re.search(pattern, self.output, re.MULTILINE)
            if match is None and exited:
                raise ServerFailed(f"{self.name} exited with {self.exit_code}:\n{self.output[-3000:]}")
            return match

        try:
            return eventually(found, timeout=timeout)
        except ServerFailed:
            raise
        except AssertionError:
            raise ServerFailed(f"{self.name} never said {pattern!r}:\n{self.output[-3000:]}") from None

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def freeze(self) -> None:
        """Stops it in its tracks; returns when every thread of it stands still."""
        self.send(signal.SIGSTOP)
        threads = Path(f"/proc/{self.pid}/task")
        eventually(
            lambda: all(_state(thread) in "Tt" for thread in threads.iterdir()), what=f"standstill of {self.name}"
        )

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    @property
    def exit_code(self) -> int | None:
        return self._process.poll() if self._process else None

    def wait(self, timeout: float = 15) -> int:
        assert self._process is not None
        return self._process.wait(timeout)

    def stop(self, *, number: int = signal.SIGTERM, timeout: float = 15) -> None:
        """Asks politely, then kills the whole group. Does nothing to a stopped server."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self.send(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout)
        self.kill()

    def kill(self) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        self._process = None
        _running.discard(self)

    def __enter__(self) -> Process:
        return self if self._process else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def started(make: Callable[[int], Process], says: str, *, taken: str) -> Process:
    """A server that listens on a port `free_port` gave: where another one was faster, it is made again.

    `make` is told which try this is, from 0; `says` is what the server says once it listens, `taken` when it cannot.
    """
    for attempt in range(TRIES):
        process = make(attempt)
        try:
            process.start().expect(says)
        except ServerFailed:
            process.kill()
            if attempt == TRIES - 1 or taken not in process.output:
                raise
        else:
            return process
    raise AssertionError("unreachable")


@atexit.register
def _kill_all() -> None:
    for process in list(_running):
        process.kill()
