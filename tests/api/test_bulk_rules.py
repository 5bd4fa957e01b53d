"""``POST /alert-rules/bulk``: many rules, all or nothing, one list of what is wrong."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from alerts.actions import bulk_rules
from alerts.api import errors, parsers
from alerts.models import AlertRule, PolicyState
from tests.api.conftest import Caller

BULK = "alert-rules/bulk"


def rule(external_id: str, **values: Any) -> dict[str, Any]:
    return {"external_id": external_id, "name": f"Rule {external_id}", "query_template": "up == 0", **values}


def test_rules_are_made_and_written_anew(admin: Caller, world: SimpleNamespace) -> None:
    first = admin.post(BULK, {"rules": [rule("a", priority=7), rule("b", group_id=world.berlin["id"])]})
    assert first.status == 200
    assert first.json == {"created": 2, "updated": 0, "unchanged": 0, "ids": first.json["ids"]}
    second = admin.post(BULK, {"rules": [rule("c"), rule("b", group_id=world.berlin["id"]), rule("a")]})
    assert (second.json["created"], second.json["updated"], second.json["unchanged"]) == (1, 1, 1)
    assert second.json["ids"][1:] == first.json["ids"][::-1]
    shown = admin.get(f"alert-rules/{first.json['ids'][0]}").json
    assert (shown["priority"], shown["version"], shown["external_id"]) == (100, 2, "a")


def test_what_was_read_can_be_sent_back(admin: Caller, world: SimpleNamespace) -> None:
    admin.post(BULK, {"rules": [rule("a", severity="warning", config={"for_duration": "5m"}), rule("b", enabled=None)]})
    listed = [row for row in admin.get("alert-rules?page_size=100").json["results"] if row["external_id"]]
    again = admin.post(BULK, {"rules": listed})
    assert again.json["unchanged"] == 2


def test_all_that_is_wrong_is_told_at_once(admin: Caller, world: SimpleNamespace) -> None:
    before = AlertRule.objects.count(), PolicyState.current()
    answer = admin.post(
        BULK,
        {
            "rules": [
                rule("a", priority="high", colour="red"),
                rule("b"),
                rule("b"),
                rule("c", query_template="sum("),
                {"name": "none"},
                {**rule("d"), "external_id": None},
                7,
                rule("e", group_id=10**6),
                rule(""),
                rule("f", group_id=world.berlin["id"], query_template='up{site="elsewhere"}'),
                rule("g", name="Rule a", group_id=world.berlin["id"]),
            ]
        },
    )
    assert answer.status == 400
    assert set(answer.pointers) == {
        "/rules/0/priority",
        "/rules/0/colour",
        "/rules/2/external_id",
        "/rules/3/query_template",
        "/rules/4/external_id",
        "/rules/5/external_id",
        "/rules/6",
        "/rules/7/group_id",
        "/rules/8/external_id",
        "/rules/9/query_template",
    }
    assert (AlertRule.objects.count(), PolicyState.current()) == before


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({}, "/rules", "required"),
        ({"rules": []}, "/rules", "at least 1"),
        ({"rules": {}}, "/rules", "list"),
        ({"rules": None}, "/rules", "null"),
        ({"rules": [rule("a")], "force": True}, "/force", "no such field"),
        ({"rules": [{}] * (bulk_rules.MOST_RULES + 1)}, "/rules", "has 10,001 rules, at most 10,000 are allowed"),
    ],
    ids=["nothing", "no rules", "an object", "null", "an unknown field", "too many"],
)
def test_other_bodies_are_refused(admin: Caller, body: dict[str, Any], pointer: str, words: str) -> None:
    answer = admin.post(BULK, body)
    (error,) = answer.problem["errors"]
    assert (answer.status, error["pointer"]) == (400, pointer)
    assert words in error["message"]


def test_of_many_objections_some_hundred_are_listed_and_all_counted(admin: Caller) -> None:
    answer = admin.post(BULK, {"rules": [rule(str(number), priority="x") for number in range(1000)]})
    assert (answer.status, len(answer.pointers), answer.problem["error_count"]) == (400, errors.MAX_ENTRIES, 1000)


def test_a_place_that_is_taken_is_a_conflict(admin: Caller, world: SimpleNamespace) -> None:
    values = rule("a", name="HighLoad", group_id=world.berlin["id"])
    answer = admin.post(BULK, {"rules": [rule("b"), values]})
    assert (answer.status, answer.pointers, answer.codes) == (409, ["/rules/1/key"], ["taken"])
    assert answer.problem["type"] == "urn:config-server:problem:taken", "as for one rule"


def test_a_dry_run_and_a_repetition(admin: Caller) -> None:
    body = {"rules": [rule("a")]}
    tried = admin.post(f"{BULK}?dry_run=true", body)
    assert tried.json == {"created": 1, "updated": 0, "unchanged": 0, "ids": [None]}
    assert not AlertRule.objects.exists()
    made = admin.post(BULK, body, idempotency_key="k")
    again = admin.post(BULK, body, idempotency_key="k")
    assert again.json == made.json
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("discovery", 403), (None, 401), ("editor", 200)])
def test_editors_write(caller: Callable[[str | None], Caller], role: str | None, status: int) -> None:
    assert caller(role).post(BULK, {"rules": [rule("a")]}).status == status


def test_a_body_may_have_sixteen_mebibytes_here(admin: Caller) -> None:
    body = json.dumps({"rules": [rule("a")]}).encode()
    assert admin.post(BULK, raw=body + b" " * (parsers.MAX_BULK_BODY - len(body))).status == 200
    assert admin.post(BULK, raw=body + b" " * (parsers.MAX_BULK_BODY - len(body) + 1)).status == 413
    assert admin.post("alert-rules", raw=body + b" " * parsers.MAX_BODY).status == 413


@pytest.mark.parametrize("raw", [b"{},", b"[],", b"1,", b'"",'], ids=["objects", "arrays", "numbers", "texts"])
def test_a_body_of_nothing_but_values_is_not_read(admin: Caller, raw: bytes) -> None:
    body = b'{"rules": [' + raw * (parsers.MAX_VALUES + 1) + b"1]}"
    assert admin.post(BULK, raw=body).status == 413


STRANGE = b"{" + b",".join(b'"%x":1' % number for number in range(300_000)) + b"}"


def rule_with(name: bytes) -> bytes:
    return b'{"external_id": "a", "name": "a", "query_template": "up", "%s": %s}' % (name, STRANGE)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'{"rules": [' + b"1," * 300_000 + b"1]}", id="too many, none a rule"),
        pytest.param(b'{"rules": [' + STRANGE + b"]}", id="a rule of unknown fields"),
        pytest.param(b'{"rules": [' + rule_with(b"config") + b"]}", id="a config of unknown fields"),
        pytest.param(b'{"rules": [' + rule_with(b"default_config") + b"]}", id="a default config of unknown fields"),
        pytest.param(b'{"rules": [' + b'"\\u0000",' * 300_000 + b"1]}", id="texts that cannot be stored"),
        pytest.param(b'{"rules": [' + b"{}," * 9_000 + b"{}]}", id="rules that say nothing"),
    ],
)
def test_a_large_body_of_faults_takes_little_more_than_reading_it(admin: Caller, raw: bytes) -> None:
    start = time.process_time()
    answer = admin.post(BULK, raw=raw)
    assert time.process_time() - start < 6  # to list them all took a minute, and 2 GB
    assert answer.status == 400
    assert len(answer.content) < 100_000
