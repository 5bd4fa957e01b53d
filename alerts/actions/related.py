"""All layers that a write of some keys may touch: of a few keys in one statement that only ever looks into indexes.

::

    the keys themselves                      rule_identity_taken (kind, key, …)
    alerts that may have their names         rule_by_name, rule_identity_taken
    recordings they read                     the foreign key of RuleMetric, then the same
    rules that read what they record         rule_metric_once (metric, rule)
    rules that read ALERTS, or any metric    rule_metric_once

Of many keys the same is found step by step, since such a statement would be planned badly right after a large import.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.expressions import RawSQL

from alerts.actions.layers import JSON_COLUMNS, layer_of, load_layers
from alerts.actions.storing import comes_back
from alerts.domain.layers import KeyId, Layer
from alerts.domain.place_changes import PlaceChange
from alerts.domain.promql.metrics import ANY
from alerts.domain.recordings import ALERT_SERIES
from alerts.models import AlertRule, RuleMetric

FEW_KEYS = 50
WORDS_AT_ONCE = 5_000

# A rule is called what one of its layers is called, or else its key: ``word`` may be either.
STATEMENT = """
    WITH own AS (
        SELECT id, kind, key, name FROM alerts_alertrule WHERE deleted_at IS NULL AND ({own})
    ), called AS (
        SELECT kind, key AS word FROM own UNION SELECT kind, name FROM own WHERE name IS NOT NULL
    ), related AS (
        SELECT kind, key FROM own
        UNION
        SELECT rule.kind, rule.key FROM called
          JOIN alerts_alertrule AS rule ON rule.name = called.word
         WHERE called.kind = 'alerting' AND rule.kind = 'alerting' AND rule.deleted_at IS NULL
        UNION
        SELECT rule.kind, rule.key FROM called
          JOIN alerts_alertrule AS rule ON rule.key = called.word
         WHERE called.kind = 'alerting' AND rule.kind = 'alerting' AND rule.deleted_at IS NULL
        UNION
        SELECT rule.kind, rule.key FROM own
          JOIN alerts_rulemetric AS noted ON noted.rule_id = own.id
          JOIN alerts_alertrule AS rule ON rule.name = noted.metric
         WHERE rule.kind = 'recording' AND rule.deleted_at IS NULL
        UNION
        SELECT rule.kind, rule.key FROM own
          JOIN alerts_rulemetric AS noted ON noted.rule_id = own.id
          JOIN alerts_alertrule AS rule ON rule.key = noted.metric
         WHERE rule.kind = 'recording' AND rule.deleted_at IS NULL
        UNION
        SELECT rule.kind, rule.key FROM alerts_rulemetric AS noted
          JOIN alerts_alertrule AS rule ON rule.id = noted.rule_id
         WHERE noted.metric IN ({read}) AND rule.deleted_at IS NULL
    )
    SELECT rule.id FROM related
      JOIN alerts_alertrule AS rule ON rule.kind = related.kind AND rule.key = related.key
     WHERE rule.deleted_at IS NULL
