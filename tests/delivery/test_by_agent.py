"""Web, worker, a real agent and the Prometheus beside it: a rule that is written is loaded there, and seen to be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.servers.binaries import ROOT
from tests.servers.processes import eventually

MANAGE = [sys.executable, "manage.py"]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_what_is_written_here_is_loaded_there(
    product_environment: dict[str, str],
    run_process: Callable[..., Any],
    start_prometheus: Callable[..., Any],
    tmp_path: Path,
) -> None:
    far_away = tmp_path / "far-away"
    far_away.mkdir()
    prometheus = start_prometheus(rule_dir=far_away)
    up = run_process([*MANAGE, "up", "--port", "0"], env=product_environment, name="up")
    address = up.expect(r"ready (http://\S+)", timeout=90)[1]

    def command(*words: str) -> str:
        done = subprocess.run(
            [*MANAGE, *words], cwd=ROOT, env=product_environment, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    api = requests.Session()
    api.headers["Authorization"] = f"Bearer {command('create_api_token', '--user', 'me', '--role', 'admin')}"

    def ask(method: str, path: str, body: Any = None) -> Any:
        answer = api.request(method, f"{address}/api/v1/{path}", json=body, timeout=60)
        assert answer.ok, answer.text
        return answer.json()

    def standing() -> Any:
        return ask("GET", "prometheus-servers?name=far")["results"][0]["status"]

    def exprs() -> list[str]:
        return [rule["query"] for group in prometheus.rules() for rule in group["rules"]]

    default = ask("GET", "prometheus-servers?name=default")["results"][0]["id"]
    ask("PATCH", f"prometheus-servers/{default}", {"enabled": False})
    ask("POST", "prometheus-servers", {"name": "far", "url": prometheus.url, "delivery": "agent"})
    rule = ask("POST", "alert-rules", {"name": "Down", "query_template": "up == 0"})
    assert "never seen" in standing()["why"]

    token = tmp_path / "token"
    token.write_text(command("create_agent_token", "far"))
    token.chmod(0o600)
    command_line = [*MANAGE, "agent", "--server", address, "--token-file", str(token), "--rule-dir", str(far_away)]
    command_line += ["--prometheus", prometheus.url, "--promtool", product_environment["PROMTOOL_PATH"]]
    command_line += ["--heartbeat", "2", "--interval", "2"]
    agent = run_process(command_line, env=product_environment, name="agent")
    eventually(lambda: standing()["in_sync"], timeout=60, what="the server to be in sync")
    assert exprs() == ["up == 0"]
    first = standing()
    assert (first["why"], first["failures"]) == (None, 0)
    assert first["loaded_since"] is not None

    ask("PATCH", f"alert-rules/{rule['id']}", {"query_template": "up == 1"})
    eventually(lambda: standing()["in_sync"] and exprs() == ["up == 1"], timeout=60, what="the change to be loaded")
    assert standing()["loaded_release"] > first["loaded_release"]

    # The server holds what it has while nobody is there; then the agent catches up.
    agent.kill()
    ask("PATCH", f"alert-rules/{rule['id']}", {"query_template": "up == 2"})
    assert exprs() == ["up == 1"]
    run_process(command_line, env=product_environment, name="agent-again")
    eventually(lambda: standing()["in_sync"] and exprs() == ["up == 2"], timeout=60, what="the agent to catch up")

    # Pinned to an old release, and back.
    ask("POST", f"releases/{first['loaded_release']}/rollback")
    eventually(lambda: exprs() == ["up == 0"], timeout=60, what="the old release to be loaded")
    eventually(lambda: "pinned" in (standing()["why"] or ""), what="the pin to be told")
    server = ask("GET", "prometheus-servers?name=far")["results"][0]["id"]
    ask("POST", f"prometheus-servers/{server}/resume")
    eventually(lambda: standing()["in_sync"] and exprs() == ["up == 2"], timeout=60, what="the policy to be back")
    assert ask("GET", "releases?server=far")["count"] >= 4
