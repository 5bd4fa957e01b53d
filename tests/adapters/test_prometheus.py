"""Every Prometheus there is, and things that only look like one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from alerts.adapters.prometheus import (
    BadAnswer,
    LifecycleDisabled,
    Prometheus,
    PrometheusError,
    PrometheusUnavailable,
    ReloadRefused,
)
from tests.adapters.hostile_server import HostileServer, response
from tests.servers.processes import eventually

GROUP = """groups:
- name: g
  interval: 90s
  rules:
  - {record: 'a:b', expr: 'vector(1) + 2'}
  - alert: Hot
    expr: "up  ==  1 # why"
    for: 90s
    keep_firing_for: 1h
    labels: {severity: warning}
    annotations: {summary: "{{ $value }} ü"}
  - {alert: Bare, expr: vector(1)}
"""
BROKEN = "groups: [\n"


@pytest.fixture
def current(tmp_path):
    folder = tmp_path / "rules" / "current"
    folder.mkdir(parents=True)
    (folder / "a.yml").write_text(GROUP)
    return folder


@pytest.fixture
def server(start_prometheus, prometheus_version, current):
    return start_prometheus(version=prometheus_version, rule_dir=current.parent)


@pytest.fixture
def client(server) -> Prometheus:
    return Prometheus(server.url)


# ------------------------------------------------------------------------------------------------ a real one


def test_a_healthy_server_is_described(client, prometheus_version):
    assert client.ready()
    assert client.version().startswith(prometheus_version)
    assert client.config_ok() is True
    assert client.runtime().loaded_at is not None


def test_its_rules_are_read(client, current):
    (group,) = client.rules().groups
    assert (group.file, group.name, group.interval, group.size) == (str(current / "a.yml"), "g", 90, 3)
    recording, hot, bare = group.rules
    assert (recording.type, recording.name, recording.query) == ("recording", "a:b", "vector(1) + 2")
    assert (recording.duration, recording.keep_firing_for) == (None, None)
    assert (recording.labels, recording.annotations) == ({}, {})
    assert (hot.type, hot.name, hot.query, hot.duration, hot.keep_firing_for) == (
        "alerting",
        "Hot",
        "up == 1",
        90,
        3600,
    )
    assert (hot.labels, hot.annotations) == ({"severity": "warning"}, {"summary": "{{ $value }} ü"})
    assert (bare.labels, bare.annotations, bare.duration, bare.keep_firing_for) == ({}, {}, 0, 0)


def test_only_the_wanted_files_come_back_whether_or_not_it_can_filter(client, current):
    for name in ("b & c.yml", "ü.yml"):
        (current / name).write_text(GROUP)
    client.reload()
    assert len(client.rules().groups) == 3
    for name in ("a.yml", "b & c.yml", "ü.yml"):
        assert [group.file for group in client.rules([str(current / name)]).groups] == [str(current / name)]
    assert client.rules(["/elsewhere/a.yml"]).groups == ()
    assert client.rules([]).groups == ()
    many = [str(current / "a.yml"), *(f"/x/{number}.yml" for number in range(5000))]
    assert [group.file for group in client.rules(many).groups] == [str(current / "a.yml")]


def test_a_reload_loads_what_is_there_now(client, current):
    (current / "a.yml").write_text(GROUP.replace("Hot", "Cold"))
    client.reload()
    assert [rule.name for rule in client.rules().groups[0].rules] == ["a:b", "Cold", "Bare"]
    assert client.config_ok() is True


def test_a_refused_reload_keeps_all_rules_and_shows_in_its_state(client, current):
    (current / "a.yml").write_text(BROKEN)
    with pytest.raises(ReloadRefused, match="failed to reload config"):
        client.reload()
    assert client.config_ok() is False
    assert [rule.name for rule in client.rules().groups[0].rules] == ["a:b", "Hot", "Bare"]
    (current / "a.yml").write_text(GROUP)
    client.reload()
    assert client.config_ok() is True


def test_somebody_elses_broken_file_shows_before_anything_of_ours_is_written(
    start_prometheus, prometheus_version, current, tmp_path
):
    foreign = tmp_path / "foreign.yml"
    foreign.write_text("groups: []\n")
    server = start_prometheus(version=prometheus_version, rule_dir=current.parent, rule_files=[str(foreign)])
    client = Prometheus(server.url)
    assert client.config_ok() is True
    foreign.write_text(BROKEN)
    assert not server.reload().ok
    assert client.config_ok() is False


def test_without_the_lifecycle_switch_it_says_so(start_prometheus, prometheus_version, current):
    server = start_prometheus(version=prometheus_version, rule_dir=current.parent, lifecycle=False)
    with pytest.raises(LifecycleDisabled, match=r"--web[.]enable-lifecycle"):
        Prometheus(server.url).reload()


def test_it_may_live_below_a_path_and_be_named_with_a_slash(start_prometheus, prometheus_version, tmp_path):
    server = start_prometheus(
        version=prometheus_version, flags=["--web.external-url=http://x/prom", "--web.route-prefix=/"]
    )
    client = Prometheus(server.url + "/")
    assert client.ready()
    assert client.rules().groups == ()


def test_alerts_and_values_can_be_asked_for(client, current):
    (current / "a.yml").write_text(GROUP.replace("interval: 90s", "interval: 1s"))
    client.reload()
    alerts = eventually(client.alerts)
    assert alerts[0]["labels"] == {"alertname": "Bare"}
    assert client.query("vector(7)")[0].value == 7
    assert client.query("1 + 1")[0].value == 2
    assert client.query('up{x="' + "y" * 50_000 + '"}') == []
    with pytest.raises(BadAnswer, match="parse error"):
        client.query("up{")


def test_threads_may_share_it(client):
    found = list[int]()

    def ask() -> None:
        found.extend(len(client.rules().groups) for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 80


def test_a_server_that_hangs_is_given_up_in_time_and_works_afterwards(server):
    client = Prometheus(server.url, timeout=0.5, reload_timeout=0.5)
    client.reload()
    server.pause()
    try:
        for attempt in (client.reload, client.rules, client.config_ok, client.version):
            start = time.monotonic()
            with pytest.raises(PrometheusUnavailable) as failed:
                attempt()
            assert failed.value.timed_out
            assert time.monotonic() - start < 3
        assert client.ready() is False
    finally:
        server.resume()
    eventually(client.ready)
    assert client.config_ok() is True


def test_a_restarted_server_is_found_again(server):
    client = Prometheus(server.url)
    client.reload()
    server.restart()
    client.reload()
    assert client.rules().groups


# ------------------------------------------------------------------------------------------------ anything else


@pytest.fixture
def hostile() -> Iterator[Callable[..., HostileServer]]:
    servers = list[HostileServer]()

    def start(answer: Callable[[socket.socket], object]) -> HostileServer:
        servers.append(HostileServer(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    client = Prometheus(f"http://127.0.0.1:{port}", timeout=1)
    assert not client.ready()
    with pytest.raises(PrometheusUnavailable, match="refused") as failed:
        client.reload()
    assert not failed.value.timed_out


@pytest.mark.parametrize(
    "url", ["http://no-such-host.invalid", "http://127.0.0.1:1", "no-url", "ftp://x", "http://[::1", "http://:0"]
)
def test_an_address_that_leads_nowhere_is_an_error_of_ours(url):
    with pytest.raises(PrometheusError):
        Prometheus(url, timeout=1).config_ok()


RULES_OF_STRANGERS = [
    "",
    "<html>",
    "[]",
    "null",
    "{}",
    '{"status":"success"}',
    '{"status":"success","data":[]}',
    '{"status":"success","data":{}}',
    '{"status":"success","data":{"groups":7}}',
    '{"status":"success","data":{"groups":[7]}}',
    '{"status":"success","data":{"groups":[{"name":"g"}]}}',
    '{"status":"success","data":{"groups":[{"name":"g","file":"f","interval":"x","rules":[]}]}}',
    '{"status":"success","data":{"groups":[{"name":"g","file":"f","interval":1,"rules":[7]}]}}',
    '{"status":"success","data":{"groups":[{"name":"g","file":"f","interval":1,"rules":7}]}}',
    '{"status":"success","data":{"groups":[' + "[" * 100_000,
]


@pytest.mark.parametrize("body", RULES_OF_STRANGERS, ids=lambda body: body[:60])
def test_an_answer_that_makes_no_sense_is_named(hostile, body):
    client = Prometheus(hostile(response(body)).url)
    with pytest.raises(BadAnswer):
        client.rules()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (response("", status="302 Found", Location="http://127.0.0.1:1/"), BadAnswer),
        (response("", status="404 Not Found"), BadAnswer),
        (response("no", status="401 Unauthorized"), BadAnswer),
        (response("Service Unavailable", status="503 Service Unavailable"), PrometheusUnavailable),
        (response("bad gateway", status="502 Bad Gateway"), PrometheusUnavailable),
        (lambda connection: connection.sendall(b"\x00\xff garbage \r\n\r\n"), PrometheusError),
        (lambda connection: None, PrometheusUnavailable),
        (
            lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort"),
            PrometheusError,
        ),
        (
            lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            PrometheusError,
        ),
    ],
)
def test_whatever_answers_it_is_an_error_of_ours(hostile, answer, error):
    server = hostile(answer)
    client = Prometheus(server.url, timeout=2, reload_timeout=2)
    for attempt in (client.rules, client.alerts, client.reload):
        with pytest.raises(error):
            attempt()
    assert client.ready() is False
    asked = [request.partition(b"\r\n")[0] for request in server.requests]
    assert len(set(asked)) == len(asked), "requests are not repeated"
    assert b"GET / HTTP/1.1" not in asked, "redirects are not followed"


def test_a_redirect_says_what_to_do(hostile):
    client = Prometheus(hostile(response("", status="302 Found", Location="http://127.0.0.1:1/")).url)
    for attempt in (client.rules, client.runtime, client.reload):
        with pytest.raises(PrometheusError, match="302: redirects are not followed; give the server's own address"):
            attempt()


def test_something_like_prometheus_without_runtime_information_is_simply_unknown(hostile):
    client = Prometheus(hostile(response("unsupported path", status="404 Not Found")).url)
    assert client.config_ok() is None
    assert client.version() is None


def test_an_endless_answer_is_cut_off(hostile):
    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with pytest.raises(BadAnswer, match="more than 1000000 bytes"):
        Prometheus(hostile(endless).url, max_answer=1_000_000).rules()


def test_an_answer_in_drops_is_given_up_in_time(hostile):
    def dripping(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.1)

    start = time.monotonic()
    with pytest.raises(PrometheusUnavailable) as failed:
        Prometheus(hostile(dripping).url, timeout=0.6).rules()
    assert failed.value.timed_out
    assert time.monotonic() - start < 3


def test_credentials_in_the_address_are_used_and_never_told(hostile):
    server = hostile(response("no such user", status="401 Unauthorized"))
    url = server.url.replace("http://", "http://user:hunter2@")
    client = Prometheus(url)
    with pytest.raises(BadAnswer) as failed:
        client.rules()
    assert b"Authorization: Basic dXNlcjpodW50ZXIy" in server.requests[0]
    assert "hunter2" not in str(failed.value) + client.name
    server.stop()
    with pytest.raises(PrometheusUnavailable) as failed:
        Prometheus(url, timeout=1).rules()
    assert "hunter2" not in str(failed.value)


def test_nothing_is_picked_up_from_the_environment(hostile, monkeypatch, tmp_path):
    """Neither a proxy, nor a password that somebody keeps for that host."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    server = hostile(response('{"status":"success","data":{"groups":[]}}'))
    assert Prometheus(server.url).rules().groups == ()
    assert b"Authorization" not in server.requests[0]