"""


def layers_around(
    keys: Collection[KeyId], recorded: Collection[str] = (), rows: Iterable[AlertRule] = ()
) -> dict[KeyId, list[Layer]]:
    """The living layers of these keys and of all that they may clash with, read, or be read by; by key.

    Of what reads their recordings, that which reads them under their keys or the names ``recorded``. ``rows`` are rules
    of these keys as they have just been stored: where there is nothing else of a key, it need not be read.
    """
    return of_few(keys, recorded) if len(keys) <= FEW_KEYS else of_many(keys, rows)


def of_few(keys: Collection[KeyId], recorded: Collection[str] = ()) -> dict[KeyId, list[Layer]]:
    # Names as constants: joined, they would count as often as the average metric, which is read by most rules.
    read = {ANY, *recorded, *(key for kind, key in keys if kind == "recording")}
    if any(kind == "alerting" for kind, _ in keys):
        read |= ALERT_SERIES
    return _by_key(load_layers(_around(sorted(keys), sorted(read))))


def of_many(keys: Collection[KeyId], rows: Iterable[AlertRule] = ()) -> dict[KeyId, list[Layer]]:
    found = _of_keys(keys, {(row.kind, row.key): row for row in rows})
    called: dict[str, set[str]] = {"alerting": set(), "recording": set()}
    for (kind, key), layers in found.items():
        called[kind] |= {key, *(layer.name for layer in layers if layer.name is not None)}
    rule_ids = [layer.rule_id for layers in found.values() for layer in layers]
    read = {word for some in _parts(rule_ids) for word in _noted(rule__id__among=some).values_list("metric", flat=True)}
    always = {ANY} | (ALERT_SERIES if any(kind == "alerting" for kind, _ in keys) else set())
    others = {
        *_called("alerting", called["alerting"]),
        *_called("recording", read),
        *(key_id for some in _parts(called["recording"] | always) for key_id in _readers(some)),
    }
    return found | _of_keys(others - found.keys())


def touched_by(change: PlaceChange) -> set[KeyId]:
    """The keys that have a rule which a change of places touches."""
    living = AlertRule.objects.living()
    divided = living.exclude(partition_by=[])
    among = [living.filter(Q(namespace__name__in=change.namespaces) | Q(group__namespace__name__in=change.namespaces))]
    for namespace, values in _by_kind(change.groups).items():
        among += [
            living.filter(group__namespace__name=namespace, group__label_value__in=some) for some in _parts(values)
        ]
    if change.labels:
        among += [divided, living.filter(allow_split=True)]
    keys = {key_id for rules in among for key_id in rules.values_list("kind", "key")}
    # SQLite cannot look into a JSON list by value; few rules have one.
    partitioned = divided.values_list("kind", "key", "partition_by") if change.divided else ()
    return keys | {(kind, key) for kind, key, names in partitioned if not change.divided.isdisjoint(names)}


def count_keys() -> int:
    return AlertRule.objects.living().order_by().values("kind", "key").distinct().count()


def layers_of(rules: Q) -> dict[KeyId, list[Layer]]:
    """All living layers of the keys that have one among ``rules``."""
    return _of_keys(set(AlertRule.objects.living().filter(rules).values_list("kind", "key")))


def _of_keys(keys: Collection[KeyId], at_hand: Mapping[KeyId, AlertRule] | None = None) -> dict[KeyId, list[Layer]]:
    found: list[Layer] = []
    for kind, names in _by_kind(keys).items():
        for some in _parts(names):
            living = AlertRule.objects.living().filter(kind=kind)
            known = _alone(living.filter(key__among=some), at_hand) if at_hand else []
            left = set(some).difference([layer.key for layer in known])
            found += [*known, *load_layers(living.filter(key__among=left))]
    return _by_key(found)


def _alone(living: QuerySet[AlertRule], at_hand: Mapping[KeyId, AlertRule]) -> list[Layer]:
    """Those at hand that are all there is of their key, and would be read as they are."""
    ids: dict[KeyId, list[int]] = {}
    for row_id, kind, key in living.order_by().values_list("pk", "kind", "key"):
        ids.setdefault((kind, key), []).append(row_id)
    rows = [at_hand[key_id] for key_id, of_it in ids.items() if key_id in at_hand and of_it == [at_hand[key_id].pk]]
    return [layer_of(row) for row in rows if all(comes_back(getattr(row, column)) for column in JSON_COLUMNS)]


def _called(kind: str, words: Collection[str]) -> Iterator[KeyId]:
    living = AlertRule.objects.living().filter(kind=kind).values_list("kind", "key")
    for some in _parts(words):
        yield from living.filter(name__among=some)
        yield from living.filter(key__among=some)


def _readers(metrics: Collection[str]) -> QuerySet[Any]:
    return _noted(metric__among=metrics).values_list("rule__kind", "rule__key")


def _noted(**wanted: Any) -> QuerySet[RuleMetric]:
    return RuleMetric.objects.filter(rule__deleted_at__isnull=True, **wanted)


def _parts(words: Collection[Any]) -> Iterator[list[Any]]:
    ordered = sorted(words)
    for start in range(0, len(ordered), WORDS_AT_ONCE):
        yield ordered[start : start + WORDS_AT_ONCE]


def _around(keys: Collection[KeyId], read: Collection[str]) -> QuerySet[AlertRule]:
    by_kind = _by_kind(keys)
    own = " OR ".join(f"kind = %s AND key IN ({_places(names)})" for names in by_kind.values())
    parameters = [word for kind, names in by_kind.items() for word in (kind, *names)]
    statement = STATEMENT.format(own=own, read=_places(read))
    living: QuerySet[AlertRule] = AlertRule.objects.living()
    return living.filter(pk__in=RawSQL(statement, [*parameters, *read]))  # noqa: S611  (only placeholders go in)


def _places(words: Collection[str]) -> str:
    return ", ".join(["%s"] * len(words))


def _by_kind(keys: Iterable[KeyId]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for kind, key in keys:
        found.setdefault(kind, []).append(key)
    return found


def _by_key(layers: Iterable[Layer]) -> dict[KeyId, list[Layer]]:
    found: dict[KeyId, list[Layer]] = {}
    for layer in layers:
        found.setdefault(layer.key_id, []).append(layer)
    return found
