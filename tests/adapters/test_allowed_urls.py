"""The allow-list of servers: one host has many spellings, and a name may lead anywhere."""

from __future__ import annotations

import pytest

from alerts.adapters.allowed_urls import check_url, entry_of, is_allowed, may_connect, wrong_entries
from alerts.agent.options import parse
from config_server.environment import Environment

LIST = (
    "localhost",
    "127.0.0.1",
    "[::1]:9090",
    "*.prod.example.org",
    "prom.example.org:9090",
    "10.1.0.0/16",
    "fd00::/8",
)

ALLOWED = [
    "http://localhost:9090",
    "http://LocalHost.:9090/prometheus",
    "https://localhost",
    "http://127.0.0.1:9090",
    "http://127.1:9090",
    "http://0x7f.1:9090",
    "http://0x7f000001/",
    "http://2130706433",
    "http://0177.0.0.01",
    "http://１２７.0.0.1",
    "http://127。0。0。1",
    "http://[::ffff:127.0.0.1]:9090",
    "http://[::ffff:7f00:1]",
    "http://[::1]:9090",
    "http://[0:0:0:0:0:0:0:1]:9090",
    "http://a.prod.example.org",
    "http://a.b.PROD.example.org.:1",
    "http://ａ.prod.example.org",
    "http://bücher.prod.example.org",
    "http://prom.example.org:9090",
    "http://10.1.255.255",
    "http://[fd00::7]",
]


@pytest.mark.parametrize("url", ALLOWED)
def test_every_spelling_of_an_allowed_host_is_allowed(url):
    assert check_url(url, LIST) == []
    assert is_allowed(url, LIST)


NOT_ALLOWED = [
    "http://localhost.evil.example",
    "http://evil-localhost",
    "http://127.0.0.2",
    "http://127.0.0.1.evil.example",
    "http://[::1]",
    "http://[::1]:9091",
    "http://[::2]:9090",
    "http://prod.example.org",
    "http://xprod.example.org",
    "http://prom.example.org",
    "http://prom.example.org:9091",
    "http://10.2.0.1",
    "http://167772161",
    "http://0",
    "http://169.254.169.254",
    "http://2852039166",
    "http://[::ffff:169.254.169.254]",
]


@pytest.mark.parametrize("url", NOT_ALLOWED)
def test_other_hosts_are_not(url):
    assert [finding.code for finding in check_url(url, LIST)] == ["host_not_allowed"]
    assert not is_allowed(url, LIST)


NO_URLS = [
    "",
    None,
    7,
    "localhost:9090",
    "//localhost",
    "ftp://localhost",
    "file:///etc/passwd",
    "http://",
    "http:///x",
    "http://localhost:0",
    "http://localhost:99999",
    "http://localhost:port",
    "http://loc alhost",
    "http://localhost\n",
    "http://localhost\\@evil.example",
    "http://[::1",
    "http://[::1%25eth0]",
    "http://[v1.x]",
    "http://local%68ost",
    "http://256.1.1.1",
    "http://1.2.3.4.5",
    "http://09.1",
    "http://4294967296",
    "http://a..b",
    "http://-a.example",
    "http://xn--a\u00adb\u200d.example\u2260",
    "http://" + "a." * 130 + "example",
    "http://localhost/" + "x" * 3000,
]


@pytest.mark.parametrize("url", NO_URLS, ids=lambda url: repr(url)[:60])
def test_what_is_no_url_of_a_server(url):
    found = check_url(url, (*LIST, "0.0.0.0/0", "::/0", "*.example"))
    assert {finding.code for finding in found} == {"invalid_url"}
    assert {finding.pointer for finding in found} == {"/url"}


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://user@localhost", "secret_in_row"),
        ("http://user:hunter2@localhost", "secret_in_row"),
        ("http://:hunter2@localhost", "secret_in_row"),
        ("http://localhost/?x=1", "invalid_url"),
        ("http://localhost/#x", "invalid_url"),
        ("http://localhost?", "invalid_url"),
    ],
)
def test_a_url_holds_neither_secrets_nor_more_than_a_base(url, code):
    findings = check_url(url, LIST)
    assert [finding.code for finding in findings] == [code]
    assert "hunter2" not in str(findings)


