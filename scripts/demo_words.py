"""What the demo writes and prints: Prometheus' configuration, the table of alerts, the commands to try."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

_GLOBAL = """\
global:
  scrape_interval: 5s
  scrape_timeout: 4s
  evaluation_interval: 5s

rule_files:
  - '{rules}/current/*.yml'

scrape_configs:
"""

# Prometheus 2.42 forgets the default type in service discovery, so it is named.
_JOB = """\
  - job_name: {job}
    http_sd_configs:
      - url: {discovery}?job={job}
        refresh_interval: 5s
        authorization: {{type: Bearer, credentials_file: '{token}'}}
"""
# The control plane wants to know who asks for its metrics.
_SCRAPE_AUTHORIZATION = """\
    authorization: {{type: Bearer, credentials_file: '{token}'}}
"""


def prometheus_configuration(*, rules: Path, discovery: str, token: Path, jobs: Sequence[str]) -> str:
    parts = [_GLOBAL.format(rules=_quoted(rules))]
    for job in jobs:
        text = _JOB + (_SCRAPE_AUTHORIZATION if job == "config-server" else "")
        parts.append(text.format(job=job, discovery=discovery, token=_quoted(token)))
    return "".join(parts)


def _quoted(path: Path) -> str:
    """Inside single quotes of YAML."""
    return str(path).replace("'", "''")


HEADINGS = ("TARGET", "ALERT", "STATE", "WINNING LAYER")


def table(rows: Sequence[tuple[str, str, str, str]]) -> str:
    """A target is named once, above its further alerts."""
    shown = [("" if place and rows[place - 1][0] == row[0] else row[0], *row[1:]) for place, row in enumerate(rows)]
    lines = [HEADINGS, *shown]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


_COMMANDS = """\
# Try 1: staging may hold 50 series only. Override its threshold, and watch the alert reach Prometheus:
{patch} -d '{{"config": {{"template_vars": {{"series": 50}}}}}}' \\
  && {deploy} \\
  && sleep 8 && {query}

# Try 2: why is it so? Every value with the layer that set it, and what it beat:
VAR_DIR={state} {python} manage.py explain prometheus-staging PrometheusSeriesHigh --skip-checks

# Try 3: undo it, and see the alert go:
{patch} -d '{{"config": {{"template_vars": {{"series": 1000000}}}}}}' \\
  && {deploy} \\
  && sleep 8 && {query}"""


def commands(*, curl: str, python: str, web: str, prometheus: str, token: str, state: str, rule_id: int) -> str:
    """Three commands for a shell in the clone; each begins with a comment and ends at an empty line."""
    authorization = f'-H "Authorization: Bearer $(cat {shlex.quote(token)})"'
    quiet = f"{curl} -sSf -o /dev/null"
    patch = (
        f"{quiet} -X PATCH {web}/api/v1/alert-rules/{rule_id} \\\n"
        f"  {authorization} -H 'Content-Type: application/json' \\\n "
    )
    deploy = (
        f"{quiet} -X POST '{web}/api/v1/prometheus/rules/regenerate?wait=true' \\\n"
        f"  {authorization} -w 'delivered, and read back from Prometheus\\n'"
    )
    selector = 'ALERTS{alertname="PrometheusSeriesHigh"}'
    query = f"{curl} -sSG {prometheus}/api/v1/query --data-urlencode 'query={selector}'"
    return _COMMANDS.format(
        patch=patch,
        deploy=deploy,
        query=query,
        state=shlex.quote(state),
        python=shlex.quote(python),
    )
