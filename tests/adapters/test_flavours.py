"""Servers that load the same rule files and are no Prometheus: a real vmalert, and a Thanos ruler by its shape only."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from alerts.adapters.prometheus import Prometheus, PrometheusUnavailable, ReloadRefused
from alerts.adapters.read_back import compare, unhealthy
from alerts.adapters.release_store import ReleaseStore
from alerts.adapters.server_metrics import vmalert_version
from alerts.adapters.written_rules import expect_bytes, expect_rendered
from alerts.domain.renderer import render
from tests.adapters.test_prometheus import BROKEN, GROUP
from tests.adapters.test_read_back import ODD, RECORDINGS, compiled
from tests.corpora import rule_expressions
from tests.servers.loopback import Answering
from tests.servers.processes import eventually

pytestmark = pytest.mark.slow


@pytest.fixture
def current(tmp_path) -> Path:
    folder = tmp_path / "rules" / "current"
    folder.mkdir(parents=True)
    (folder / "a.yml").write_text(GROUP)
    return folder


@pytest.fixture
def server(start_vmalert, current):
    return start_vmalert(rule_dir=current.parent)


@pytest.fixture
def client(server) -> Prometheus:
    return Prometheus(server.url, reload_timeout=15)


def names(client: Prometheus) -> list[str]:
    return [rule.name for group in client.rules().groups for rule in group.rules]


# ------------------------------------------------------------------------------------------------ vmalert


def test_vmalert_is_told_apart(client):
    assert client.ready()
    assert client.flavour() == "vmalert"
    assert client.config_ok() is True
    assert client.runtime().loaded_at.endswith("+00:00")
    assert client.version() is None, "Debian's build was not told its version"


@pytest.mark.parametrize(
    ("label", "version"),
    [
        ("vmalert-20250718-123456-tags-v1.122.0-0-g8f6a8a2d4e", "1.122.0"),
        ("vmalert-20240904-165431-tags-v1.102.1-enterprise-0-g0123456789", "1.102.1-enterprise"),
        ("", None),
    ],
)
def test_vmalert_tells_its_version_in_its_counters(label, version):
    page = f'vm_log_messages_total{{app_version="{label}", level="info"}} 1\n'
    assert vmalert_version(page.encode()) == version


def test_rules_of_vmalert_are_described_alike(client, current):
    (group,) = client.rules().groups
    assert (group.file, group.name, group.interval, group.size) == (str(current / "a.yml"), "g", 90, 3)
    recording, hot, bare = group.rules
    assert (recording.type, recording.name, recording.query) == ("recording", "a:b", "vector(1) + 2")
    assert (hot.type, hot.name, hot.duration, hot.keep_firing_for) == ("alerting", "Hot", 90, 3600)
    assert (hot.labels, hot.annotations) == ({"severity": "warning"}, {"summary": "{{ $value }} ü"})
    assert (bare.labels, bare.annotations, bare.duration) == ({}, {}, 0)
    (current / "b & c.yml").write_text(GROUP)
    client.reload()
    for name in ("a.yml", "b & c.yml"):
        assert [group.file for group in client.rules([str(current / name)]).groups] == [str(current / name)]


def test_when_a_reload_of_vmalert_returns_the_rules_are_there(client, current):
    for name in ("Cold", "Warm", "Cool"):  # one after the other within the same second of its counters
        (current / "a.yml").write_text(GROUP.replace("Hot", name))
        start = time.monotonic()
        client.reload()
        assert name in names(client)
        assert time.monotonic() - start < 10
    client.reload()  # nothing new
    assert client.config_ok() is True


def many_rules(name: str) -> str:
    rules = [{"alert": f"{name}{number}", "expr": f"sum by (a) (rate(x[5m])) > {number}"} for number in range(500)]
    return json.dumps({"groups": [{"name": f"g{number}", "rules": rules} for number in range(30)]})


def test_a_reload_that_takes_vmalert_a_while_is_waited_for(client, current):
    """15,000 rules: it has begun long before it has ended."""
    for name in ("First", "Second"):
        (current / "b.yml").write_text(many_rules(name))
        client.reload()
        loaded = names(client)
        assert len(loaded) == 15_003
        assert f"{name}0" in loaded
    (current / "c.yml").write_text(BROKEN)
    (current / "b.yml").write_text(many_rules("Third"))
    with pytest.raises(ReloadRefused, match=r"c\.yml"):
        client.reload()


def test_what_vmalert_refuses_is_noticed_with_its_words_and_the_old_rules_stay(client, current):
    (current / "b.yml").write_text(BROKEN)
    for _ in range(2):
        with pytest.raises(ReloadRefused, match=r"(?s)refused the reload: .*b\.yml"):
            client.reload()
    assert client.config_ok() is False
    assert names(client) == ["a:b", "Hot", "Bare"]
    (current / "b.yml").unlink()
    client.reload()
    assert client.config_ok() is True
    (current / "a.yml").write_text(GROUP.replace("Hot", "Cold"))
    client.reload()
    assert "Cold" in names(client)


def test_what_only_vmalert_refuses_is_told(client, current):
    (current / "b.yml").write_text('groups: [{name: q, rules: [{alert: A, expr: "info(up)"}]}]')
    with pytest.raises(ReloadRefused, match='unsupported function "info"'):
        client.reload()


def test_a_vmalert_that_hangs_is_given_up_in_time(server, client):
    impatient = Prometheus(server.url, timeout=0.5, reload_timeout=0.5)
    assert impatient.flavour() == "vmalert"
    server.pause()
    try:
        for attempt in (impatient.reload, impatient.rules, impatient.config_ok):
            start = time.monotonic()
            with pytest.raises(PrometheusUnavailable) as failed:
                attempt()
            assert failed.value.timed_out
            assert time.monotonic() - start < 3
    finally:
        server.resume()
    client.reload()


def test_a_restarted_vmalert_is_found_again(server, client, current):
    client.reload()
    (current / "a.yml").write_text(GROUP.replace("Hot", "Cold"))
    server.restart()
    client.reload()
    assert "Cold" in names(client)


def test_where_its_counters_are_closed_reading_back_has_the_only_word(start_vmalert, current):
    server = start_vmalert(rule_dir=current.parent, flags=["-metricsAuthKey=hidden"])
    client = Prometheus(server.url)
    assert client.config_ok() is None
    (current / "a.yml").write_text(GROUP.replace("Hot", "Cold"))
    client.reload()
    assert eventually(lambda: "Cold" in names(client))


# ------------------------------------------------------------------------------------------------ reading back


def written(tmp_path, rules) -> tuple[ReleaseStore, dict]:
    files = render(rules)
    (tmp_path / "delivered").mkdir()
    store = ReleaseStore(tmp_path / "delivered")
    store.activate(store.stage({name: file.content for name, file in files.items()}).content_hash)
    return store, files


def test_what_was_written_is_what_vmalert_has_loaded(start_vmalert, tmp_path):
    """Each expression of the corpora and each odd text; vmalert's own dialect is not asked for its opinion here."""
    corpus = [
        compiled(f"Rule{number}", text, labels=(("severity", "warning"),))
        for number, (text, accepted) in enumerate(rule_expressions())
        if accepted
    ]
    assert len(corpus) > 500
    store, files = written(tmp_path, [*ODD, *RECORDINGS, *corpus])
    server = start_vmalert(rule_dir=store.rule_dir, flags=["-rule.validateExpressions=false"])
    loaded = Prometheus(server.url).rules()
    assert sum(group.size for group in loaded.groups) == len(ODD) + len(RECORDINGS) + len(corpus)
    assert compare(expect_rendered(files.values()), loaded, rule_dir=store.rule_dir) == []
    from_bytes = [expect_bytes(name, file.content) for name, file in files.items()]
    assert compare(from_bytes, loaded, rule_dir=store.rule_dir) == []


