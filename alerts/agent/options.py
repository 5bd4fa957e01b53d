"""What the agent is told: options, each of which the environment can give, so that a sidecar needs no arguments."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from alerts.adapters.allowed_urls import check_base_url, host_of
from alerts.agent.secret_files import PrometheusAccess

LONGEST_WAIT = 60
PROMETHEUS_ACCESS = {
    "bearer_token_file": "shown to Prometheus with every request",
    "username": "for its basic auth",
    "password_file": "for its basic auth",
    "ca_file": "who vouches for its certificate",
    "cert_file": "our certificate, where it wants one",
    "key_file": "the certificate's key, where it is in a file of its own",
    "server_name": "what its certificate says, where that is not the host of --prometheus",
}
"""Options ``--prometheus-…``, as Prometheus itself calls them; variables ``PROMETHEUS_…``. Secrets: files only."""


@dataclass(frozen=True)
class Options:
    """``interval``: seconds between two looks for drift; ``heartbeat``: at most so many between two reports.

    ``access``: what Prometheus wants to see.
    """

    server: str
    token_file: Path
    rule_dir: Path
    prometheus: str
    access: PrometheusAccess = field(default_factory=PrometheusAccess)
    promtool: str | None = None
    state_dir: Path | None = None
    ca_file: Path | None = None
    use_proxy: bool = False
    reload: bool = True
    wait: int = 30
    interval: float = 30.0
    heartbeat: float = 60.0
    timeout: float = 30.0
    once: bool = False

    @property
    def keeps_in(self) -> Path:
        return self.state_dir or self.rule_dir / ".agent"

    @property
    def secret_in_clear(self) -> bool:
        """Whether what Prometheus wants to see leaves this machine unencrypted."""
        parts = urlsplit(self.prometheus)
        near = host_of(parts.hostname or "")
        is_near = near.address.is_loopback if near.address else near.name == "localhost"
        return self.access.holds_secret and parts.scheme == "http" and not is_near


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Exits with 2 and a word on what is wrong, as command lines do."""
    parser = _parser(environment)
    given = parser.parse_args(arguments)
    for option, variable in (
        ("server", "CONFIG_SERVER_URL"),
        ("token_file", "CONFIG_SERVER_TOKEN_FILE"),
        ("rule_dir", "RULE_DIR"),
        ("prometheus", "PROMETHEUS_URL"),
    ):
        if not getattr(given, option):
            parser.error(f"--{option.replace('_', '-')} is needed, or {variable} in the environment")
    for option in ("server", "prometheus"):
        for finding in check_base_url(getattr(given, option)):
            parser.error(f"--{option} {finding.message}")
    if not 0 <= given.wait <= LONGEST_WAIT:
        parser.error(f"--wait is between 0 and {LONGEST_WAIT} seconds")
    for option in ("interval", "heartbeat", "timeout"):
        if not 0 < getattr(given, option) <= 3600:
            parser.error(f"--{option} is more than 0, at most 3600 seconds")
    if given.promtool and shutil.which(given.promtool) is None:  # without a judge by mistake: better not at all
        parser.error(f"--promtool (PROMTOOL_PATH) {given.promtool} is not a program that can be run")
    values = dict(vars(given))
    values["access"] = _access(values, parser)
    for option in ("server", "prometheus"):
        values[option] = values[option].rstrip("/")
    for option in ("token_file", "rule_dir", "state_dir", "ca_file"):
        values[option] = _path(values[option])
    return Options(**values)


def _access(values: dict[str, Any], parser: argparse.ArgumentParser) -> PrometheusAccess:
    """Takes the options ``--prometheus-…`` out of the others."""
    told = {name: values.pop(f"prometheus_{name}") or None for name in PROMETHEUS_ACCESS}
    if bool(told["username"]) != bool(told["password_file"]):
        parser.error("--prometheus-username and --prometheus-password-file go together")
    if told["bearer_token_file"] and told["password_file"]:
        parser.error("--prometheus-bearer-token-file or --prometheus-password-file, not both")
    if told["username"] and (":" in told["username"] or not told["username"].isprintable()):
        parser.error("--prometheus-username holds no colon and no control characters")
    if told["key_file"] and not told["cert_file"]:
        parser.error("--prometheus-key-file needs the --prometheus-cert-file that it belongs to")
    return PrometheusAccess(
        bearer_token_file=_path(told["bearer_token_file"]),
        username=told["username"],
        password_file=_path(told["password_file"]),
        ca=_path(told["ca_file"]),
        certificate=_path(told["cert_file"]),
        key=_path(told["key_file"]),
        server_name=told["server_name"],
    )


def _path(text: str | None) -> Path | None:
    return Path(os.path.abspath(text)) if text else None


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    def told(variable: str, otherwise: str | None = None) -> str | None:
        return environment.get(variable) or otherwise

    parser = argparse.ArgumentParser("manage.py agent", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--server", default=told("CONFIG_SERVER_URL"), help="address of the control plane (CONFIG_SERVER_URL)")
    add("--token-file", default=told("CONFIG_SERVER_TOKEN_FILE"), help="its token (CONFIG_SERVER_TOKEN_FILE)")
    add("--rule-dir", default=told("RULE_DIR"), help="Prometheus loads <rule-dir>/current/*.yml (RULE_DIR)")
    add("--prometheus", default=told("PROMETHEUS_URL"), help="address of Prometheus (PROMETHEUS_URL)")
    for name, what in PROMETHEUS_ACCESS.items():
        add(f"--prometheus-{name.replace('_', '-')}", default=told(f"PROMETHEUS_{name.upper()}"), help=what)
    promtool = told("PROMTOOL_PATH", shutil.which("promtool"))
    add("--promtool", default=promtool, help="the promtool that belongs to it (PROMTOOL_PATH, or on PATH)")
    add("--state-dir", default=told("AGENT_STATE_DIR"), help="where the last good set is kept; <rule-dir>/.agent")
    add("--ca-file", default=told("CONFIG_SERVER_CA_FILE"), help="who vouches for the control plane's certificate")
    add("--use-proxy", action="store_true", help="go through the proxies that the environment names")
    add("--no-reload", dest="reload", action="store_false", help="somebody else reloads Prometheus")
    add("--wait", type=int, default=told("AGENT_WAIT", "30"), help="seconds the control plane may hold a request")
    add("--interval", type=float, default=told("AGENT_INTERVAL", "30"), help="seconds between looks for drift")
    add("--heartbeat", type=float, default=told("AGENT_HEARTBEAT", "60"), help="seconds between reports, at most")
    add("--timeout", type=float, default=told("AGENT_TIMEOUT", "30"), help="seconds Prometheus may take to reload")
    add("--once", action="store_true", help="one pass, then end")
    return parser
