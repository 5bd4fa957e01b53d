"""Reading back in outline: cheaper than the whole list, and never of another opinion."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import requests

from alerts.adapters.loaded_rules import LoadedGroup, LoadedRules
from alerts.adapters.prometheus import Prometheus, ReloadRefused
from alerts.adapters.read_back import compare, unhealthy
from alerts.adapters.release_store import ReleaseStore
from alerts.adapters.written_rules import expect_rendered
from alerts.domain.renderer import render
from tests.adapters.odd_rules import compiled
from tests.servers.loopback import Answering


def seen_in_outline(client: Prometheus, store: ReleaseStore, files, changed) -> list[str]:
    loaded = client.rules_of(store.rule_dir, changed)
    expected = expect_rendered(files.values(), changed)
    return [str(mismatch) for mismatch in compare(expected, loaded, rule_dir=store.rule_dir, changed=changed)]


@pytest.mark.parametrize(
    "changed", [set(), {"global.yml"}, {"global.yml", "target-a%2Fb.yml"}, {"not-there.yml"}, None]
)
def test_what_did_not_change_is_asked_for_in_outline_only(client, store, files, changed, prometheus_version):
    assert seen_in_outline(client, store, files, changed) == []
    groups = client.rules_of(store.rule_dir, changed).groups
    outlined = {Path(group.file).name for group in groups if group.outlined is not None}
    filters = not prometheus_version.startswith("2.")  # older ones send everything anyway
    assert outlined == (files.keys() - changed if filters and changed is not None else set())


def as_changed(client: Prometheus, store: ReleaseStore, name: str, old: str, new: str) -> None:
    """Loads another text in place of one file."""
    file = store.path_of(store.current() or "") / name
    content = file.read_text()
    assert old in content
    file.unlink()
    file.write_text(content.replace(old, new))
    client.reload()


@pytest.mark.parametrize(
    ("name", "old", "new", "found"),
    [
        (
            "group-env.prod.yml",
            '- record: "job:up:sum"',
            '- record: "more"\n    expr: "up"\n  - record: "job:up:sum"',
            "size",
        ),
        ("group-env.prod.yml", '"30s"', '"31s"', "interval"),
        ("target-a%2Fb.yml", "another group", "one more group", "group"),
        ("global.yml", "up == 0", "up == 7", "expr"),
    ],
)
def test_the_outline_shows_what_the_whole_list_would_show(client, store, files, name, old, new, found):
    as_changed(client, store, name, old, new)
    expected = expect_rendered(files.values(), {"global.yml"})
    whole = compare(expected, client.rules(), rule_dir=store.rule_dir, changed={"global.yml"})
    assert found in {mismatch.field for mismatch in whole}
    assert seen_in_outline(client, store, files, {"global.yml"}) == [str(mismatch) for mismatch in whole]


def test_after_a_refused_reload_the_numbers_are_not_believed(client, store, files):
    """A reload that fails at one file has counted the groups of others already."""
    folder = store.path_of(store.current() or "")
    (folder / "zz.yml").write_text("groups: [")
    with pytest.raises(ReloadRefused):
        as_changed(client, store, "group-env.prod.yml", '"30s"', '"31s"')
    assert seen_in_outline(client, store, files, {"global.yml"}) == []


@pytest.mark.parametrize("name", ["a;b", "q\"uo'te \\ ü €", "line\nbreak", '{a="b"} 1'])
def test_odd_names_of_groups_are_read_from_the_outline(start_prometheus, tmp_path, name):
    folder = tmp_path / "rules/current"
    folder.mkdir(parents=True)
    (folder / "a.yml").write_text(
        f"groups: [{{name: {json.dumps(name)}, interval: 90s, rules: [{{alert: A, expr: up}}]}}]"
    )
    client = Prometheus(start_prometheus(rule_dir=folder.parent).url)
    (whole,) = client.rules().groups
    (seen,) = client.rules_of(folder.parent, set()).groups
    assert (seen.file, seen.name, seen.interval, seen.size) == (whole.file, whole.name, 90, 1)
    assert (seen.outlined is None) is (";" in name), "a name with a semicolon could belong to another file"


def test_of_an_outline_no_rule_can_be_looked_at():
    outline = LoadedRules((LoadedGroup("/rules/current/global.yml", "g", 60, outlined=1),))
    assert unhealthy(outline, "/rules") == []
    rule = expect_rendered(render([compiled("A", "up")]).values())
    with pytest.raises(LookupError):
        compare(rule, outline, rule_dir="/rules")


@pytest.mark.parametrize("closed", ["/metrics", "/api/v1/status/buildinfo"])
def test_where_the_outline_is_closed_the_whole_list_is_read(start_prometheus, store, files, closed):
    """As behind a proxy that lets only some pages through."""
    server = start_prometheus(rule_dir=store.rule_dir)

    def answer(path: str, body: bytes) -> tuple[int, str, bytes]:
        if path.startswith(closed):
            return 403, "text/plain", b"closed"
        there = requests.get(server.url + path, timeout=10)
        return there.status_code, there.headers["Content-Type"], there.content

    proxy = Answering(answer)
    try:
        client = Prometheus(proxy.url)
        assert seen_in_outline(client, store, files, {"global.yml"}) == []
        assert not [group for group in client.rules_of(store.rule_dir, set()).groups if group.outlined is not None]
    finally:
        proxy.stop()
