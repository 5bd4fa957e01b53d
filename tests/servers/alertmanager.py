"""A real Alertmanager: routes everything at once, groups by nothing, so that its view changes as soon as it can."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from tests.servers import took_part
from tests.servers.binaries import find, unpacked_root, version_of
from tests.servers.processes import Process, eventually


class AlertmanagerServer:
    """`webhook` receives every notification, the resolved ones too."""

    def __init__(self, folder: Path, *, webhook: str | None = None, route: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        self.binary = find("prometheus-alertmanager", "ALERTMANAGER")
        self.address = "127.0.0.1:0"
        receiver: dict[str, Any] = {"name": "tests"}
        if webhook:
            receiver["webhook_configs"] = [{"url": webhook, "send_resolved": True}]
        # One group per alert, told at once: every change of Alertmanager's view becomes a notification.
        at_once: dict[str, Any] = {
            "receiver": "tests",
            "group_by": ["..."],
            "group_wait": "0s",
            "group_interval": "1s",
            "repeat_interval": "1h",
        }
        self.configuration = {
            "global": {"resolve_timeout": "5m"},
            "route": at_once | dict(route or {}),
            "receivers": [receiver],
        }
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def start(self) -> AlertmanagerServer:
        self.folder.mkdir(parents=True, exist_ok=True)
        # scripts/fetch_tools.py makes an unpacked Debian build look for its templates here.
        files = self.folder / "alertmanager-files"
        if not files.is_symlink():
            files.symlink_to(unpacked_root(self.binary) / "usr/share/prometheus/alertmanager")
        config = self.folder / "alertmanager.yml"
        config.write_text(json.dumps(self.configuration, indent=1))
        self._process = Process(
            [
                self.binary,
                f"--config.file={config}",
                f"--storage.path={self.folder / 'data'}",
                f"--web.listen-address={self.address}",
                "--cluster.listen-address=",
            ],
            self.folder,
        ).start()
        self.address = self._process.expect(r"Listening on.*?address=(127\.0\.0\.1:\d+)").group(1)
        eventually(lambda: requests.get(f"{self.url}/-/ready", timeout=5).ok, what="Alertmanager being ready")
        took_part.note(f"alertmanager {version_of(self.binary)}")
        return self

    def stop(self) -> None:
        if self._process:
            self._process.stop()
            self._process = None

    @property
    def output(self) -> str:
        return self._process.output if self._process else ""

    def alerts(self) -> list[dict[str, Any]]:
        """Everything it holds as active now (resolved alerts are not in the API's answer)."""
        answer = requests.get(f"{self.url}/api/v2/alerts", timeout=30)
        assert answer.ok, answer.text
        alerts: list[dict[str, Any]] = answer.json()
        return alerts
