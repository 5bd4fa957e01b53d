"""Servers that want to see something first: a password, a token, a certificate; real ones wherever they can ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from alerts.adapters import allowed_urls
from alerts.adapters.credentials import Credentials
from alerts.adapters.prometheus import (
    AddressRefused,
    BadAnswer,
    CredentialsUnusable,
    Prometheus,
    PrometheusError,
    PrometheusUnavailable,
)
from alerts.adapters.server_spec import ServerSpec
from tests.adapters.hostile_server import HostileServer, response
from tests.servers.authority import BCRYPT, LOGIN, PASSWORD, Authority, tls_files
from tests.servers.prometheus import PrometheusServer

NO_RULES = '{"status":"success","data":{"groups":[]}}'


@pytest.fixture
def directory(tmp_path) -> Path:
    """Where credentials lie."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    return folder


@pytest.fixture
def start_secured(start_prometheus) -> Callable[..., PrometheusServer]:
    """Starts the newest Prometheus with a web configuration."""
    return lambda web, **asking: start_prometheus(web=web, asking=asking)


def everything_works(client: Prometheus) -> None:
    assert client.ready()
    assert client.flavour() == "prometheus"
    client.reload()
    assert client.rules().groups == ()


# ------------------------------------------------------------------------------------------------ passwords and tokens


def test_a_password_opens_a_server_and_may_be_changed_while_we_run(start_secured, directory, monkeypatch):
    url = start_secured({"basic_auth_users": {"jürgen": BCRYPT}}, auth=LOGIN).url
    auth = {"type": "basic", "username": "jürgen", "password_file": "password"}
    (directory / "password").write_text(PASSWORD + "\n")
    client = Prometheus(url, credentials=Credentials(auth, {}, directory))
    everything_works(client)
    (directory / "password").write_text("hunter2")
    with pytest.raises(BadAnswer, match="401") as failed:
        client.reload()
    assert "hunter2" not in str(failed.value)
    (directory / "password").unlink()
    with pytest.raises(CredentialsUnusable, match="password cannot be read: No such file"):
        client.reload()
    assert not client.ready()
    monkeypatch.setenv("PROM_AUTH_X", PASSWORD)
    auth = {"type": "basic", "username": "jürgen", "password_variable": "PROM_AUTH_X"}
    everything_works(Prometheus(url, credentials=Credentials(auth)))
    with pytest.raises(BadAnswer, match="401"):
        Prometheus(url).rules()


@pytest.fixture
def hostile() -> Iterator[Callable[..., HostileServer]]:
    with ExitStack() as stack:

        def start(answer) -> HostileServer:
            server = HostileServer(answer)
            stack.callback(server.stop)
            return server

        yield start


def test_a_token_is_shown_with_every_request_and_only_there(hostile, directory):
    server = hostile(response(NO_RULES))
    (directory / "token").write_text("s3cret\n")
    spec = ServerSpec("eu", server.url, Path("/rules"), auth={"type": "bearer", "token_file": "token"})
    client = Prometheus.of(spec, credentials_dir=directory, allowed=["127.0.0.1"])
    client.rules()
    (directory / "token").write_text("n3xt")
    client.rules()
    first, second = server.requests
    assert b"Authorization: Bearer s3cret\r\n" in first
    assert b"Authorization: Bearer n3xt\r\n" in second
    assert "s3cret" not in repr(vars(client))


def test_a_redirect_does_not_carry_a_token_away(hostile, directory):
    thief = hostile(response(NO_RULES))
    server = hostile(response("", status="307 Temporary Redirect", Location=thief.url + "/"))
    (directory / "token").write_text("s3cret")
    client = Prometheus(
        server.url, credentials=Credentials({"type": "bearer", "token_file": "token"}, {}, directory), timeout=2
    )
    for attempt in (client.rules, client.reload):
        with pytest.raises(PrometheusError) as failed:
            attempt()
        assert "s3cret" not in str(failed.value)
    assert thief.requests == []


# ------------------------------------------------------------------------------------------------ certificates


@pytest.fixture
def authority(directory) -> Authority:
    made = Authority(directory / "eu")
    made.issue("server", "DNS:localhost,DNS:prometheus.internal")
    made.issue("client", "DNS:config-server")
    return made


