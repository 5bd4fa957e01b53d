"""The agent beside a Prometheus that wants to see something first: a password, a token, a certificate."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from alerts.agent.options import parse
from tests.agent.conftest import Site, rules
from tests.agent.plane import bundle_of
from tests.servers.authority import BCRYPT, LOGIN, PASSWORD, Authority, tls_files
from tests.servers.processes import Process, eventually

pytestmark = pytest.mark.slow

UP, DOWN = rules(Up="up == 1"), rules(Down="up == 0")
USER = {"basic_auth_users": {"jürgen": BCRYPT}}


def secret(path: Path, text: str) -> Path:
    """Replaced, not written over: an agent that runs may read it at any moment."""
    fresh = path.with_name(f".{path.name}")
    fresh.write_text(text)
    fresh.chmod(0o600)
    fresh.replace(path)
    return path


def command_line(agent: Process) -> str:
    return Path(f"/proc/{agent.pid}/cmdline").read_text() + Path(f"/proc/{agent.pid}/environ").read_text()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path / "certificates")
    made.issue("server", "DNS:localhost,DNS:prometheus.internal")
    made.issue("client", "DNS:agent")
    return made


@pytest.fixture
def secure(site: Site, start_prometheus) -> Callable[..., Site]:
    """The site, with a Prometheus of this web configuration."""

    def start(web, **asking) -> Site:
        site.server.stop()
        site.server = start_prometheus(rule_dir=site.rule_dir, web=web, asking=asking)
        return site

    return start


def test_a_password_opens_prometheus_and_may_be_replaced_while_it_runs(secure, tmp_path: Path):
    site = secure(USER, auth=LOGIN)
    password = secret(tmp_path / "password", PASSWORD + "\n")
    login = ("--prometheus-username", "jürgen", "--prometheus-password-file", str(password))
    offered = site.plane.offer(bundle_of(4, UP))
    agent = site.start(*login, "--heartbeat", "1")
    site.plane.report_on(offered)
    assert site.loaded() == {"Up"}
    assert PASSWORD not in command_line(agent)
    secret(password, "hunter2")
    report = site.plane.report_on(site.plane.offer(bundle_of(5, DOWN)), "failed")
    assert "401" in report["errors"][0]["message"]
    assert site.loaded() == {"Up"}
    secret(password, PASSWORD)
    assert site.plane.report_on(bundle_of(5, DOWN), timeout=40)
    assert site.loaded() == {"Down"}
    password.unlink()
    report = site.plane.report_that(lambda r: any("password" in error["message"] for error in r["errors"]))
    assert f"the password file {password} cannot be read: No such file" in report["errors"][0]["message"]
    told = agent.output + str(site.plane.reports)
    assert PASSWORD not in told
    assert "hunter2" not in told


def test_without_its_password_it_says_so_and_holds_back(secure):
    site = secure(USER, auth=LOGIN)
    offered = site.plane.offer(bundle_of(4, UP))
    site.start()
    report = site.plane.report_on(offered, "failed")
    assert "401" in report["errors"][0]["message"]
    assert not (site.rule_dir / "current").exists()


def test_a_token_is_shown_to_prometheus_and_a_redirect_does_not_carry_it_away(site: Site, tmp_path: Path, gate, thief):
    """Prometheus itself knows no tokens: a proxy in front of it asks for them."""
    token = secret(tmp_path / "bearer", "s3cret\n")
    offered = site.plane.offer(bundle_of(4, UP))
    site.server.address, true = gate.address, site.server.address
    agent = site.start("--prometheus-bearer-token-file", str(token))
    site.server.address = true
    site.plane.report_on(offered)
    assert set(gate.seen) == {"Bearer s3cret"}
    secret(token, "n3xt")
    eventually(lambda: gate.seen[-1] == "Bearer n3xt")
    gate.redirect_to = thief.address
    site.plane.report_that(lambda r: any("307" in error["message"] for error in r["errors"]))
    assert thief.seen == []
    assert "s3cret" not in agent.output + command_line(agent) + str(site.plane.reports)


def test_certificates_tell_who_is_who(secure, authority: Authority, tmp_path: Path):
    folder = authority.folder
    ours = {"client_ca_file": f"{folder}/ca.pem", "client_auth_type": "RequireAndVerifyClientCert"}
    site = secure(
        tls_files(authority, **ours) | USER,
        auth=LOGIN,
        verify=f"{folder}/ca.pem",
        cert=(f"{folder}/client.pem", f"{folder}/client.key"),
    )
    offered = site.plane.offer(bundle_of(4, UP))
    password = secret(tmp_path / "password", PASSWORD)
    trusted = ("--prometheus-ca-file", f"{folder}/ca.pem")
    shown = ("--prometheus-cert-file", f"{folder}/client.pem", "--prometheus-key-file", f"{folder}/client.key")
    login = {"PROMETHEUS_USERNAME": "jürgen", "PROMETHEUS_PASSWORD_FILE": str(password)}
    for less, words in (
        (shown, "certificate"),  # nobody knows its authority
        (trusted, "certificate"),  # it wants to see ours
        ((*trusted, *shown, "--prometheus-server-name", "other.internal"), "doesn't match|mismatch"),
        ((*shown, "--prometheus-ca-file", f"{folder}/gone.pem"), f"CA file {folder}/gone.pem cannot be read"),
    ):
        agent = site.start(*less, environment=login)
        agent.expect(f"failed: .*({words})")
        agent.stop()
    assert site.loaded() == set()
    by_name = ("--prometheus", site.server.url.replace("localhost", "127.0.0.1"))
    named = ("--prometheus-server-name", "prometheus.internal")
    for more in ((), (*by_name, *named)):
        site.plane.reports.clear()
        agent = site.start(*trusted, *shown, *more, environment=login)
        site.plane.report_on(offered)
        agent.stop()
    assert site.loaded() == {"Up"}


def test_secrets_everybody_can_read_are_pointed_out(secure, tmp_path: Path):
    site = secure(USER, auth=LOGIN)
    password = secret(tmp_path / "password", PASSWORD)
    password.chmod(0o644)
    agent = site.start("--prometheus-username", "jürgen", "--prometheus-password-file", str(password))
    agent.expect(f"everybody on this machine can read {password}")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--prometheus-username", "x"], "go together"),
        (["--prometheus-password-file", "f"], "go together"),
        (["--prometheus-username", "x:y", "--prometheus-password-file", "f"], "colon"),
        (
            ["--prometheus-username", "x", "--prometheus-password-file", "f", "--prometheus-bearer-token-file", "t"],
            "not both",
        ),
        (["--prometheus-key-file", "k"], "needs the --prometheus-cert-file"),
        (["--prometheus-password", "secret"], "unrecognized arguments"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, words, capsys):
    needed = ["--server", "https://plane", "--token-file", "t", "--rule-dir", "r", "--prometheus", "http://p"]
    with pytest.raises(SystemExit) as ended:
        parse([*needed, *options], {})
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "clear"),
    [
        ("http://prometheus:9090", True),
        ("http://10.0.0.1:9090", True),
        ("https://prometheus:9090", False),
        ("http://localhost:9090", False),
        ("http://127.0.0.1:9090", False),
        ("http://[::1]:9090", False),
    ],
)
def test_a_secret_that_leaves_the_machine_as_clear_text_is_noticed(url, clear):
    needed = ["--server", "https://plane", "--token-file", "t", "--rule-dir", "r", "--prometheus", url]
    assert not parse(needed, {}).secret_in_clear
    assert parse([*needed, "--prometheus-bearer-token-file", "f"], {}).secret_in_clear == clear


class Gate:
    """Passes requests on to Prometheus and notes what they showed."""

    def __init__(self, to: Callable[[], str]) -> None:
        self.seen: list[str] = []
        self.redirect_to = ""
        gate = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                gate.seen.append(self.headers.get("Authorization", ""))
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if gate.redirect_to:
                    self.send_response(307)
                    self.send_header("Location", f"http://{gate.redirect_to}{self.path}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                answer = requests.request(self.command, f"http://{to()}{self.path}", timeout=10)
                self.send_response(answer.status_code)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_POST = do_GET

            def log_message(self, *_: object) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def gate_to(site: Site) -> Iterator[Gate]:
    true = site.server.address
    made = Gate(lambda: true)
    yield made
    made.stop()


@pytest.fixture
def gate(site: Site) -> Iterator[Gate]:
    with gate_to(site) as made:
        yield made


@pytest.fixture
def thief(site: Site) -> Iterator[Gate]:
    with gate_to(site) as made:
        yield made
