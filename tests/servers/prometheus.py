"""A Prometheus server with rule evaluation every second, reload over HTTP, and whatever it is told to scrape."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import requests

from tests.servers import took_part
from tests.servers.binaries import PrometheusBinaries
from tests.servers.processes import Process, eventually

# YAML is a superset of JSON: configurations are written as JSON.


class PrometheusServer:
    """`rule_dir` is the directory of releases: rules come from <rule_dir>/current/*.yml, as in production.

    `web` is its web configuration (passwords, TLS), and `asking` what requests needs to be let in.
    """

    def __init__(
        self,
        binaries: PrometheusBinaries,
        folder: Path,
        *,
        rule_dir: Path | None = None,
        rule_files: Sequence[str] = (),
        scrape: Mapping[str, str] | None = None,
        scrape_configs: Sequence[Mapping[str, Any]] = (),
        alertmanagers: Sequence[str] = (),
        interval: str = "1s",
        lifecycle: bool = True,
        resend_delay: str = "1s",
        external_labels: Mapping[str, str] | None = None,
        flags: Sequence[str] = (),
        web: Mapping[str, Any] | None = None,
        asking: Mapping[str, Any] | None = None,
    ) -> None:
        self.binaries = binaries
        self.folder = folder
        self.config_file = folder / "prometheus.yml"
        self.interval = interval
        self.rule_files = [*rule_files, *([f"{rule_dir}/current/*.yml"] if rule_dir else [])]
        # honor_labels: the exporter's job and instance labels stay as they are.
        jobs = [
            {"job_name": job, "honor_labels": True, "static_configs": [{"targets": [address]}]}
            for job, address in (scrape or {}).items()
        ]
        self.scrape_configs = [*jobs, *scrape_configs]
        self.alertmanagers = list(alertmanagers)
        self.resend_delay = resend_delay
        self.external_labels = dict(external_labels or {})
        self.flags = [*(["--web.enable-lifecycle"] if lifecycle else []), *flags]
        self.web = web
        self.asking = dict(asking or {})
        self.address = "127.0.0.1:0"
        self._process: Process | None = None

    @property
    def url(self) -> str:
        if self.web and "tls_server_config" in self.web:
            return f"https://localhost:{self.address.rpartition(':')[2]}"
        return f"http://{self.address}"

    def configuration(self) -> dict[str, Any]:
        return {
            "global": {
                "scrape_interval": self.interval,
                "scrape_timeout": self.interval,
                "evaluation_interval": self.interval,
                "external_labels": self.external_labels,
            },
            "rule_files": self.rule_files,
            "scrape_configs": self.scrape_configs,
            "alerting": {
                "alertmanagers": [{"static_configs": [{"targets": self.alertmanagers}]}] if self.alertmanagers else []
            },
        }

    def write_config(self) -> None:
        self.config_file.write_text(json.dumps(self.configuration(), indent=1))
        if self.web is not None:
            self.web_file.write_text(json.dumps(self.web))

    @property
    def web_file(self) -> Path:
        return self.folder / "web.yml"

    def start(self) -> PrometheusServer:
        """Starts, or starts again on the same port with the same data."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write_config()
        self._process = Process(
            [
                self.binaries.prometheus,
                f"--config.file={self.config_file}",
                f"--storage.tsdb.path={self.folder / 'data'}",
                f"--web.listen-address={self.address}",
                "--log.level=info",
                # An alert's resend must not hide a hand-over from Alertmanager for a minute.
                f"--rules.alert.resend-delay={self.resend_delay}",
                "--rules.alert.for-outage-tolerance=0s",
                *([f"--web.config.file={self.web_file}"] if self.web is not None else []),
                *self.flags,
            ],
            self.folder,
        ).start()
        self.address = self._process.expect(r"Listening on.*?address=(127\.0\.0\.1:\d+)").group(1)
        eventually(
            lambda: requests.get(f"{self.url}/-/ready", timeout=5, **self.asking).ok,
            timeout=60,
            what="Prometheus being ready",
        )
        took_part.note(f"prometheus {self.binaries.version}")
        return self

    def stop(self) -> None:
        if self._process:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process = None

    def restart(self) -> PrometheusServer:
        self.stop()
        return self.start()

    def pause(self) -> None:
        """A server that accepts connections and never answers."""
        assert self._process
        self._process.freeze()

    def resume(self) -> None:
        assert self._process
        self._process.thaw()

    @property
    def output(self) -> str:
        return self._process.output if self._process else ""

    def reload(self) -> requests.Response:
        return requests.post(f"{self.url}/-/reload", timeout=60, **self.asking)

    def get(self, path: str, **parameters: Any) -> Any:
        """The `data` of an API answer; asserts that it succeeded."""
        answer = requests.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=60, **self.asking)
        assert answer.ok, answer.text
        return answer.json()["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return result

    def rules(self) -> list[dict[str, Any]]:
        """All groups, with the rules in them."""
        groups: list[dict[str, Any]] = self.get("rules")["groups"]
        return groups

    def alerts(self) -> list[dict[str, Any]]:
        alerts: list[dict[str, Any]] = self.get("alerts")["alerts"]
        return alerts

    def wait_for_evaluation(self, rounds: int = 1) -> None:
        """Returns when every group has been evaluated `rounds` times more, on what was scraped after this call."""
        for _ in range(rounds + 1):  # the first one may have begun already
            before = self._evaluations()

            def all_again(before: dict[tuple[str, str], str] = before) -> bool:
                now = self._evaluations()
                return all(now.get(group) != when for group, when in before.items())

            eventually(all_again, what="evaluation of every group")

    def _evaluations(self) -> dict[tuple[str, str], str]:
        return {(group["file"], group["name"]): group["lastEvaluation"] for group in self.rules()}

    def clear_data(self) -> None:
        assert self._process is None, "stop it first"
        shutil.rmtree(self.folder / "data", ignore_errors=True)
