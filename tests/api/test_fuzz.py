"""The OpenAPI document against the running server, with whatever schemathesis can think of."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from alerts.api.views.document import document
from tests.servers.binaries import ROOT

HERE = Path(__file__).parent / "fuzz"
SCHEMATHESIS = [str(Path(sys.executable).with_name("st")), "--config-file", "schemathesis.toml", "run"]


@pytest.fixture
def server(
    request: pytest.FixtureRequest,
    product_environment: dict[str, str],
    run_process: Callable[..., Any],
    start_prometheus: Callable[..., Any],
    settings: Any,
) -> tuple[str, str]:
    """Web, worker and Prometheus, on the database of this run; the address and an admin's token."""
    rule_dir = Path(product_environment["PROMETHEUS_RULE_DIR"])
    rule_dir.mkdir()
    environment = product_environment | {"PROMETHEUS_URL": start_prometheus(rule_dir=rule_dir).url}
    if "postgresql" in settings.DATABASES["default"]["ENGINE"]:
        environment["DATABASE_URL"] = request.getfixturevalue("postgresql").create_database(f"fuzz_{uuid4().hex}")
    up = run_process([sys.executable, "manage.py", "up", "--port", "0"], env=environment, name="up")
    address = up.expect(r"ready (http://\S+)", timeout=60)[1]
    create = [sys.executable, "manage.py", "create_api_token", "--user", "fuzz", "--role", "admin"]
    created = subprocess.run(create, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    return address, created.stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize("chunked", [False, True])
def test_server_reads_no_more_than_it_must(server: tuple[str, str], chunked: bool) -> None:
    address, token = server

    def post(size: int) -> requests.Response:
        body = b'{"name": "' + b"x" * size + b'"}'
        pieces = (body[start : start + 65_536] for start in range(0, len(body), 65_536))
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        url = f"{address}/api/v1/namespaces"
        return requests.post(url, data=pieces if chunked else body, headers=headers, timeout=20)

    assert [post(size).status_code for size in (10, 900_000, 2_000_000, 11)] == [201, 400, 413, 201]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_server_is_what_its_document_says(
    server: tuple[str, str], request: pytest.FixtureRequest, settings: Any, tmp_path: Path
) -> None:
    address, token = server
    # It leaves files where it runs, and looks for its hooks there.
    shutil.copytree(HERE, tmp_path, dirs_exist_ok=True)
    full = request.config.getoption("--full")
    # The coverage phase asks what does not depend on the database.
    is_sqlite = "sqlite" in settings.DATABASES["default"]["ENGINE"]
    found = subprocess.run(
        [
            *SCHEMATHESIS,
            f"{address}/api/v1/schema",
            "--header",
            f"Authorization: Bearer {token}",
            "--max-examples",
            "50" if full else "3",
            "--seed",
            "20",
            "--suppress-health-check",
            "all",
            "--workers",
            "1",  # Python 3.11 parses no two modules at once: "AST constructor recursion depth mismatch"
            "--phases",
            "examples,coverage,fuzzing,stateful" if full or is_sqlite else "examples,fuzzing,stateful",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=590,
    )
    assert found.returncode == 0, found.stdout[-20_000:] + found.stderr[-2000:]
    all_of_them = sum(map(len, document()["paths"].values())) - 1  # but for the address of the document itself
    assert f"{all_of_them} passed" in found.stdout or f"Tested: {all_of_them}" in found.stdout