def test_a_server_is_believed_by_its_authority_and_its_name(start_secured, authority, directory):
    server = start_secured(tls_files(authority), verify=f"{authority.folder}/ca.pem")
    port = server.address.rpartition(":")[2]
    trusted = {"ca_file": "eu/ca.pem"}

    def client(host: str, tls: dict[str, str]) -> Prometheus:
        return Prometheus(f"https://{host}:{port}", credentials=Credentials({}, tls, directory), timeout=5)

    everything_works(client("localhost", trusted))
    everything_works(client("127.0.0.1", trusted | {"server_name": "prometheus.internal"}))
    for host, tls in (
        ("localhost", {}),  # nobody knows its authority
        ("127.0.0.1", trusted),  # its certificate does not say this
        ("localhost", trusted | {"server_name": "other.internal"}),
        ("localhost", {"ca_file": "eu/client.pem"}),
    ):
        with pytest.raises(PrometheusUnavailable, match=r"certificate|match|doesn't"):
            client(host, tls).rules()
    with pytest.raises(CredentialsUnusable, match=r"eu/gone[.]pem cannot be read"):
        client("localhost", {"ca_file": "eu/gone.pem"}).rules()


def test_a_server_may_want_our_certificate(start_secured, authority, directory):
    folder = authority.folder
    wants = {"client_ca_file": f"{folder}/ca.pem", "client_auth_type": "RequireAndVerifyClientCert"}
    asking = {"verify": f"{folder}/ca.pem", "cert": (f"{folder}/client.pem", f"{folder}/client.key")}
    url = start_secured(tls_files(authority, **wants), **asking).url
    ours = {"ca_file": "eu/ca.pem", "cert_file": "eu/client.pem", "key_file": "eu/client.key"}
    everything_works(Prometheus(url, credentials=Credentials({}, ours, directory)))
    both = directory / "both.pem"
    both.write_text((directory / "eu/client.pem").read_text() + (directory / "eu/client.key").read_text())
    in_one = {"ca_file": "eu/ca.pem", "cert_file": "both.pem"}
    everything_works(Prometheus(url, credentials=Credentials({}, in_one, directory)))
    for tls in ({"ca_file": "eu/ca.pem"}, ours | {"key_file": "eu/server.key"}, ours | {"cert_file": "eu/client.key"}):
        with pytest.raises(PrometheusError):
            Prometheus(url, credentials=Credentials({}, tls, directory), timeout=5).rules()


# ------------------------------------------------------------------------------------------------ addresses


def test_a_server_that_is_not_allowed_is_not_asked(hostile, directory):
    server = hostile(response(NO_RULES))
    spec = ServerSpec("eu", server.url, Path("/rules"), auth={"type": "bearer", "token_file": "token"})
    (directory / "token").write_text("s3cret")
    client = Prometheus.of(spec, credentials_dir=directory, allowed=["prometheus.example", "10.0.0.0/8"])
    for attempt in (client.rules, client.reload, client.config_ok):
        with pytest.raises(AddressRefused, match="PROMETHEUS_ALLOWED_HOSTS"):
            attempt()
    assert not client.ready()
    assert server.requests == []


def test_a_name_that_leads_to_a_link_local_address_gets_no_byte(hostile, monkeypatch):
    """No such address can be had here, so the loopback's are taken for such."""
    server = hostile(response(NO_RULES))
    url = server.url.replace("127.0.0.1", "localhost")
    assert Prometheus(url, allowed=["localhost"]).rules().groups == ()
    monkeypatch.setattr(allowed_urls, "NEVER_BY_NAME", tuple(map(allowed_urls.ip_network, ("127.0.0.0/8", "::1/128"))))
    with pytest.raises(PrometheusUnavailable, match=r"leads to 127[.]0[.]0[.]1, a link-local or metadata address"):
        Prometheus(url, allowed=["localhost"]).rules()
    assert len([request for request in server.requests if request]) == 1, "the connection was closed at once"
    assert Prometheus(url, allowed=["localhost", "127.0.0.1"]).rules().groups == ()