def test_the_order_in_which_vmalert_keeps_rules_is_no_difference(start_vmalert, tmp_path):
    """After a reload it has new rules behind those it had, also those of one name."""
    first = [compiled("M", "up > 1"), compiled("N", "up > 2")]
    more = [compiled("A", "up"), compiled("M", "up > 0", labels=(("severity", "x"),)), *first, compiled("Z", "up")]
    store, _ = written(tmp_path, first)
    server = start_vmalert(rule_dir=store.rule_dir)
    client = Prometheus(server.url)
    files = render(more)
    store.activate(store.stage({name: file.content for name, file in files.items()}).content_hash)
    client.reload()
    assert names(client) != [rule.name for rule in sorted(more, key=lambda rule: rule.name)]
    expected = expect_rendered(files.values())
    assert compare(expected, client.rules(), rule_dir=store.rule_dir) == []
    files = render([*more[:-1], compiled("Z", "down")])
    (difference,) = compare(expect_rendered(files.values()), client.rules(), rule_dir=store.rule_dir)
    assert (difference.field, difference.wanted, difference.found) == ("expr", "down", "up")


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ('expr: "up', 'expr: "down', "expr"),
        ('"1h30m"', '"1h31m"', "for"),
        ('"1d"', '"2d"', "keep_firing_for"),
        ('"severity": "page"', '"severity": "mail"', "labels"),
        ('"summary": "a"', '"summary": "b"', "annotations"),
        ('alert: "One"', 'alert: "Two"', "name"),
        ('interval: "30s"', 'interval: "31s"', "interval"),
    ],
)
def test_every_real_difference_is_found_on_vmalert(start_vmalert, tmp_path, before, after, field):
    rule = compiled(
        "One",
        "up == 0",
        for_duration="1h30m",
        keep_firing_for="1d",
        interval="30s",
        labels=(("severity", "page"),),
        annotations=(("summary", "a"),),
    )
    _, files = written(tmp_path, [rule])
    content = files["global.yml"].content.decode()
    changed = content.replace(before, after)
    assert changed != content, content
    loads = tmp_path / "loads" / "current"
    loads.mkdir(parents=True)
    (loads / "global.yml").write_text(changed)
    server = start_vmalert(rule_dir=loads.parent)
    found = compare(expect_rendered(files.values()), Prometheus(server.url).rules(), rule_dir=loads.parent)
    assert [mismatch.field for mismatch in found] == [field]


