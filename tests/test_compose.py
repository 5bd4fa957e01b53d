"""docker-compose.yml: its commands work outside containers, its files are valid, its services are shut in."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
import yaml

from tests.servers.binaries import ROOT, find
from tests.servers.processes import eventually, free_port

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
CELERYS_LAST_WORDS = "worker: Warm shutdown (MainProcess)"  # on standard output, from a signal handler, by no logger
LONG_RUNNING = [name for name, service in SERVICES.items() if service["restart"] != "no"]


@pytest.fixture
def inside(tmp_path, product_environment, composed_postgresql):
    """What a control plane container sees, with its paths below tmp_path; and how a command looks from outside."""
    for volume in ("state", "rules", "tokens"):
        (tmp_path / volume).mkdir()
    given = SERVICES["web"]["environment"]
    own = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "DATABASE_URL": composed_postgresql.create_database(f"compose_{free_port()}"),
        "SECRET_KEY": "outside containers " * 3,
        "VAR_DIR": str(tmp_path / "state"),
        "PROMETHEUS_RULE_DIR": str(tmp_path / "rules"),
        "BASE_URL": "http://localhost:8000",
        "ALLOWED_HOSTS": given["ALLOWED_HOSTS"],
        "PROMETHEUS_ALLOWED_HOSTS": given["PROMETHEUS_ALLOWED_HOSTS"],
    }
    assert given.keys() - own.keys() == {"CELERY_BROKER_URL", "PROMETHEUS_URL"}
    return product_environment | own


@pytest.fixture
def inside_init(inside):
    more = SERVICES["init"]["environment"].items() - SERVICES["web"]["environment"].items()
    assert dict(more).keys() == {"PGOPTIONS"}
    return inside | dict(more)


def outside(command, tmp_path, port=0):
    """The words of a service's command with container paths and addresses replaced; compose makes $$ a $."""
    places = {"/tokens/": f"{tmp_path}/tokens/", "0.0.0.0:8000": f"127.0.0.1:{port}", ":8000/": f":{port}/"}
    places |= {"$$": "$", "/rules/": f"{tmp_path}/rules/"}
    words = []
    for word in command:
        for place, ours in places.items():
            word = word.replace(place, ours)
        words.append(word)
    return words


