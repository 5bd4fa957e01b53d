"""The worked example of docs/concepts.md: its requests are sent, and what it prints is what the product prints."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from alerts.actions import policy, tokens
from alerts.actions.wanted import wanted
from tests.docs.documents import ROOT, blocks, same

CONCEPTS = ROOT / "docs" / "concepts.md"
REFERENCES = {
    "namespace": "namespaces",
    "parent": "groups",
    "groups": "groups",
    "group_id": "groups",
    "target_id": "targets",
    "template_id": "alert-templates",
}


class Example:
    """The example's policy in a database. The document counts ids of each kind from 1; a database may not."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.ids: dict[str, dict[int, int]] = {}
        rows = self.ask("namespaces?ordering=priority")["results"]
        self.ids["namespaces"] = {place: row["id"] for place, row in enumerate(rows, 1)}

    def ask(self, path: str) -> Any:
        answer = self.client.get(f"/api/v1/{path}")
        assert answer.status_code == 200, answer.content
        return answer.json()

    def send(self, request: str) -> None:
        line, _, body = request.partition("\n\n")
        path = line.removeprefix("POST /api/v1/").strip()
        values = {name: self._meant(name, value) for name, value in json.loads(body).items()}
        answer = self.client.post(f"/api/v1/{path}", json.dumps(values), content_type="application/json")
        assert answer.status_code == 201, (request, answer.content)
        made = self.ids.setdefault(path, {})
        made[len(made) + 1] = answer.json()["id"]

    def _meant(self, name: str, value: Any) -> Any:
        if name not in REFERENCES or value is None:
            return value
        known = self.ids[REFERENCES[name]]
        return [known[item] for item in value] if isinstance(value, list) else known[value]

    def as_written(self, text: str) -> str:
        """With the document's ids of rules."""
        shown = {row_id: place for place, row_id in self.ids["alert-rules"].items()}
        return re.sub(r'(rule |"rule_id": )(\d+)', lambda match: f"{match[1]}{shown[int(match[2])]}", text)


@pytest.fixture
def example(db: None) -> Example:
    policy.forget()
    client = Client(headers={"Authorization": f"Bearer {tokens.create('reader', 'editor')[0]}"})
    found = Example(client)
    for block in blocks(CONCEPTS.read_text("utf-8"), language="http"):
        found.send(block.body)
    return found


def files() -> str:
    """All rule files, each under its name."""
    contents = wanted(server="default").contents
    return "\n".join(f"# --- {name}\n{content.decode()}" for name, content in contents.items())


def test_worked_example_is_what_the_product_prints(example: Example, settings: Any, tmp_path: Path) -> None:
    printed: dict[str, str] = {}
    for host in ("web-1", "web-2", "job-1"):
        explained = StringIO()
        call_command("explain", host, stdout=explained, no_color=True)
        printed[f"manage.py explain {host}"] = example.as_written(explained.getvalue())
    host_id = example.ids["targets"][1]
    in_force = example.ask(f"targets/{host_id}/alert-rules/effective")["rules"]
    printed["effective rules of web-1"] = example.as_written(json.dumps(in_force, indent=2))
    for layout in ("per-scope", "consolidated"):
        settings.PROMETHEUS_RULE_LAYOUT = layout
        printed[f"files, {layout}"] = files()
    shown = {block.title: block for block in blocks(CONCEPTS.read_text("utf-8")) if block.title}
    assert shown, "the document shows nothing"
    assert shown.keys() <= printed.keys()
    for title, block in shown.items():
        same(CONCEPTS, block, printed[title])
