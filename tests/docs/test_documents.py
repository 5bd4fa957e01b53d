"""The documents name what there is: commands, targets, settings, paths, codes; and their links lead somewhere."""

from __future__ import annotations

import ast
import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands
from django.test import Client
from django.urls import get_resolver
from prometheus_client.parser import text_string_to_metric_families

from alerts.adapters.failpoints import FAILPOINTS
from alerts.api import metrics
from alerts.domain.compiler import Options
from alerts.models import Release
from tests.docs.documents import ROOT, anchors, blocks, documents, links, named, prose, table

README = ROOT / "README.md"
every_document = pytest.mark.parametrize("document", documents(), ids=named)
LAYOUTS = {"per-scope", "consolidated"}


def test_readme_begins_with_what_a_bare_debian_needs() -> None:
    assert "apt-get install -y git make python3-venv" in README.read_text("utf-8").splitlines()[0]


@every_document
def test_links_lead_somewhere(document: Path) -> None:
    for link in links(document.read_text("utf-8")):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        aim = (document.parent / path).resolve() if path else document
        assert aim.exists(), link
        if anchor:
            assert anchor in anchors(aim.read_text("utf-8")), link


@every_document
def test_commands_exist(document: Path) -> None:
    named_commands = set(re.findall(r"manage\.py ([a-z_]+)", document.read_text("utf-8")))
    assert named_commands <= get_commands().keys()


def test_every_command_of_ours_is_in_the_operations_guide() -> None:
    text = (ROOT / "docs/operations.md").read_text("utf-8")
    ours = {name for name, app in get_commands().items() if app == "alerts"}
    assert {name for name in ours if f"`manage.py {name}" not in text} == set()


@every_document
def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    text = document.read_text("utf-8")
    said = re.findall(r"`make ([a-z][a-z-]*)", text) + re.findall(r"^\$ make ([a-z][a-z-]*)", text, re.MULTILINE)
    assert set(said) <= targets


@every_document
def test_files_that_are_named_exist(document: Path) -> None:
    tops = "alerts|config_server|docker|migrations|tests|scripts|bench|docs"
    paths = set(re.findall(rf"`((?:{tops})/[\w./*-]*)`", prose(document.read_text("utf-8"))))
    assert {path for path in paths if not any(ROOT.glob(path.rstrip("/")))} == set()


@every_document
def test_names_in_modules_exist(document: Path) -> None:
    """Written as `module.py`: `name`, as in the table of laws."""
    text = document.read_text("utf-8")
    for path, said in re.findall(r"`((?:alerts|config_server|bench)/[\w/]+\.py)`: ((?:`\w+`(?:, )?)+)", text):
        tree = ast.parse((ROOT / path).read_text("utf-8"))
        defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        stored = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        assert set(re.findall(r"\w+", said)) <= defined | stored, path


# ------------------------------------------------------------------------------------------------ settings


def settings_read() -> dict[str, Any]:
    """Every environment variable that the project's settings read, with its default where that is a literal."""
    found: dict[str, Any] = {}
    for path in sorted((ROOT / "config_server").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "environment"
                and node.func.attr != "wrong"
                and isinstance(node.args[0], ast.Constant)
            ):
                default = ast.literal_eval(node.args[1]) if len(node.args) > 1 and _is_literal(node.args[1]) else None
                if default is not None:
                    default = _shown(node.func.attr, default)
                name = str(node.args[0].value)
                found[name] = found.get(name) or default
    return found


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except ValueError:
        return False
    return True


def _shown(reader: str, default: Any) -> str:
    if reader == "mode":
        return f"{default:04o}"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    if isinstance(default, tuple):
        return ",".join(default)
    return str(default) or "none"


def test_settings_in_the_readme_are_those_of_the_code() -> None:
    rows = table(README.read_text("utf-8"), "## Settings")
    said = {row[0].strip("`"): row[1] for row in rows}
    read = settings_read()
    assert said.keys() == read.keys()
    wrong = {name: (said[name], default) for name, default in read.items() if default and default not in said[name]}
    assert wrong == {}


def test_layouts_in_the_readme_are_those_of_the_code() -> None:
    row = next(row for row in table(README.read_text("utf-8"), "## Settings") if "LAYOUT" in row[0])
    assert {layout for layout in LAYOUTS if f"`{layout}`" in " ".join(row)} == LAYOUTS
    assert Options().layout in LAYOUTS


# ------------------------------------------------------------------------------------------------ API


def api_paths() -> set[str]:
    """As the API guide writes them: `/targets/{id}`."""
    found = set()
    for pattern in get_resolver("alerts.api.urls").url_patterns:
        found.add("/" + re.sub(r"<[^>]*>", "{}", str(pattern.pattern)))
    return found