def in_settings(url: str) -> list[str]:
    environment = Environment({"PROMETHEUS_URL": url})
    environment.url("PROMETHEUS_URL", "", "alerts.E005")
    return [problem.message for problem in environment.problems]


def in_options(url: str, capsys) -> list[str]:
    needed = ["--server", "https://plane", "--token-file", "t", "--rule-dir", "r"]
    try:
        parse([*needed, f"--prometheus={url}"], {})
    except SystemExit:
        return [capsys.readouterr().err]
    return []


BASES = ("http://a/?", "http://a/#", "http://a?b=c", "http://a#b", "http://u:hunter2@a", "http://u@a", "http://@a")


@pytest.mark.parametrize("url", [*filter(lambda url: isinstance(url, str) and url, NO_URLS), *BASES])
def test_what_no_row_may_hold_is_refused_in_settings_and_options_too(url, capsys):
    if url != url.strip():
        url += "x"  # blanks around a variable's value are no part of it
    for refused in (in_settings(url), in_options(url, capsys)):
        assert len(refused) == 1
        assert "hunter2" not in refused[0]


@pytest.mark.parametrize("url", [*ALLOWED, *NOT_ALLOWED, "http://under_score:9090/a/b/"])
def test_settings_and_options_take_every_host(url, capsys):
    assert in_settings(url) == in_options(url, capsys) == []


def test_an_empty_list_allows_nothing():
    assert [finding.code for finding in check_url("http://localhost", ())] == ["host_not_allowed"]


@pytest.mark.parametrize(
    ("peer", "allowed", "may"),
    [
        ("127.0.0.1", (), True),
        ("10.0.0.1", (), True),
        ("2001:db8::1", (), True),
        ("169.254.169.254", ("metadata.example", "*.example"), False),
        ("169.254.169.254", ("0.0.0.0/0",), False),
        ("169.254.169.254", ("169.254.169.254",), True),
        ("169.254.169.254", ("169.254.169.254:80",), True),
        ("169.254.169.254", ("169.254.0.0/16",), True),
        ("::ffff:169.254.169.254", ("::/0",), False),
        ("fe80::1%eth0", ("::/0",), False),
        ("fe80::1%eth0", ("fe80::/10",), True),
        ("fe80::1", ("[fe80::1]",), True),
        ("fd00:ec2::254", ("*.example",), False),
        ("fd00:ec2::254", ("fd00:ec2::254",), True),
        ("fd00:ec3::254", ("*.example",), True),
        ("100.100.100.200", ("100.64.0.0/10",), False),
        ("100.100.100.200", ("100.100.100.200",), True),
        ("100.100.100.201", ("*.example",), True),
        ("64:ff9b::a9fe:a9fe", ("*.example",), False),
        ("64:ff9b::a00:1", ("*.example",), True),
    ],
)
def test_addresses_of_metadata_are_refused_unless_listed_as_such(peer, allowed, may):
    assert may_connect(peer, allowed) is may


def test_entries_that_say_nothing_are_found():
    wrong = ("", "*", "*.", "*.127.0.0.1", "http://x", "a b", "10.0.0.0/40", "x:port", "x:0", "u@x", "[::1", "::1/x")
    assert wrong_entries((*LIST, "::1", "[fd00::/8]", "a.b:1", *wrong)) == list(wrong)


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("http://Prom.example", "prom.example:80"),
        ("https://prom.example/x", "prom.example:443"),
        ("http://[::1]:9090", "[::1]:9090"),
        ("http://u:p@127.1:9090", "127.0.0.1:9090"),
        ("http://", None),
    ],
)
def test_a_url_has_an_entry_of_its_own(url, entry):
    assert entry_of(url) == entry
    if entry:
        assert is_allowed(url, (entry,))
