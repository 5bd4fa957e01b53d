"""A control plane's process for tests to kill: `deploy_process.py edit N` edits and deploys, `deploy` only deploys.

Prints one line of JSON: what it ended with. Run with the environment of the installation it belongs to.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config_server.settings")

import django

django.setup()

from alerts.actions import rules  # noqa: E402 - only now is Django ready
from alerts.actions.deploy import deploy  # noqa: E402
from alerts.models import AlertRule, PolicyState  # noqa: E402


def edit(value: int) -> None:
    """Moves every threshold, and once in a while a rule comes or goes, so that files come and go."""
    for key in ("One", "Two", "Three"):
        row = AlertRule.objects.living().filter(key=key).first()
        values = {"query_template": f"up{{key={json.dumps(key)}}} > {value}"}
        if row is None:
            rules.create({"name": key, **values})
        else:
            rules.update(row.pk, values)


if __name__ == "__main__":
    if sys.argv[1] == "edit":
        edit(int(sys.argv[2]))
    outcome = deploy("test")
    release = outcome.release
    print(
        json.dumps(
            {
                "revision": PolicyState.current(),
                "state": release and release.state,
                "release_revision": release and release.revision,
                "errors": release.errors if release else None,
            }
        )
    )
