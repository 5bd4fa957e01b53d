"""Whether Prometheus holds what was written: equal sets pass in full, and every single difference is named."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil

import pytest

from alerts.adapters.loaded_rules import LoadedGroup, LoadedRules
from alerts.adapters.prometheus import Prometheus
from alerts.adapters.read_back import compare, unhealthy
from alerts.adapters.release_store import ReleaseStore
from alerts.adapters.written_rules import ExpectedFile, expect_bytes, expect_rendered
from alerts.domain.renderer import render
from tests.adapters.odd_rules import ODD, RECORDINGS, compiled
from tests.servers.binaries import PrometheusBinaries
from tests.servers.processes import eventually
from tests.servers.prometheus import PrometheusServer


def differences(client: Prometheus, store: ReleaseStore, expected: list[ExpectedFile], **options: object) -> list[str]:
    return [str(mismatch) for mismatch in compare(expected, client.rules(), rule_dir=store.rule_dir, **options)]


# ------------------------------------------------------------------------------------------------ a real one


def test_what_was_written_is_what_is_loaded(client, store, files):
    rules = sum(group.size for group in client.rules().groups)
    assert rules == len(ODD) + len(RECORDINGS)
    assert differences(client, store, expect_rendered(files.values())) == []


def test_bytes_and_rules_lead_to_the_same_expectation(files):
    for name, file in files.items():
        (from_rules,) = expect_rendered([file])
        from_bytes = expect_bytes(name, file.content)
        assert plain(from_bytes) == plain(from_rules)


def plain(file: ExpectedFile) -> list[tuple[object, ...]]:
    return [(group.name, group.size, group.interval_ms, list(group.rules)) for group in file.groups]


@pytest.mark.parametrize("content", [b"", b"groups:\n", b"groups: []\n", b"# nothing\n"])
def test_a_file_without_groups_is_expected_to_load_nothing(client, store, files, content):
    staged = store.stage({name: file.content for name, file in files.items()} | {"empty.yml": content})
    store.activate(staged.content_hash)
    client.reload()
    assert differences(client, store, [*expect_rendered(files.values()), expect_bytes("empty.yml", content)]) == []


# ------------------------------------------------------------------------------------------------ nothing loaded


def dangling(store: ReleaseStore) -> None:
    store.link.unlink()
    store.link.symlink_to("releases/gone")


def looping(store: ReleaseStore) -> None:
    store.link.unlink()
    store.link.symlink_to("current")


def removed(store: ReleaseStore) -> None:
    shutil.rmtree(store.rule_dir / "releases")


def closed(store: ReleaseStore) -> None:
    store.path_of(store.current() or "").chmod(0)


NOTHING_LOADED = [
    "global.yml: file is None instead of '1 groups'",
    "group-env.prod.yml: file is None instead of '1 groups'",
    "target-a%2Fb.yml: file is None instead of '1 groups'",
]


@pytest.mark.parametrize("accident", [dangling, looping, removed, closed])
def test_a_reload_that_found_nothing_to_load_is_noticed(ordinary_prometheus, store, files, server_folder, accident):
    server = PrometheusServer(ordinary_prometheus, server_folder / "ordinary", rule_dir=store.rule_dir)
    try:
        client = Prometheus(server.start().url)
        assert differences(client, store, expect_rendered(files.values())) == []
        accident(store)
        client.reload()  # 200: to Prometheus, a pattern without files is no error
        assert client.config_ok() is True
        assert differences(client, store, expect_rendered(files.values())) == NOTHING_LOADED
    finally:
        server.stop()


@pytest.fixture
def ordinary_prometheus(prometheus_binaries, prometheus_version, tmp_path) -> PrometheusBinaries:
    """One that may not read what is closed to its user, even when that is root."""
    release = prometheus_binaries[prometheus_version]
    if os.geteuid() != 0:
        return release
    wrapper = tmp_path / "prometheus"
    limits = "--bounding-set=-dac_override,-dac_read_search"
    wrapper.write_text(f'#!/bin/sh\nexec setpriv {limits} "{release.prometheus}" "$@"\n')
    wrapper.chmod(0o755)
    return dataclasses.replace(release, prometheus=wrapper)


def test_rules_that_were_not_reloaded_are_noticed(client, store, files):
    changed = render([compiled("plain", "up == 1"), *ODD[1:], *RECORDINGS])
    store.activate(store.stage({name: file.content for name, file in changed.items()}).content_hash)
    assert differences(client, store, expect_rendered(changed.values())) == [
        "global.yml, group g, rule 9 (plain): expr is 'up == 0' instead of 'up == 1'"
    ]
    assert differences(client, store, expect_rendered(changed.values()), changed=["target-a%2Fb.yml"]) == []
    client.reload()
    assert differences(client, store, expect_rendered(changed.values())) == []


def test_a_file_added_by_hand_is_noticed(client, store, files):
    (store.link / "own.yml").write_bytes(files["global.yml"].content)
    client.reload()
    assert differences(client, store, expect_rendered(files.values())) == [
        "own.yml: file is '1 groups' instead of None"
    ]


def test_the_directory_loaded_by_two_paths_is_noticed(start_prometheus, prometheus_version, store, files, tmp_path):
    (tmp_path / "b").symlink_to(tmp_path)
    server = start_prometheus(
        version=prometheus_version, rule_dir=store.rule_dir, rule_files=[f"{tmp_path}/b/rules/current/*.yml"]
    )
    mismatches = compare(expect_rendered(files.values()), Prometheus(server.url).rules(), rule_dir="/somewhere/rules")
    assert {(mismatch.wanted, mismatch.found) for mismatch in mismatches} == {("loaded once", "loaded 2 times")}


def test_rules_of_others_do_not_matter(start_prometheus, prometheus_version, store, files, tmp_path):
    for other in ("elsewhere.yml", "current/global.yml"):
        (tmp_path / other).parent.mkdir(exist_ok=True)
        (tmp_path / other).write_text("groups: [{name: theirs, rules: [{alert: A, expr: up}]}]")
    server = start_prometheus(
        version=prometheus_version,
        rule_dir=store.rule_dir,
        rule_files=[f"{tmp_path}/elsewhere.yml", f"{tmp_path}/current/*.yml"],
    )
    assert differences(Prometheus(server.url), store, expect_rendered(files.values())) == []


def test_rules_that_cannot_be_evaluated_are_reported(start_prometheus, prometheus_version, tmp_path):
    store = ReleaseStore(tmp_path / "rules")
    store.prepare()
    two = '(label_replace(vector(1), "b", "1", "", "") or vector(2))'
    rules = [compiled("twice", f"vector(1) / on() {two}"), compiled("fine", "vector(1)")]
    store.activate(store.stage({name: file.content for name, file in render(rules).items()}).content_hash)
    client = Prometheus(start_prometheus(version=prometheus_version, rule_dir=store.rule_dir).url)
    (found,) = eventually(lambda: unhealthy(client.rules(), store.rule_dir) or None)
    assert (found.file, found.group, found.rule) == ("global.yml", "g", "twice")
    assert (
        "many-to-many" in found.last_error
        or "multiple matches" in found.last_error
        or "found duplicate" in found.last_error
    )
    assert unhealthy(client.rules(), "/else/where") == [found], "by its ending, since mounts differ"


# ---------------------------------------------------------------------------------------------- every single difference


def loaded(path: str = "/rules/current/global.yml", **fields: object) -> LoadedRules:
    rule = {
        "type": "alerting",
        "name": "A",
        "query": "up == 0",
        "duration": 60,
        "keepFiringFor": 0,
        "labels": {"a": "b"},
        "annotations": {"c": "d"},
        "health": "ok",
    } | fields
    return LoadedRules(
        (LoadedGroup(path, "g", 30.0, ({name: value for name, value in rule.items() if value is not None},)),)
    )


EXPECTED = expect_bytes(
    "global.yml",
    json.dumps(
        {
            "groups": [
                {
                    "name": "g",
                    "interval": "30s",
                    "rules": [
                        {"alert": "A", "expr": "up==0", "for": "1m", "labels": {"a": "b"}, "annotations": {"c": "d"}}
                    ],
                }
            ]
        }
    ).encode(),
)


@pytest.mark.parametrize(
    ("fields", "mismatch"),
    [
        ({}, None),
        ({"keepFiringFor": None}, None),  # an old one does not tell
        ({"query": "up == 1"}, ("expr", "up==0", "up == 1")),
        ({"query": "up{a=\"b\"} == 0"}, ("expr", "up==0", 'up{a="b"} == 0')),
        ({"query": "what is this"}, ("expr", "up==0", "what is this")),
        ({"duration": 61}, ("for", 60_000, 61_000)),
        ({"duration": 60.001}, ("for", 60_000, 60_001)),
        ({"keepFiringFor": 0.001}, ("keep_firing_for", 0, 1)),
        ({"labels": {}}, ("labels", {"a": "b"}, {})),
        ({"labels": {"a": "b", "x": ""}}, ("labels", {"a": "b"}, {"a": "b", "x": ""})),
        ({"annotations": {"c": "D"}}, ("annotations", {"c": "d"}, {"c": "D"})),
        ({"name": "B"}, ("name", "A", "B")),
        ({"type": "recording"}, ("type", "alerting", "recording")),
        ({"labels": 7}, ("labels", {"a": "b"}, {})),
        ({"query": None}, ("expr", "up==0", "")),
    ],
)  # fmt: skip
def test_one_difference_is_one_mismatch(fields, mismatch):
    found = compare([EXPECTED], loaded(**fields), rule_dir="/rules")
    assert [(each.field, each.wanted, each.found) for each in found] == ([mismatch] if mismatch else [])
    assert all((each.file, each.group, each.rule_index, each.rule) == ("global.yml", "g", 1, "A") for each in found)
    assert compare([EXPECTED], loaded(**fields), rule_dir="/rules", changed=()) == [], (
        "rules of unchanged files are not compared"
    )


@pytest.mark.parametrize(
    ("groups", "field"),
    [
        ([("g", 30.0, 1), ("h", 30.0, 1)], "group"),
        ([("h", 30.0, 1)], "group"),
        ([("g", 30.0, 2)], "size"),
        ([("g", 30.0, 0)], "size"),
        ([("g", 60.0, 1)], "interval"),
    ],
)
def test_groups_are_compared_in_unchanged_files_too(groups, field):
    (rule,) = loaded().groups[0].raw
    found = LoadedRules(
        tuple(LoadedGroup("/rules/current/global.yml", name, interval, (rule,) * n) for name, interval, n in groups)
    )
    assert {each.field for each in compare([EXPECTED], found, rule_dir="/rules", changed=())} == {field}


@pytest.mark.parametrize(
    ("rule_dir", "paths", "ours"),
    [
        ("/rules", ["/rules/current/global.yml"], "/rules/current/global.yml"),
        ("/srv/cs/rules", ["/etc/prometheus/rules/current/global.yml"], "/etc/prometheus/rules/current/global.yml"),
        ("/srv/cs/rules", ["/mnt/current/global.yml"], "/mnt/current/global.yml"),
        ("/srv/cs/rules", ["rules/current/global.yml"], "rules/current/global.yml"),
        ("/a/rules", ["/b/rules/current/global.yml", "/a/rules/current/global.yml"], "/a/rules/current/global.yml"),
        ("/srv/a/rules", ["/x/current/global.yml", "/y/rules/current/global.yml"], "/y/rules/current/global.yml"),
        ("/a/rules", ["/a/rules/global.yml", "/a/rules/currently/global.yml", "/current/x/global.yml"], None),
        ("/srv/a/rules", [], None),
    ],
)  # fmt: skip
def test_our_files_are_found_wherever_prometheus_sees_them(rule_dir, paths, ours):
    rules = LoadedRules(tuple(group for path in paths for group in loaded(path).groups))
    assert [group.file for groups in rules.under(rule_dir).values() for group in groups] == ([ours] if ours else [])
