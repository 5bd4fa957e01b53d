"""A Prometheus that accepts questions and never answers: its viewers wait, nobody else does."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.monitoring.conftest import WebServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
VIEWERS = 32


def test_many_who_ask_for_the_status_of_a_hanging_server_leave_threads_to_everybody_else(
    start_web: Callable[..., WebServer],
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=200) as hanging, ThreadPoolExecutor(VIEWERS) as pool:
        web = start_web(workers=1, PROMETHEUS_URL=f"http://127.0.0.1:{hanging.getsockname()[1]}")
        (server,) = web.call("GET", "/api/v1/prometheus-servers").json()["results"]
        path = f"/api/v1/prometheus-servers/{server['id']}/status"

        asked = [pool.submit(web.call, "GET", path) for _ in range(VIEWERS)]
        time.sleep(0.3)
        begun = time.monotonic()
        assert web.call("GET", "/api/v1/targets").ok
        took = time.monotonic() - begun
        answers = [one.result() for one in asked]
    print(f"targets: {took:.1f} s")
    assert took < 3.5
    assert Counter(answer.status_code for answer in answers).keys() == {200, 503}
    for answer in answers:
        if answer.ok:
            assert not answer.json()["reachable"]
            assert "3 s" in answer.json()["error"]["message"]
        else:
            assert answer.headers["Retry-After"]
            assert answer.json()["type"] == "urn:config-server:problem:prometheus_unavailable"