@pytest.mark.slow
def test_init_and_web_run_as_they_are_written(inside, inside_init, run_process, tmp_path):
    init = outside(SERVICES["init"]["command"], tmp_path)
    assert run_process(init, env=inside_init, name="init").wait(120) == 0
    token = (tmp_path / "tokens/discovery").read_text().strip()
    # The second start of the set-up keeps the token that Prometheus has.
    assert run_process(init, env=inside_init, name="init-again").wait(120) == 0
    assert (tmp_path / "tokens/discovery").read_text().strip() == token

    port = free_port()
    web = run_process(outside(SERVICES["web"]["command"], tmp_path, port), env=inside, name="web")
    web.expect("Listening at")
    kind, *probe = outside(SERVICES["web"]["healthcheck"]["test"], tmp_path, port)
    assert kind == "CMD"
    eventually(lambda: subprocess.run(probe, env=inside).returncode == 0, what="the health check")
    metrics = requests.get(f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {token}"}, timeout=10)
    assert metrics.status_code == 200
    web.stop()
    assert "Traceback" not in web.output


def healthy(service, environment, tmp_path):
    kind, *probe = outside(SERVICES[service]["healthcheck"]["test"], tmp_path)
    assert kind == "CMD"
    probe = [word.replace("$$", "$") for word in probe]
    environment = environment | {"HOSTNAME": socket.gethostname()}  # as in a container
    return subprocess.run(probe, cwd=ROOT, env=environment, capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("service", ["worker", "tasks", "beat"])
def test_the_workers_run_as_they_are_written_and_stop_cleanly(service, inside, run_process, composed_redis, tmp_path):
    environment = inside | {"CELERY_BROKER_URL": composed_redis.url(), "LOG_FORMAT": "json"}
    assert run_process([sys.executable, "manage.py", "migrate"], env=environment, name="migrate").wait(120) == 0
    assert not healthy(service, environment, tmp_path)
    worker = run_process(SERVICES[service]["command"], env=environment, name=service)
    eventually(lambda: healthy(service, environment, tmp_path), timeout=60, what="the health check")
    assert worker.running, worker.output
    worker.send(signal.SIGTERM)
    assert worker.wait(30) == 0
    assert "Traceback" not in worker.output
    said = [line for line in worker.output.splitlines() if line and line != CELERYS_LAST_WORDS]
    assert not [line for line in said if not line.startswith('{"time": ')], worker.output


@pytest.mark.slow
def test_the_agent_delivers_to_the_prometheus_far_away(inside, run_process, start_prometheus, tmp_path):
    far_rules = tmp_path / "far"
    far_rules.mkdir()
    far = start_prometheus(rule_dir=far_rules)
    for name in ("init", "agent-init", "agent-init"):  # the second start keeps server and token
        assert run_process(outside(SERVICES[name]["command"], tmp_path), env=inside, name=name).wait(120) == 0
    token = tmp_path / "tokens/agent"
    assert token.stat().st_mode & 0o777 == 0o600
    port = free_port()
    run_process(outside(SERVICES["web"]["command"], tmp_path, port), env=inside, name="web").expect("Listening at")
    run_process(SERVICES["worker"]["command"], env=inside, name="worker")

    given = SERVICES["agent"]["environment"]
    own = {
        "CONFIG_SERVER_URL": given["CONFIG_SERVER_URL"].replace("web:8000", f"127.0.0.1:{port}"),
        "CONFIG_SERVER_TOKEN_FILE": given["CONFIG_SERVER_TOKEN_FILE"].replace("/tokens", str(token.parent)),
        "RULE_DIR": str(far_rules),
        "PROMETHEUS_URL": far.url,
    }
    assert own.keys() == given.keys()
    # No setting of the control plane reaches it.
    private = {"PATH": inside["PATH"], "PROMTOOL_PATH": inside["PROMTOOL_PATH"]}
    agent = run_process(SERVICES["agent"]["command"], env=private | own, name="agent")
    assert run_process([sys.executable, "manage.py", "load_demo"], env=inside, name="demo").wait(120) == 0
    eventually(far.rules, timeout=60, what="the rules in the Prometheus far away")
    eventually(lambda: healthy("agent", own, tmp_path), what="the agent's health check")
    agent.send(signal.SIGTERM)
    assert agent.wait(30) == 0
    long_ago = time.time() - 600
    os.utime(far_rules / ".agent/alive", (long_ago, long_ago))
    assert not healthy("agent", own, tmp_path)


def test_every_service_is_shut_in_and_watched():
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["user"] not in ("root", "0", 0), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
    assert not [name for name in LONG_RUNNING if "test" not in SERVICES[name]["healthcheck"]]


def test_promtool_in_the_image_is_that_of_the_server():
    assert f"FROM {SERVICES['prometheus']['image']} AS prometheus\n" in (ROOT / "Dockerfile").read_text()


def test_the_image_is_given_what_it_copies():
    ignored = (ROOT / ".dockerignore").read_text().split()
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    sources = {source for words in copied for source in words.split()}
    assert ignored[0] == "*"
    assert sources == {name.removeprefix("!") for name in ignored if name.startswith("!")}
    assert all((ROOT / source).exists() for source in sources)


def test_the_servers_accept_their_configurations(promtool):
    files = ROOT / "docker"
    subprocess.run([promtool, "check", "config", "--syntax-only", files / "prometheus.yml"], check=True)
    subprocess.run([find("amtool"), "check-config", files / "alertmanager.yml"], check=True)


@pytest.mark.skipif(
    not shutil.which("docker") or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode != 0,
    reason="no docker compose on this machine",
)
def test_docker_compose_accepts_the_file(tmp_path):
    passwords = dict.fromkeys(("SECRET_KEY", "POSTGRES_PASSWORD", "DATABASE_PASSWORD", "REDIS_PASSWORD"), "a")
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path), **passwords}
    subprocess.run(["docker", "compose", "config", "--quiet"], cwd=ROOT, env=environment, check=True)
