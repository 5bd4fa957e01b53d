"""Random policies: two or three namespaces with trees of groups, and a few keys with layers at random scopes.

A strategy that is made anew for each draw is also checked anew, which takes longer than to draw: so they are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from hypothesis import strategies as st

from alerts.domain.compiler import Options
from alerts.domain.layers import GLOBAL, Group, Layer, Namespace, Policy, Scope, Topology, Variable
from alerts.domain.layout import LAYOUTS
from tests.domain.series import AGGREGATED, EACH_SERIES, QUERIES, THRESHOLDS, Query

HOSTS = ("h1", "h2")
VARIABLES = (Variable("t", "number", 2),)
NAMESPACES = (("environment", "e"), ("logical", "l"), ("zone", "z"))


@cache
def one_of(values: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


@cache
def none_or_one_of(values: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    return st.none() | st.sampled_from(values)


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    count = draw(st.integers(2, 3))
    namespaces = [
        Namespace(name, "zone_label" if name == "zone" else name, draw(one_of((10, 50, 100))))
        for name, _ in NAMESPACES[:count]
    ]
    groups: list[Group] = []
    for name, letter in NAMESPACES[:count]:
        size = draw(st.integers(1, 3 if count == 3 else 4))
        values = draw(st.permutations([f"{letter}{number}" for number in range(1, size + 1)]))
        for index, value in enumerate(values):
            parent = draw(one_of((None, *values[:index])))
            groups.append(Group(name, value, parent))
    return Topology(tuple(namespaces), tuple(groups))


def scopes(topology: Topology) -> st.SearchStrategy[Scope]:
    return one_of(
        (
            GLOBAL,
            *(Scope("namespace", namespace.name) for namespace in topology.namespaces),
            *(Scope("group", group.namespace, group.value) for group in topology.groups),
            *(Scope("target", "", host) for host in HOSTS),
        )
    )


def maps(names: Sequence[str], values: Sequence[Any]) -> st.SearchStrategy[dict[str, Any] | None]:
    return st.none() | st.dictionaries(st.sampled_from(names), st.sampled_from(values), max_size=2)


def fields_of(kind: str) -> dict[str, st.SearchStrategy[Any]]:
    fields: dict[str, st.SearchStrategy[Any]] = {
        "template_vars": st.fixed_dictionaries({}, optional={"t": st.sampled_from((*THRESHOLDS, None))}),
        "labels": maps(("team", "tier"), ("a", "over {{ .t }}", None)),
        "interval": st.sampled_from(("30s", None)),
    }
    if kind == "alerting":
        fields |= {
            "for_duration": st.sampled_from(("1m", "5m", None)),
            "keep_firing_for": st.sampled_from(("10m", None)),
            "severity": st.sampled_from(("warning", "critical", None)),
            "annotations": maps(("summary", "details"), ("{{ $value }} > {{ .t }}", "plain", None)),
        }
    return fields


FIELDS = {kind: fields_of(kind) for kind in ("alerting", "recording")}


@cache
def configs(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    """A config as written: every key may be missing, null or set."""
    # Few keys at a time: shapes should meet as often as they differ.
    chosen = st.lists(st.sampled_from(sorted(FIELDS[kind])), max_size=2, unique=True)
    return chosen.flatmap(lambda names: config_of(kind, tuple(names)))


@cache
def config_of(kind: str, names: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({name: FIELDS[kind][name] for name in names})


@st.composite
def layers(
    draw: st.DrawFn, topology: Topology, kind: str, key: str, scope: Scope, rule_id: int, queries: tuple[Query, ...]
) -> Layer:
    query = draw(none_or_one_of(queries)) if scope != GLOBAL else draw(one_of(queries))
    strategy = draw(one_of(("override", "override", "merge"))) if query else "merge"
    alerting = kind == "alerting"
    return Layer(
        rule_id=rule_id,
        kind=kind,  # type: ignore[arg-type]
        key=key,
        scope=scope,
        priority=draw(one_of((100, 100, 100, 100, 50, 200))),
        strategy=strategy,
        enabled=draw(one_of((None, None, None, True, False))),
        name=draw(one_of((None, None, None, "Other"))) if alerting else f"job:{key}",
        query=query.template if query else None,
        severity=draw(one_of((None, "info"))) if query and alerting else None,
        default_config=draw(configs(kind)) if query else {},
        config=draw(configs(kind)),
        variables=VARIABLES if query else (),
        unscoped=query.unscoped if query else (),
        partition_by=draw(one_of(((), (), (), ("environment",)))) if query and query in AGGREGATED else (),
        allow_split=alerting and query in AGGREGATED and draw(one_of((False, False, True))),
    )


@st.composite
def keys(draw: st.DrawFn, topology: Topology, key: str, first_id: int) -> list[Layer]:
    """One key with one to four layers; often all of them may be split freely."""
    kind = draw(one_of(("alerting", "alerting", "alerting", "recording")))
    queries = draw(one_of((EACH_SERIES, EACH_SERIES, QUERIES, QUERIES, AGGREGATED)))
    where = draw(st.lists(scopes(topology), min_size=1, max_size=4, unique=True))
    return [draw(layers(topology, kind, key, scope, first_id + number, queries)) for number, scope in enumerate(where)]


@st.composite
def policies(draw: st.DrawFn, max_keys: int = 2) -> Policy:
    topology = draw(topologies())
    found: list[Layer] = []
    for number in range(draw(st.integers(1, max_keys))):
        found += draw(keys(topology, f"key{number}", len(found) + 1))
    return Policy(topology, tuple(found))


@st.composite
def policies_with_one_more(draw: st.DrawFn) -> tuple[Policy, Layer]:
    """A policy of one key, and a layer of that key at a scope which has none yet."""
    policy = draw(policies(max_keys=1))
    taken = {layer.scope for layer in policy.layers}
    scope = draw(scopes(policy.topology).filter(lambda scope: scope not in taken and scope != GLOBAL))
    first = policy.layers[0]
    return policy, draw(layers(policy.topology, first.kind, first.key, scope, 99, QUERIES))


options = st.sampled_from([Options(layout=layout) for layout in LAYOUTS])
