"""How each key was compiled for the last verified release of a server: what stays on the day it compiles no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction

from alerts.actions.wanted import WantedSet, stored_keys
from alerts.domain import compiled_json
from alerts.domain.compiled import KeyPlan
from alerts.domain.layers import KeyId
from alerts.models import CompiledKey, Release

_remembered: dict[str, dict[KeyId, KeyPlan]] = {}
"""By server: the plans that this process knows to be written down."""


def remember_compiled(release: Release, wanted: WantedSet, guard: Callable[[], object]) -> None:
    """Keeps how each key was compiled, for the day it compiles no more. Only keys that changed are written.

    ``guard`` raises when somebody else writes to this server now.
    """
    if wanted.current is None:
        return
    plans = wanted.current.compiled.plans
    kept = {(key.kind, key.key) for key in wanted.kept}
    known = _remembered.get(release.server)
    good = {key_id: plan for key_id, plan in plans.items() if key_id not in kept}
    fresh = {key_id: plan for key_id, plan in good.items() if known is None or known.get(key_id) is not plan}
    if known is not None and not fresh and known.keys() == good.keys():
        return
    rows = []
    if fresh:
        # Those whose rules are not what was written last are written again, whatever is there now.
        alike = {key_id for key_id, plan in fresh.items() if not known or _is_as_before(plan, known.get(key_id))}
        stored = stored_keys(release.server, alike) if alike else {}
        for key_id, plan in fresh.items():
            payload = [compiled_json.to_json(rule) for rule in plan.rules]
            if key_id not in stored or stored[key_id].payload != payload:
                rows.append(
                    CompiledKey(server=release.server, kind=key_id[0], key=key_id[1], release=release, payload=payload)
                )
    with transaction.atomic():
        guard()
        CompiledKey.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["server", "kind", "key"],
            update_fields=["release", "payload"],
            batch_size=200,
        )
        _forget_gone(release.server, plans.keys() | kept)
    _remembered[release.server] = good


def _is_as_before(plan: KeyPlan, former: KeyPlan | None) -> bool:
    return former is None or former.rules == plan.rules


def _forget_gone(server: str, keys: Any) -> None:
    stored = CompiledKey.objects.filter(server=server)
    if stored.count() <= len(keys):
        return
    gone = [pk for pk, kind, key in stored.values_list("pk", "kind", "key") if (kind, key) not in keys]
    for start in range(0, len(gone), 500):
        stored.filter(pk__in=gone[start : start + 500]).delete()
