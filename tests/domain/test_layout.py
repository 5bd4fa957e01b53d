"""Names of files and groups: readable, safe on any file system, and independent of everything else."""

from __future__ import annotations

import pytest

from alerts.domain.layers import GLOBAL, Scope
from alerts.domain.layout import FILE_BUCKETS, GROUP_BUCKETS, place, scope_file
from tests.domain.policies import EACH_SERIES, TOPOLOGY, compiled, env, layer


@pytest.mark.parametrize(
    ("scope", "file"),
    [
        (GLOBAL, "global.yml"),
        (Scope("namespace", "environment"), "namespace-environment.yml"),
        (Scope("group", "environment", "production"), "group-environment.production.yml"),
        (Scope("target", "", "web-1_a"), "target-web-1_a.yml"),
        (Scope("target", "", "web1.example.org"), "target-web1%2Eexample%2Eorg.yml"),
        (Scope("group", "a.b", "c"), "group-a%2Eb.c.yml"),
        (Scope("group", "a", "b.c"), "group-a.b%2Ec.yml"),
        (Scope("target", "", "../../etc/passwd"), "target-%2E%2E%2F%2E%2E%2Fetc%2Fpasswd.yml"),
        (Scope("target", "", "a b%41"), "target-a%20b%2541.yml"),
        (Scope("group", "environment", "größe"), "group-environment.gr%C3%B6%C3%9Fe.yml"),
    ],
)
def test_a_scopes_file_is_named_after_it(scope: Scope, file: str) -> None:
    assert scope_file(scope) == file


def test_names_that_a_file_system_may_fold_together_stay_apart() -> None:
    names = [scope_file(Scope("target", "", host)) for host in ("host", "Host", "HOST", "hosT")]
    assert len({name.lower() for name in names}) == 4


@pytest.mark.parametrize("host", ["h" * 400, "ü" * 255, "H" * 255])
def test_long_names_fit_a_file_system_and_stay_apart(host: str) -> None:
    names = [scope_file(Scope("group", host, value)) for value in (host + "1", host + "2")]
    assert names[0] != names[1]
    assert all(len(name) <= 255 and name.isascii() for name in names)


def test_a_place_depends_on_scope_key_and_interval_alone() -> None:
    assert place("per-scope", env("production"), "any", None) == (
        "group-environment.production.yml",
        "environment/production",
    )
    assert place("per-scope", env("production"), "any", "30s")[1] == "environment/production@30s"
    assert {place("per-scope", GLOBAL, str(number), None)[1] for number in range(1000)} == {
        f"global-{number}" for number in range(GROUP_BUCKETS)
    }
    assert len({place("consolidated", env("x"), str(number), None)[0] for number in range(5000)}) == FILE_BUCKETS
    assert place("consolidated", env("x"), "key", None) == place("consolidated", GLOBAL, "key", None)


def test_a_place_never_changes_between_versions() -> None:
    """A constant written down: another hash would move every rule and restart every `for`."""
    assert place("consolidated", GLOBAL, "CPU", None) == ("policy-61.yml", "policy-61")
    assert place("per-scope", GLOBAL, "CPU", None) == ("global.yml", "global-5")


def test_a_rule_stays_where_it_is_whatever_else_there_is() -> None:
    own = layer(1, query=EACH_SERIES)
    others = [layer(number, query=EACH_SERIES, key=f"Other {number}") for number in range(2, 40)]
    for layout in ("per-scope", "consolidated"):
        (alone,) = compiled(own, layout=layout, topology=TOPOLOGY).rules
        (among,) = [rule for rule in compiled(own, *others, layout=layout).rules if rule.key == own.key]
        assert (alone.file, alone.group) == (among.file, among.group)
