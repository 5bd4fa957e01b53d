"""The pack of rules that watch the control plane itself: loaded as policy, and so deployed by itself.

All of them are global, and list what they read as ``unscoped``: these metrics have no position, whichever Prometheus
scrapes them. A second load brings what the pack says (query, variables, defaults) to its newest; what people set
(``config``, ``enabled``, ``priority``) it leaves alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings

from alerts.actions import rules
from alerts.actions.packs import put
from alerts.models import AlertRule

PACK = Path(settings.BASE_DIR) / "monitoring" / "self_rules.json"
MARK = "self:"
# From the gravest; installations may call them otherwise.
SEVERITIES = ("critical", "warning", "info")


def pack() -> list[dict[str, Any]]:
    """The rules of the pack, with severities that this installation has."""
    found: list[dict[str, Any]] = json.loads(PACK.read_text("utf-8"))["rules"]
    return [{**rule, "severity": _severity(rule["severity"])} for rule in found]


def _severity(meant: str) -> str:
    known: tuple[str, ...] = tuple(settings.SEVERITIES)
    return meant if meant in known else known[min(SEVERITIES.index(meant), len(known) - 1)]


def load() -> dict[str, int]:
    """Load the pack; what was done, counted. Rules that the pack has no more are deleted."""
    done = {"created": 0, "changed": 0, "unchanged": 0, "deleted": 0}
    wanted = pack()
    for rule in wanted:
        _, what = put(AlertRule, rules, MARK + rule["name"], rule)
        done[what] += 1
    own = AlertRule.objects.living().filter(external_id__startswith=MARK)
    gone = own.exclude(external_id__in=[MARK + rule["name"] for rule in wanted])
    ids = list(gone.values_list("pk", flat=True))
    if ids:
        rules.delete(ids)
        done["deleted"] = len(ids)
    return done
