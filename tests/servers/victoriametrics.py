"""A vmalert that evaluates rules every second on a VictoriaMetrics of its own, and tells nobody of alerts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import requests

from tests.servers import took_part
from tests.servers.binaries import find
from tests.servers.processes import Process, eventually, free_port, started


class VmalertServer:
    """`rule_dir` is the directory of releases: rules come from <rule_dir>/current/*.yml, as in production."""

    def __init__(self, folder: Path, *, rule_dir: Path, flags: Sequence[str] = ()) -> None:
        self.folder = folder
        self.rule_dir = rule_dir
        self.flags = list(flags)
        self.address = ""
        self.storage_address = ""
        self._storage: Process | None = None
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def storage_url(self) -> str:
        return f"http://{self.storage_address}"

    def start(self) -> VmalertServer:
        """Starts, or starts again on the same ports with the same data."""
        if self._storage is None:
            self._storage, self.storage_address = self._listening(
                self.storage_address,
                [find("victoria-metrics"), f"-storageDataPath={self.folder / 'data'}", "-retentionPeriod=1d"],
            )
        self._process, self.address = self._listening(
            self.address,
            [
                find("vmalert"),
                f"-rule={self.rule_dir}/current/*.yml",
                f"-datasource.url={self.storage_url}",
                f"-remoteWrite.url={self.storage_url}",
                "-notifier.blackhole",
                "-evaluationInterval=1s",
                *self.flags,
            ],
        )
        took_part.note("vmalert with VictoriaMetrics")
        return self

    def _listening(self, address: str, command: list[str | Path]) -> tuple[Process, str]:
        def make(attempt: int) -> Process:
            nonlocal address
            address = f"127.0.0.1:{free_port()}" if attempt or not address else address
            return Process([*command, f"-httpListenAddr={address}"], self.folder)

        process = started(make, r"started server at http", taken="address already in use")
        eventually(partial(_is_healthy, address), what="health")
        return process, address

    def stop(self) -> None:
        for process in (self._process, self._storage):
            if process:
                process.stop()
        self._process = self._storage = None

    def restart(self) -> VmalertServer:
        assert self._process
        self._process.stop()
        return self.start()

    def pause(self) -> None:
        assert self._process
        self._process.freeze()

    def resume(self) -> None:
        assert self._process
        self._process.thaw()

    @property
    def output(self) -> str:
        return self._process.output if self._process else ""

    def rules(self) -> list[dict[str, Any]]:
        """All groups, with the rules in them."""
        groups: list[dict[str, Any]] = requests.get(f"{self.url}/api/v1/rules", timeout=60).json()["data"]["groups"]
        return groups


def _is_healthy(address: str) -> bool:
    return requests.get(f"http://{address}/health", timeout=5).ok
