"""kubernetes/: valid by the API's own schemas, shut in, of one piece; what its containers run works outside them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import requests
import yaml

from alerts.agent.options import parse
from tests.docs.test_documents import settings_read
from tests.servers.binaries import ROOT
from tests.servers.postgresql import PostgreSQL
from tests.servers.processes import Process, eventually, free_port
from tests.servers.prometheus import PrometheusServer

FOLDER = ROOT / "kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
OURS = COMPOSE["web"]["image"]
VERSIONS = ("1.29", "1.37")
# What neither settings.py nor the agent reads: gunicorn's, and what web.yaml puts together.
FURTHER_VARIABLES = {"FORWARDED_ALLOW_IPS", "POD_IP", "HOST_NAMES"}


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(FOLDER.glob("*.yaml")):
        if path.name != "kustomization.yaml":
            for document in yaml.safe_load_all(path.read_text()):
                yield path.name, document


OBJECTS = {f"{document['kind']}/{document['metadata']['name']}": document for _, document in documents()}
PODS = {
    name: document["spec"]["template"]
    for name, document in OBJECTS.items()
    if document["kind"] in ("Deployment", "StatefulSet", "Job")
}
CONTAINERS = {
    f"{name}/{container['name']}": container
    for name, pod in PODS.items()
    for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
}
every_pod = pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
every_container = pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [document for document in OBJECTS.values() if document["kind"] == kind]


def selected(labels: dict[str, str]) -> list[dict[str, Any]]:
    return [pod for pod in PODS.values() if labels.items() <= pod["metadata"]["labels"].items()]


def ports_of(pods: list[dict[str, Any]]) -> set[str]:
    return {port["name"] for pod in pods for box in pod["spec"]["containers"] for port in box.get("ports", [])}


# ------------------------------------------------------------------------------------------------ valid


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("file", "document"), [*documents()], ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_object_is_what_its_schema_says(version: str, file: str, document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, version, strict=True)


def test_a_word_that_no_schema_knows_is_found() -> None:
    wrong = yaml.safe_load((FOLDER / "namespace.yaml").read_text()) | {"spec": {"finalisers": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_all_files_are_applied_but_the_example_of_secrets() -> None:
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert files - set(KUSTOMIZATION["resources"]) == {"secret.example.yaml"}
    assert set(KUSTOMIZATION["resources"]) <= files


@pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl on this machine")
def test_kubectl_puts_it_together() -> None:
    done = subprocess.run(["kubectl", "kustomize", FOLDER], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    built = [*yaml.safe_load_all(done.stdout)]
    for document in built:
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)
        assert document["kind"] == "Namespace" or document["metadata"]["namespace"] == "config-server"
    assert len(built) == len(OBJECTS) - len(of_kind("Secret"))
    assert "image: config-server\n" not in done.stdout


# ------------------------------------------------------------------------------------------------ shut in


@every_pod
def test_pods_are_nobody_and_know_nothing_of_the_cluster(pod: dict[str, Any]) -> None:
    spec, context = pod["spec"], pod["spec"]["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] >= 10000
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "serviceAccountName"} & spec.keys()
    kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"emptyDir", "configMap", "secret"}


@every_container
def test_containers_can_do_nothing_else(container: dict[str, Any]) -> None:
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
    assert "memory" in container["resources"]["limits"]


def test_the_namespace_refuses_others() -> None:
    assert (
        OBJECTS["Namespace/config-server"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    )


def test_every_pod_is_behind_a_policy_and_nothing_is_open_by_default() -> None:
    assert OBJECTS["NetworkPolicy/nothing"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


# ------------------------------------------------------------------------------------------------ of one piece


def test_selectors_find_pods_and_ports() -> None:
    for service in of_kind("Service"):
        pods = selected(service["spec"]["selector"])
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports_of(pods), service["metadata"]
    for budget in of_kind("PodDisruptionBudget"):
        assert selected(budget["spec"]["selector"]["matchLabels"]), budget["metadata"]
    for name, pod in PODS.items():
        labels = OBJECTS[name]["spec"].get("selector", {}).get("matchLabels", {})
        assert labels.items() <= pod["metadata"]["labels"].items()
        assert name.startswith("Job/") or labels
    for policy in of_kind("NetworkPolicy"):
        spec = policy["spec"]
        assert selected(spec["podSelector"].get("matchLabels", {}))
        inwards = [port["port"] for rule in spec.get("ingress", []) for port in rule.get("ports", [])]
        assert set(inwards) <= ports_of(selected(spec["podSelector"].get("matchLabels", {})))
    backend = OBJECTS["Ingress/web"]["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert backend["port"]["name"] in {port["name"] for port in OBJECTS[f"Service/{backend['name']}"]["spec"]["ports"]}


@every_pod
def test_what_pods_ask_for_is_there(pod: dict[str, Any]) -> None:
    spec = pod["spec"]
    owner = next(document for name, document in OBJECTS.items() if PODS.get(name) is pod)
    claims = {claim["metadata"]["name"] for claim in owner["spec"].get("volumeClaimTemplates", [])}
    volumes = {volume["name"] for volume in spec["volumes"]} | claims
    for box in [*spec.get("initContainers", []), *spec["containers"]]:
        assert {mount["name"] for mount in box.get("volumeMounts", [])} <= volumes
        for source in box.get("envFrom", []):
            assert {
                f"ConfigMap/{ref['name']}" for key, ref in source.items() if key == "configMapRef"
            } <= OBJECTS.keys()
            assert {f"Secret/{ref['name']}" for key, ref in source.items() if key == "secretRef"} <= OBJECTS.keys()
    for volume in spec["volumes"]:
        assert "configMap" not in volume or f"ConfigMap/{volume['configMap']['name']}" in OBJECTS
        assert "secret" not in volume or f"Secret/{volume['secret']['secretName']}" in OBJECTS


def test_images_are_those_of_compose() -> None:
    known = {service["image"] for service in COMPOSE.values()}
    assert {container["image"] for container in CONTAINERS.values()} <= known
    assert {image["name"] for image in KUSTOMIZATION["images"]} == {OURS}


@every_container
def test_variables_are_settings(container: dict[str, Any]) -> None:
    given = {variable["name"]: variable.get("value") for variable in container.get("env", [])}
    if container["name"] == "agent":
        options = parse([], given)
        told = {options.server, str(options.token_file), str(options.rule_dir), options.prometheus}
        assert told == set(given.values())
    else:
        assert given.keys() <= settings_read().keys() | FURTHER_VARIABLES


def test_settings_and_secrets_are_settings() -> None:
    given = OBJECTS["ConfigMap/settings"]["data"].keys() | OBJECTS["Secret/config-server"]["stringData"].keys()
    assert given <= settings_read().keys() | FURTHER_VARIABLES


def test_prometheus_and_its_agent_mean_the_same_places(promtool: Path, tmp_path: Path) -> None:
    text = OBJECTS["ConfigMap/prometheus"]["data"]["prometheus.yml"]
    (tmp_path / "prometheus.yml").write_text(text)
    subprocess.run([promtool, "check", "config", "--syntax-only", tmp_path / "prometheus.yml"], check=True)
    agent, prometheus = (CONTAINERS[f"StatefulSet/prometheus/{name}"] for name in ("agent", "prometheus"))
    variables = {variable["name"]: variable["value"] for variable in agent["env"]}
    assert yaml.safe_load(text)["rule_files"] == [f"{variables['RULE_DIR']}/current/*.yml"]
    mounted = {mount["name"]: mount for mount in prometheus["volumeMounts"]}
    assert mounted["rules"] == {"name": "rules", "mountPath": variables["RULE_DIR"], "readOnly": True}
    assert "--web.enable-lifecycle" in prometheus["args"]
    tokens = set(re.findall(r"/tokens/(\w+)", text)) | {variables["CONFIG_SERVER_TOKEN_FILE"].removeprefix("/tokens/")}
    assert tokens == OBJECTS["Secret/prometheus-tokens"]["stringData"].keys()


# ------------------------------------------------------------------------------------------------ it runs


@pytest.fixture
def inside(tmp_path: Path, product_environment: dict[str, str], postgresql: PostgreSQL) -> dict[str, str]:
    """The variables of a pod, with its places and servers replaced by ours."""
    own = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "DATABASE_URL": postgresql.create_database(f"kubernetes_{free_port()}"),
        "SECRET_KEY": "outside containers " * 3,
        "VAR_DIR": str(tmp_path / "state"),
        "ALLOWED_HOSTS": OBJECTS["ConfigMap/settings"]["data"]["ALLOWED_HOSTS"] + ",127.0.0.1",
    }
    return product_environment | OBJECTS["ConfigMap/settings"]["data"] | own


def test_the_example_of_secrets_is_refused_as_it_stands(inside: dict[str, str]) -> None:
    example = inside | OBJECTS["Secret/config-server"]["stringData"]
    done = subprocess.run(["python", "manage.py", "check"], cwd=ROOT, env=example, capture_output=True, text=True)
    assert done.returncode != 0
    assert set(re.findall(r"alerts\.E\d{3}", done.stderr)) == {"alerts.E002"}, done.stderr


@pytest.mark.slow
def test_web_waits_for_the_tables_and_then_answers_its_probes(
    inside: dict[str, str], run_process: Callable[..., Process]
) -> None:
    waiting = run_process(CONTAINERS["Deployment/web/wait-for-migrations"]["command"], env=inside, name="wait")
    assert run_process(CONTAINERS["Job/migrate/migrate"]["command"], env=inside, name="migrate").wait(120) == 0
    assert waiting.wait(30) == 0

    port = free_port()
    container = CONTAINERS["Deployment/web/web"]
    command = [word.replace("0.0.0.0:8000", f"127.0.0.1:{port}") for word in container["command"]]
    web = run_process(command, env=inside, name="web")
    probes = {key: container[key]["httpGet"]["path"] for key in container if key.endswith("Probe")}
    assert probes == {"startupProbe": "/-/healthy", "livenessProbe": "/-/healthy", "readinessProbe": "/-/ready"}
    for path in probes.values():
        eventually(lambda path=path: requests.get(f"http://127.0.0.1:{port}{path}", timeout=5).ok, what=path)

    # The one server is fed by its agent; docs/production.md says how.
    tokens = [
        subprocess.run(["python", "manage.py", *words], cwd=ROOT, env=inside, capture_output=True, text=True).stdout
        for words in (["create_api_token", "--user", "me", "--role", "admin"], ["create_agent_token", "default"])
    ]
    assert tokens[1] == ""  # not before it is delivered to by an agent
    headers = {"Authorization": f"Bearer {tokens[0].strip()}"}
    server = f"http://127.0.0.1:{port}/api/v1/prometheus-servers/1"
    assert requests.patch(server, json={"delivery": "agent"}, headers=headers, timeout=10).ok
    token = subprocess.run(
        ["python", "manage.py", "create_agent_token", "default"], cwd=ROOT, env=inside, capture_output=True, text=True
    ).stdout.strip()
    bundle = f"http://127.0.0.1:{port}/api/v1/agent/bundle"
    assert requests.get(bundle, headers={"Authorization": f"Bearer {token}"}, timeout=10).status_code == 404
    web.stop()
    assert "Traceback" not in web.output


@pytest.mark.parametrize("service", ["web", "worker", "tasks", "beat", "agent"])
def test_processes_are_those_of_compose(service: str) -> None:
    """Whose tests start them, and ask them how they are."""
    owner = "StatefulSet/prometheus" if service == "agent" else f"Deployment/{service}"
    container, theirs = CONTAINERS[f"{owner}/{service}"], COMPOSE[service]
    assert container["command"] == theirs["command"]
    if service != "web":
        probe = [word.replace("$$", "$") for word in theirs["healthcheck"]["test"][1:]]
        assert container["livenessProbe"]["exec"]["command"] == probe


def test_whatever_runs_on_is_watched() -> None:
    watched = {name for name, container in CONTAINERS.items() if "livenessProbe" in container}
    once = {name for name in CONTAINERS if name.startswith("Job/") or name.endswith("/wait-for-migrations")}
    assert CONTAINERS.keys() - watched == once


def test_prometheus_serves_on_without_its_agent() -> None:
    """A pod is ready when all its containers are."""
    assert "readinessProbe" not in CONTAINERS["StatefulSet/prometheus/agent"]


def test_the_example_sends_its_alerts_somewhere() -> None:
    example = yaml.safe_load(OBJECTS["ConfigMap/prometheus"]["data"]["prometheus.yml"])
    (alertmanagers,) = example["alerting"]["alertmanagers"]
    (found,) = alertmanagers["dns_sd_configs"]
    assert (found["type"], found["port"]) == ("A", 9093)


def test_prometheus_answers_its_probes(start_prometheus: Callable[..., PrometheusServer]) -> None:
    container = CONTAINERS["StatefulSet/prometheus/prometheus"]
    server = start_prometheus()
    for key in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert requests.get(server.url + container[key]["httpGet"]["path"], timeout=10).ok


SETTINGS = OBJECTS["ConfigMap/settings"]["data"]


@pytest.mark.parametrize(
    "container",
    [one for one in CONTAINERS.values() if one.get("envFrom")],
    ids=[name for name, one in CONTAINERS.items() if one.get("envFrom")],
)
def test_the_rule_directory_can_be_written_where_nothing_else_can(container: dict[str, Any]) -> None:
    """Else every command ends with alerts.E012, that of the migration first."""
    writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
    rule_dir = SETTINGS["PROMETHEUS_RULE_DIR"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert any(rule_dir == place or rule_dir.startswith(place + "/") for place in writable)


def test_each_container_beside_prometheus_sees_its_own_token_alone() -> None:
    pod = PODS["StatefulSet/prometheus"]["spec"]
    secrets = {one["name"]: one["secret"]["items"] for one in pod["volumes"] if "secret" in one}
    for container in pod["containers"]:
        seen = [key["key"] for mount in container["volumeMounts"] for key in secrets.get(mount["name"], ())]
        assert seen == ["agent" if container["name"] == "agent" else "discovery"]