def test_a_rule_that_vmalert_cannot_evaluate_is_seen(start_vmalert, tmp_path):
    store, _ = written(tmp_path, [compiled("Many", "vector(1) + on () group_left () nothing", interval="1s")])
    server = start_vmalert(rule_dir=store.rule_dir, flags=["-datasource.url=http://127.0.0.1:9"])
    client = Prometheus(server.url)
    (failing,) = eventually(lambda: unhealthy(client.rules(), store.rule_dir))
    assert failing.rule == "Many"
    assert failing.last_error


# ------------------------------------------------------------------------------------------------ Thanos, by its shape


THANOS_PAGE = """# TYPE thanos_rule_config_last_reload_successful gauge
thanos_rule_config_last_reload_successful {successful}
"""


def thanos(groups: list, *, successful: int = 1) -> Answering:
    """As Thanos' source has it: no word of reloads in its runtime information, rules sorted and labelled by it."""
    pages = {
        "/api/v1/status/runtimeinfo": {"startTime": "2026-01-01T00:00:00Z", "CWD": "/", "goroutineCount": 9},
        "/api/v1/status/buildinfo": {"version": "0.41.0", "revision": "x"},
        "/api/v1/rules": {"groups": groups},
    }

    def answer(path: str, body: bytes) -> tuple[int, str, bytes]:
        path = path.partition("?")[0]
        if path in pages:
            return 200, "application/json", json.dumps({"status": "success", "data": pages[path]}).encode()
        if path == "/metrics":
            return 200, "text/plain", THANOS_PAGE.format(successful=successful).encode()
        if path == "/-/reload":
            return (200, "text/plain", b"") if successful else (500, "text/plain", b"reloading rules: bad file")
        return 404, "text/plain", b""

    return Answering(answer)


def thanos_rule(name: str, query: str, **labels: str) -> dict:
    return {
        "type": "alerting",
        "name": name,
        "query": query,
        "duration": 0,
        "keepFiringFor": 0,
        "labels": {"replica": "a"} | labels,
        "annotations": {},
        "health": "ok",
    }


def thanos_group(*rules: dict) -> dict:
    file = "/rules/current/global.yml"
    return {"name": "g", "file": file, "interval": 60, "rules": list(rules), "partialResponseStrategy": "ABORT"}


def test_a_thanos_ruler_is_told_apart():
    server = thanos([])
    try:
        client = Prometheus(server.url)
        assert (client.flavour(), client.version(), client.config_ok()) == ("thanos", "0.41.0", True)
        client.reload()
    finally:
        server.stop()


def test_a_thanos_ruler_refuses_with_its_words():
    server = thanos([], successful=0)
    try:
        client = Prometheus(server.url)
        assert client.config_ok() is False
        with pytest.raises(ReloadRefused, match="bad file"):
            client.reload()
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("loaded", "found"),
    [
        ((("A", "up > 1"), ("A", "up > 2"), ("B", "up")), []),
        ((("B", "up"), ("A", "up > 2"), ("A", "up > 1")), []),
        ((("A", "up > 1"), ("A", "up > 3"), ("B", "up")), ["expr"]),
        ((("A", "up > 1"), ("A", "up > 2"), ("C", "up")), ["name"]),
        ((("A", "up > 1"), ("A", "up > 2")), ["size"]),
    ],
)
def test_order_and_added_labels_of_thanos_are_no_difference_and_others_are(loaded, found):
    rules = [compiled("B", "up"), compiled("A", "up > 2"), compiled("A", "up > 1", labels=(("severity", "x"),))]
    server = thanos(
        [thanos_group(*(thanos_rule(n, q, **({"severity": "x"} if q == "up > 1" else {})) for n, q in loaded))]
    )
    try:
        differences = compare(
            expect_rendered(render(rules).values()), Prometheus(server.url).rules(), rule_dir=Path("/rules")
        )
    finally:
        server.stop()
    assert [mismatch.field for mismatch in differences] == found


def test_a_label_that_thanos_lost_is_a_difference():
    server = thanos([thanos_group(thanos_rule("A", "up"))])
    try:
        rule = compiled("A", "up", labels=(("severity", "x"),))
        (difference,) = compare(
            expect_rendered(render([rule]).values()), Prometheus(server.url).rules(), rule_dir=Path("/rules")
        )
    finally:
        server.stop()
    assert difference.field == "labels"
