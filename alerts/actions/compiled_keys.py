"""How each key was compiled for the last verified release of a server: what stays on the day it compiles no more."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from django.db import connection, transaction

from alerts.actions.lease import Lease
from alerts.actions.wanted import WantedSet, stored_keys
from alerts.domain import compiled_json
from alerts.domain.compiled import KeyPlan
from alerts.domain.layers import KeyId
from alerts.models import CompiledKey, Release

_lock = threading.Lock()


@dataclass(frozen=True)
class Written:
    """What this process wrote down last: at which ``epoch`` of the lease, and for which release."""

    epoch: int
    release: int
    plans: Mapping[KeyId, KeyPlan]


_remembered: dict[str, Written] = {}
"""By server."""

ROWS_AT_ONCE = 150
FEW = 200
_texts: OrderedDict[KeyPlan, str] = OrderedDict()
"""Of the last few plans: what changed for one server has changed for the next one, too."""


def remember_compiled(release: Release, wanted: WantedSet, lease: Lease) -> None:
    """Keeps how each key was compiled, for the day it compiles no more. Only keys that changed are written.

    LeaseLost when somebody else writes to this server now.
    """
    if wanted.current is None:
        return
    plans = wanted.current.compiled.plans
    kept = {(key.kind, key.key) for key in wanted.kept}
    before = _remembered.get(release.server)
    known = _still_written(before, lease) if before else None
    good = {key_id: plan for key_id, plan in plans.items() if key_id not in kept}
    fresh = {key_id: plan for key_id, plan in good.items() if known is None or known.get(key_id) is not plan}
    if before and known is before.plans and not fresh and known.keys() == good.keys():
        return
    rows = []
    if fresh:
        # Those whose rules are not what was written last are written again, whatever is there now.
        alike = {key_id for key_id, plan in fresh.items() if not known or _is_as_before(plan, known.get(key_id))}
        stored = stored_keys(release.server, alike) if alike else {}
        for (kind, key), plan in fresh.items():
            text = _text(plan)
            there = stored.get((kind, key))
            if there is None or there.payload != orjson.loads(text):
                rows.append((release.server, kind, key, release.pk, text))
    with transaction.atomic():
        lease.guard()
        _write(rows)
        _forget_gone(release.server, plans.keys() | kept)
    latest = max(release.pk, before.release if before else 0)
    _remembered[release.server] = Written(lease.epoch, latest, good)


def _still_written(known: Written, lease: Lease) -> Mapping[KeyId, KeyPlan]:
    """The plans that are written down as this process remembers them.

    Where others were at it meanwhile, those whose rows are older than what this process wrote last.
    """
    if known.epoch >= lease.alone_since:
        return known.plans
    rows = CompiledKey.objects.filter(server=lease.server, release__lt=known.release)
    older = set(rows.values_list("kind", "key"))
    return {key_id: plan for key_id, plan in known.plans.items() if key_id in older}


def _is_as_before(plan: KeyPlan, former: KeyPlan | None) -> bool:
    return former is None or former.rules == plan.rules


def _text(plan: KeyPlan) -> str:
    text = _texts.get(plan)
    if text is None:
        text = orjson.dumps([compiled_json.to_json(rule) for rule in plan.rules]).decode()
        with _lock:
            _texts[plan] = text
            while len(_texts) > FEW:
                _texts.popitem(last=False)
    return text


def _write(rows: Sequence[tuple[Any, ...]]) -> None:
    """In plain SQL: the same texts go to many servers, and need not be made anew for each."""
    table = connection.ops.quote_name(CompiledKey._meta.db_table)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[start : start + ROWS_AT_ONCE]
        places = ", ".join(["(%s, %s, %s, %s, %s)"] * len(some))
        sql = (
            f"INSERT INTO {table} (server, kind, key, release_id, payload) VALUES {places} "  # noqa: S608  (our table)
            "ON CONFLICT (server, kind, key) DO UPDATE SET release_id = excluded.release_id, payload = excluded.payload"
        )
        with connection.cursor() as cursor:
            cursor.execute(sql, [value for row in some for value in row])


def _forget_gone(server: str, keys: Any) -> None:
    stored = CompiledKey.objects.filter(server=server)
    if stored.count() <= len(keys):
        return
    gone = [pk for pk, kind, key in stored.values_list("pk", "kind", "key") if (kind, key) not in keys]
    for start in range(0, len(gone), 500):
        stored.filter(pk__in=gone[start : start + 500]).delete()
