"""Rules from a file: read as the API reads a body, refused where it would refuse, with all that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command

from alerts.models import AlertRule
from tests.actions.test_bulk_rules import UP, item


def test_a_file_of_rules_is_imported(
    world: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"rules": [item("a", name="A", **UP), item("b", name="B", **UP)]}))
    call_command("import_rules", str(file), "--dry-run")
    assert not AlertRule.objects.filter(external_id="a").exists()
    call_command("import_rules", str(file))
    call_command("import_rules", str(file))
    assert capsys.readouterr().out.splitlines()[1:] == [
        "2 created, 0 updated, 0 unchanged",
        "0 created, 0 updated, 2 unchanged",
    ]


@pytest.mark.parametrize("text", ["", "[]", '{"rules": 1}', '{"rules": [1]}', '{"rules": [{"name": "A"}]}'])
def test_a_file_of_something_else_is_refused(world: SimpleNamespace, tmp_path: Path, text: str) -> None:
    file = tmp_path / "rules.json"
    file.write_text(text)
    with pytest.raises(CommandError):
        call_command("import_rules", str(file))


def test_all_that_is_wrong_with_a_file_is_told_at_once(
    world: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rules.json"
    faulty = item("a", name="A", **UP) | {"priority": "high", "enabled": 3, "colour": "red"}
    file.write_text(json.dumps({"rules": [faulty, item("b", name="B", query_template="sum(")]}))
    with pytest.raises(CommandError, match="nothing was written: 4 objections"):
        call_command("import_rules", str(file))
    told = capsys.readouterr().err
    pointers = {line.partition(":")[0] for line in told.splitlines()}
    assert pointers == {"/rules/0/priority", "/rules/0/enabled", "/rules/0/colour", "/rules/1/query_template"}


@pytest.mark.parametrize(
    ("text", "told", "why"),
    [
        ('{"rules": [{"external_id": "a", "name": "A", "name": "B"}]}', "/rules/0/name: the key 'name' is", "twice"),
        ('{"rules": [{"external_id": "a", "name": "A"}]', "", "not JSON"),
        ("[" * 100_000, "", "nested deeper"),
        ('{"rules": [], "more": 1}', "/more: ", "objections"),
        (" " * (16 * 2**20 + 1), "", "more than 16 MiB"),
    ],
    ids=["a key twice", "cut off", "deep", "more than rules", "large"],
)
def test_a_file_is_judged_as_a_request_is(
    world: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, told: str, why: str
) -> None:
    file = tmp_path / "rules.json"
    file.write_text(text)
    with pytest.raises(CommandError, match=why):
        call_command("import_rules", str(file))
    assert told in capsys.readouterr().err
    assert not AlertRule.objects.filter(external_id="a").exists()
