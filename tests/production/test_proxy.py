"""The nginx of docs/production.md before the web server of docker-compose.yml, over https."""

from __future__ import annotations

import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
import yaml

from tests.production.conftest import Installation
from tests.production.guide import body
from tests.servers.binaries import ROOT
from tests.servers.nginx import Nginx
from tests.servers.processes import Process, eventually, free_port

pytestmark = pytest.mark.slow
HOST = "alerts.example"
PASSWORD = secrets.token_urlsafe(20)
MAKE_ADMIN = (
    "import django; django.setup(); from django.contrib.auth import get_user_model as users;"
    f"users().objects.create_superuser('me', password={PASSWORD!r})"
)


class Client:
    """Speaks to the proxy as the public address."""

    def __init__(self, proxy: Nginx, plane: Installation) -> None:
        self.proxy = proxy
        self.plane = plane
        self.session = requests.Session()
        self.session.trust_env = False  # this machine's own proxies and authorities
        self.session.verify = str(proxy.certificate)
        self.session.headers["Host"] = HOST
        self.token = plane.manage("create_api_token", "--user", "me", "--role", "admin").strip()

    def ask(self, method: str, path: str, **options: object) -> requests.Response:
        url = f"https://127.0.0.1:{self.proxy.https}{path}"
        return self.session.request(method, url, timeout=30, allow_redirects=False, **options)  # type: ignore[arg-type]

    def api(self, method: str, path: str, *, token: str = "", **options: object) -> requests.Response:
        headers = {"Authorization": f"Bearer {token or self.token}", "Content-Type": "application/json"}
        return self.ask(method, f"/api/v1/{path}", headers=headers, **options)


@pytest.fixture
def client(
    tmp_path: Path, product_environment: dict[str, str], run_process: Callable[..., Process]
) -> Iterator[Client]:
    own = {
        "DJANGO_SETTINGS_MODULE": "config_server.settings",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'policy.sqlite3'}",
        "BASE_URL": f"https://{HOST}",
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
    }
    plane = Installation(product_environment | own)
    plane.manage("migrate", "--no-input", "--verbosity", "0")
    plane.run(sys.executable, "-c", MAKE_ADMIN)
    port = free_port()
    command = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["web"]["command"]
    web = run_process(
        [word.replace("0.0.0.0:8000", f"127.0.0.1:{port}") for word in command], env=plane.environment, name="web"
    )
    web.expect("Listening at")
    proxy = Nginx(tmp_path / "nginx", body("nginx"), host=HOST, behind=port).start()
    try:
        found = Client(proxy, plane)
        eventually(lambda: found.ask("GET", "/-/ready").ok, timeout=60, what="the web server behind the proxy")
        yield found
    finally:
        proxy.stop()


def test_the_proxy_of_the_guide_serves_api_and_pages_over_https(client: Client) -> None:
    at_http = requests.get(
        f"http://127.0.0.1:{client.proxy.http}/targets?a=1", headers={"Host": HOST}, allow_redirects=False, timeout=10
    )
    assert (at_http.status_code, at_http.headers["Location"]) == (301, f"https://{HOST}/targets?a=1")

    links = client.api("GET", "namespaces?page_size=1").json()
    assert links["next"].startswith(f"https://{HOST}/api/v1/namespaces?")

    # Signing in: the cookie goes over https only, and the form's origin is the public address.
    page = client.ask("GET", "/login")
    assert page.status_code == 200
    (mark,) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[:1]
    form = {"username": "me", "password": PASSWORD, "csrfmiddlewaretoken": mark}
    origin = {"Origin": f"https://{HOST}", "Referer": f"https://{HOST}/login"}
    # The jar keeps what is for 127.0.0.1; a browser would be at the public name.
    cookies = {"Cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in client.session.cookies)}
    client.session.cookies.clear()
    entered = client.ask("POST", "/login", data=form, headers=origin | cookies)
    assert entered.status_code == 302, entered.text
    assert "Secure" in entered.headers["Set-Cookie"]
    assert "max-age" in entered.headers["Strict-Transport-Security"]
    foreign = client.ask("POST", "/login", data=form, headers={"Origin": "https://evil.example"} | cookies)
    assert foreign.status_code == 403

    # One byte too many is refused by the control plane itself, in its own words.
    large = client.api("POST", "alert-rules", data=b'{"name": "' + b"a" * 1024 * 1024 + b'"}')
    assert (large.status_code, large.headers["Content-Type"]) == (413, "application/problem+json")
    larger = client.api("POST", "alert-rules", data=b"a" * 3 * 1024 * 1024)
    assert (larger.status_code, larger.headers["Content-Type"]) == (413, "text/html")


def test_an_agent_waits_through_the_proxy(client: Client) -> None:
    """For as long as it asks; nothing in between answers for the control plane."""
    server = {"name": "far", "url": "http://127.0.0.1:9090", "delivery": "agent"}
    assert client.api("POST", "prometheus-servers", json=server).status_code == 201
    token = client.plane.manage("create_agent_token", "far").strip()
    started = time.monotonic()
    answer = client.api("GET", "agent/bundle?wait=3", token=token)
    assert time.monotonic() - started >= 3
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:config-server:problem:nothing_offered")
