"""Keys that compile, and are refused all the same: by promtool, or by the server itself.

Who delivers finds that out, so it is known of what is in force only: its release says which keys stay as last compiled
for that (DESIGN 4, *Last good*).
"""

from __future__ import annotations

from collections.abc import Iterable

from alerts.domain.errors import Finding
from alerts.domain.layers import KeyId
from alerts.models import AlertRule, ServerState

REFUSED_BY = {"promtool_refused": "promtool", "server_refused": "server"}
_CODES = {judge: code for code, judge in REFUSED_BY.items()}

Refused = dict[KeyId, tuple[Finding, ...]]


def judge_of(why: Iterable[Finding]) -> str | None:
    """Who refused a key; None when it does not compile, or is read by one that stays."""
    return next((REFUSED_BY[finding.code] for finding in why if finding.code in REFUSED_BY), None)


def refused_on(state: ServerState, revision: int) -> Refused:
    """What the release in force leaves out, and what a later ``revision`` is taken to be refused for as well.

    A key whose layers changed since may be fine by now: then nobody has asked yet.
    """
    release = state.loaded_release
    found: Refused = {}
    for entry in release.last_good if release is not None else ():
        code = _CODES.get(entry.get("refused_by", ""))
        if code is not None:
            why = tuple(Finding(code, words, key=entry["key"]) for words in entry["why"])
            found[entry["kind"], entry["key"]] = why
    if not found or state.loaded_revision >= revision:
        return found
    rows = AlertRule.objects.filter(revision__gt=state.loaded_revision, key__in={key for _, key in found})
    changed = set(rows.order_by().values_list("kind", "key"))
    return {key_id: why for key_id, why in found.items() if key_id not in changed}