def test_every_path_of_the_api_is_in_the_guide() -> None:
    text = (ROOT / "docs/api.md").read_text("utf-8")
    said = {re.sub(r"\{[^}]*\}", "{}", path) for path in re.findall(r"(/[a-z][\w{}/.-]*)", text)}
    objects = {f"/{name}" for name in ("namespaces", "groups", "targets", "alert-templates", "alert-rules")}
    objects.add("/prometheus-servers")
    # What is said of the five kinds, and that servers have the same verbs, stands for these.
    shared = [more for more in ("{id}", "delete", "restore", "purge") if f"`…/{more}`" in text]
    said |= {f"{name}/{more}".replace("{id}", "{}") for name in objects & said for more in shared}
    assert api_paths() - said == set()


def test_limits_in_the_guide_are_those_of_the_code() -> None:
    for what, number, kept_in in table((ROOT / "docs/api.md").read_text("utf-8"), "## Limits"):
        path, name = re.findall(r"`([^`]+)`", kept_in)
        module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
        assert getattr(module, name) == int(number), what


# ------------------------------------------------------------------------------------------------ operations


def codes_of_delivery() -> set[str]:
    """Every code that a release, the status or a refused write of the rule directory can carry."""
    found = set()
    for path in sorted((*(ROOT / "alerts/actions").glob("*.py"), *(ROOT / "alerts/adapters").glob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "problem":
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    found.add(str(first.value))
    errors = (ROOT / "alerts/adapters/release_files.py").read_text("utf-8")
    found |= set(re.findall(r'StoreError\(\s*"(\w+)"', errors)) | set(re.findall(r'errno\.\w+: "(\w+)"', errors))
    store = (ROOT / "alerts/adapters/release_store.py").read_text("utf-8")
    found |= set(re.findall(r'StoreError\(\s*"(\w+)"', store)) | {"rule_dir_missing", "not_a_directory", "io"}
    found |= {"no_inodes", "fenced_off"}
    promtool = (ROOT / "alerts/adapters/promtool.py").read_text("utf-8")
    return found | {f"promtool_{code}" for code in re.findall(r'PromtoolError\(\s*"(\w+)"', promtool)}


def test_every_code_of_delivery_is_in_the_operations_guide() -> None:
    text = (ROOT / "docs/operations.md").read_text("utf-8")
    assert {code for code in codes_of_delivery() if f"`{code}`" not in text} == set()


def test_every_release_state_is_in_the_operations_guide() -> None:
    rows = table((ROOT / "docs/operations.md").read_text("utf-8"), "## The life of a release")
    assert {row[0].strip("`") for row in rows} == set(Release.State.values)


def test_system_checks_in_the_operations_guide_are_those_of_the_code() -> None:
    source = "".join(
        path.read_text("utf-8") for path in (*(ROOT / "config_server").glob("*.py"), ROOT / "alerts/checks.py")
    )
    ids = set(re.findall(r'"(alerts\.[EW]\d{3})"', source))
    text = (ROOT / "docs/operations.md").read_text("utf-8")
    assert set(re.findall(r"alerts\.[EW]\d{3}", text)) == ids


@pytest.mark.django_db
def test_metrics_in_the_operations_guide_are_those_that_are_exposed(settings: Any, client: Client) -> None:
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:9/0"
    client.get("/api/v1/targets")  # a request that is counted
    families = text_string_to_metric_families(metrics.exposition().decode())
    exposed = {
        family.name + "_total" * (family.type == "counter"): family.type
        for family in families
        if family.name.startswith("config_server_")
    }
    rows = table((ROOT / "docs/operations.md").read_text("utf-8"), "## Watching the control plane")
    assert {row[0].strip("`").partition("{")[0]: row[1] for row in rows} == exposed


def test_an_example_of_a_failpoint_names_one() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    examples = set(re.findall(r"`(?:CONFIG_SERVER_FAILPOINT=)?([a-z_]+\.[a-z_]+)(?::\d|=sleep:\d)?`", text))
    assert {name for name in examples if not name.endswith((".md", ".py"))} <= set(FAILPOINTS)


@every_document
def test_json_in_documents_is_json(document: Path) -> None:
    for block in blocks(document.read_text("utf-8"), language="json"):
        json.loads(block.body)


def test_gunicorn_is_given_the_same_patience_wherever_it_is_started() -> None:
    """A waiting agent's question, of up to half a minute, ends before its web process does."""
    for file in ("docs/operations.md", "docker-compose.yml", "kubernetes/web.yaml"):
        starts = re.findall(r"\bgunicorn\b.*--threads\b.*", (ROOT / file).read_text("utf-8"))
        assert starts, file
        for line in starts:
            assert re.search(r"--graceful-timeout\W+40\b", line), (file, line)
