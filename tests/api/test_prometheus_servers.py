"""Prometheus servers over HTTP: the same machinery as for the other objects, and what is particular to them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts.models import PolicyState, PrometheusServer, Release, ServerState
from tests.api.conftest import Caller
from tests.api.test_races import at_once

PATH = "prometheus-servers"
URL = "http://127.0.0.1:9"
LEAST: dict[str, Any] = {"name": "least", "url": URL}
DEFAULTS: dict[str, Any] = {
    "description": "",
    "delivery": "directory",
    "rule_dir": "",
    "layout": "",
    "selector": {},
    "auth": {},
    "tls": {},
    "enabled": True,
    "flavour": None,
    "prometheus_version": None,
    "external_id": None,
}
FULL: dict[str, Any] = {
    "name": "full.eu-1",
    "description": "  Äöü \n",
    "url": URL + "/prometheus",
    "rule_dir": "deep/below",
    "layout": "consolidated",
    "selector": {"environment": {"not_in": [""]}},
    "auth": {"type": "bearer", "token_file": "eu/token"},
    "tls": {"ca_file": "ca.pem", "server_name": "prometheus.example"},
    "enabled": False,
    "external_id": "ext-1",
}


@pytest.fixture(autouse=True)
def root(settings: Any, tmp_path: Path) -> Path:
    settings.PROMETHEUS_RULE_ROOTS = (str(tmp_path),)
    settings.PROMETHEUS_ALLOWED_HOSTS = ("127.0.0.1",)
    return tmp_path


def test_what_is_left_out_gets_its_default(admin: Caller) -> None:
    answer = admin.post(PATH, LEAST)
    assert (answer.status, answer.headers["ETag"]) == (201, '"v1"')
    made = answer.json
    assert {name: made[name] for name in DEFAULTS} == DEFAULTS
    assert admin.get(answer.headers["Location"]).json == made


def test_values_come_back_as_they_were_written(admin: Caller) -> None:
    made = admin.make(PATH, **FULL)
    listed = admin.get(f"{PATH}?name=full.eu-1").json["results"]
    for shown in (made, admin.get(f"{PATH}/{made['id']}").json, *listed):
        assert {name: shown[name] for name in FULL} == FULL
    assert len(listed) == 1


def test_put_resets_what_it_leaves_out_and_patch_does_not(admin: Caller) -> None:
    made = admin.make(PATH, **FULL)
    address = f"{PATH}/{made['id']}"
    changed = admin.patch(address, {"description": "x"}).json
    assert changed["status"].pop("revision") == made["status"].pop("revision") + 1
    assert changed == {**made, "description": "x", "version": 2, "updated_at": changed["updated_at"]}
    reset = admin.put(address, {"url": URL}).json
    assert {name: reset[name] for name in DEFAULTS} == DEFAULTS
    assert reset["name"] == FULL["name"]


def test_answer_can_be_sent_back_as_it_came(admin: Caller) -> None:
    made = admin.make(PATH, **FULL)
    answer = admin.put(f"{PATH}/{made['id']}", {**made, "id": 99, "version": 99, "status": None})
    assert (answer.status, answer.json) == (200, made)
    assert admin.post(PATH, {**made, "rule_dir": "other"}).status == 409


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("name", value) for value in (None, 1, "", "A", "a b", "../a", ".", "-", "x" * 101, "é", "a\n", ["a"])),
        *(("description", value) for value in (None, 1, "x" * 10_001)),
        *(("url", value) for value in (None, 1, "", "nowhere", "ftp://127.0.0.1", "file:///etc/passwd", "http://")),
        *(("url", value) for value in ("http://user:hunter2@127.0.0.1", "http://127.0.0.1 x", "http://" + "x" * 500)),
        *(("url", value) for value in ("http://169.254.169.254/", "http://example.org", "http://0x7f.2:9")),
        *(("delivery", value) for value in (None, 1, "", "push", "Agent")),
        *(("rule_dir", value) for value in (None, 1, "..", "/etc", "a/../../b", "/", "x" * 501)),
        *(("layout", value) for value in (None, 1, "flat")),
        *(("selector", value) for value in (None, 1, [], "x", {"nowhere": ["x"]}, {"environment": "x"})),
        *(("selector", value) for value in ({"environment": []}, {"environment": ["nowhere"]}, {"environment": [1]})),
        *(("selector", value) for value in ({"environment": {"in": [""]}}, {"environment": None}, {"": [""]})),
        *(("auth", value) for value in (None, 1, [], {"type": "x"}, {"type": "bearer"}, {"token": "hunter2"})),
        *(("auth", value) for value in ({"type": "bearer", "token_file": "../x"}, {"type": "basic", "username": "x"})),
        ("auth", {"type": "bearer", "token_variable": "HOME"}),
        *(("tls", value) for value in (None, 1, [], {"insecure": True}, {"ca_file": "/etc/passwd"}, {"ca_file": 1})),
        *(("enabled", value) for value in (None, 1, "true")),
        ("external_id", 1),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_wrong_value_is_refused_where_it_stands_and_stores_nothing(
    admin: Caller, method: str, field: str, value: Any
) -> None:
    made = admin.make(PATH, name="there", url=URL)
    revision = PolicyState.current()
    body = {**LEAST, field: value} if method == "POST" else {field: value}
    answer = admin(method, PATH if method == "POST" else f"{PATH}/{made['id']}", body)
    assert answer.status == 400, answer.content
    assert all(pointer == f"/{field}" or pointer.startswith(f"/{field}/") for pointer in answer.pointers), answer.json
    assert PolicyState.current() == revision
    assert b"hunter2" not in answer.content


def test_all_that_is_wrong_is_said_at_once(admin: Caller) -> None:
    wrong = {"name": "a", "url": "http://example.org", "rule_dir": "/etc", "selector": {"x": ["y"]}, "tls": {"y": 1}}
    answer = admin.post(PATH, wrong)
    assert {pointer.split("/")[1] for pointer in answer.pointers} == {"url", "rule_dir", "selector", "tls"}


def test_shared_directory_and_taken_name_are_conflicts(admin: Caller) -> None:
    admin.make(PATH, name="a", url=URL)
    taken = admin.post(PATH, {"name": "a", "url": URL, "rule_dir": "b"})
    assert (taken.status, taken.pointers) == (409, ["/name"])
    shared = admin.post(PATH, {"name": "b", "url": URL, "rule_dir": "a/b"})
    assert (shared.status, shared.pointers, shared.codes) == (409, ["/rule_dir"], ["rule_dir_taken"])


def test_name_is_fixed(admin: Caller) -> None:
    made = admin.make(PATH, **LEAST)
    for method in ("PUT", "PATCH"):
        answer = admin(method, f"{PATH}/{made['id']}", {**LEAST, "name": "other"})
        assert (answer.status, answer.pointers) == (400, ["/name"])


def test_server_dies_comes_back_and_is_purged(admin: Caller) -> None:
    made = admin.make(PATH, **LEAST)
    address, ids = f"{PATH}/{made['id']}", {"ids": [made["id"]]}
    assert admin.delete(f"{address}?dry_run=true").status == 204
    assert admin.delete(address, if_match='"v7"').status == 412
    assert admin.delete(address, if_match='"v1"').status == 204
    assert admin.get(address).status == 404
    assert admin.get(f"{address}?deleted=include").json["deleted_at"] is not None
    assert admin.post(f"{PATH}/restore", ids).json == ids
    assert admin.post(f"{PATH}/purge", ids).status == 409
    assert admin.post(f"{PATH}/delete", ids).json == ids
    assert admin.post(f"{PATH}/purge", ids).json == ids
    assert admin.get(f"{address}?deleted=include").status == 404


def test_dry_run_judges_and_stores_nothing(admin: Caller) -> None:
    revision = PolicyState.current()
    answer = admin.post(f"{PATH}?dry_run=true", FULL)
    assert (answer.status, answer.json["id"], answer.json["selector"]) == (200, None, FULL["selector"])
    assert admin.post(f"{PATH}?dry_run=true", {**FULL, "rule_dir": "/etc"}).status == 400
    assert PolicyState.current() == revision
    assert admin.get(f"{PATH}?name=full.eu-1").json["count"] == 0


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_only_admins_write(caller: Callable[..., Caller], admin: Caller, role: str) -> None:
    made = admin.make(PATH, **LEAST)
    someone, address = caller(role), f"{PATH}/{made['id']}"
    assert someone.get(PATH).status == someone.get(address).status == 200
    assert someone.get(f"{PATH}/findings").status == 200
    refused = [
        someone.post(PATH, {**LEAST, "name": "x"}),
        someone.put(address, LEAST),
        someone.patch(address, {"enabled": False}),
        someone.delete(address),
        *(someone.post(f"{PATH}/{verb}", {"ids": [made["id"]]}) for verb in ("delete", "restore", "purge")),
        *(someone.post(f"{address}/{verb}") for verb in ("reload", "resume")),
    ]
    assert [answer.status for answer in refused] == [403] * len(refused)
    assert admin.get(address).json == made


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["a", "b", "default"]),
        ("name=b", ["b"]),
        ("delivery=agent", ["b"]),
        ("enabled=false", ["a"]),
        ("enabled=true&delivery=directory", ["default"]),
        ("search=LONDON", ["b"]),
        ("search=127.0.0.1:9/x", ["a"]),
        ("ordering=-name", ["default", "b", "a"]),
        ("ordering=-delivery,enabled&page_size=2", ["a", "default"]),
        ("deleted=only", ["c"]),
    ],
)
def test_servers_are_filtered_searched_and_ordered(admin: Caller, query: str, names: list[str]) -> None:
    admin.make(PATH, name="a", url=URL + "/x", enabled=False)
    admin.make(PATH, name="b", url=URL, delivery="agent", description="In London.")
    admin.delete(f"{PATH}/{admin.make(PATH, name='c', url=URL)['id']}")
    assert [row["name"] for row in admin.get(f"{PATH}?{query}").json["results"]] == names


@pytest.mark.parametrize("query", ["enabled=null", "enabled=1", "delivery=push", "ordering=selector", "server=x"])
def test_wrong_parameter_is_refused(admin: Caller, query: str) -> None:
    assert admin.get(f"{PATH}?{query}").status == 400


# ------------------------------------------------------------------------------------------------ status


def verified(server: str, revision: int) -> Release:
    return Release.objects.create(server=server, revision=revision, state="verified", verified_at=timezone.now())


@pytest.mark.parametrize(
    ("row", "state", "in_sync", "why"),
    [
        ({}, {}, True, None),
        ({}, {"behind": 1}, False, "A change is on its way."),
        ({}, {"loaded_release": None}, False, "Nothing was delivered"),
        ({}, {"pinned": True}, False, "pinned to release"),
        ({}, {"last_error": {"code": "x", "message": "no space left"}, "failures": 3}, False, "no space left"),
        ({"enabled": False}, {}, False, "disabled"),
        ({"delivery": "agent"}, {}, False, "never seen"),
        ({"delivery": "agent"}, {"agent_seen_at": timedelta(hours=1)}, False, "not been seen for a while"),
        ({"delivery": "agent"}, {"agent_seen_at": timedelta(0)}, True, None),
    ],
)
def test_status_says_what_is_loaded_since_when_and_why_not_more(
    admin: Caller, row: dict[str, Any], state: dict[str, Any], in_sync: bool, why: str | None
) -> None:
    made = admin.make(PATH, **{**LEAST, **row})
    revision = PolicyState.current()
    release = verified("least", revision)
    values: dict[str, Any] = {"loaded_release": release, "flavour": "vmalert", "prometheus_version": "1.2", **state}
    values["loaded_revision"] = revision - values.pop("behind", 0)
    values["pinned_release"] = release if values.pop("pinned", False) else None
    if "agent_seen_at" in values:
        values["agent_seen_at"] = timezone.now() - values["agent_seen_at"]
    ServerState.objects.create(name="least", **values)
    shown = admin.get(f"{PATH}/{made['id']}").json
    status = shown["status"]
    assert (status["in_sync"], status["revision"]) == (in_sync, revision)
    assert status["loaded_revision"] == values["loaded_revision"]
    assert (status["loaded_since"] is None) == (values["loaded_release"] is None)
    assert status["why"] is None if why is None else why in status["why"]
    assert (status["failures"], bool(status["error"])) == (values.get("failures", 0), "last_error" in state)
    assert (shown["flavour"], shown["prometheus_version"]) == ("vmalert", "1.2")


def test_list_with_status_costs_the_same_for_many_servers(admin: Caller) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert admin.get(PATH).status == 200
        return len(captured)

    admin.get(PATH)
    few = queries()
    for number in range(8):
        admin.make(PATH, name=f"s{number}", url=URL)
        ServerState.objects.create(name=f"s{number}", loaded_release=verified(f"s{number}", 1))
    assert queries() == few <= 4


def test_what_changes_without_a_new_version_is_sent_again(admin: Caller) -> None:
    address = f"{PATH}/{admin.make(PATH, **LEAST)['id']}"
    assert admin.get(address, if_none_match='"v1"').status == 200
    assert admin.patch(address, {"description": "x"}, if_match='"v1"').status == 200


# ------------------------------------------------------------------------------------------------ one of several


@pytest.mark.parametrize("path", ["plan", "prometheus/status", "prometheus/rules/files"])
def test_query_names_a_server(admin: Caller, path: str) -> None:
    admin.make(PATH, name="eu", url=URL)
    assert admin.get(f"{path}?server=eu").status == 200
    assert admin.get(f"{path}?server=default").status == 200
    answer = admin.get(f"{path}?server=nowhere")
    assert (answer.status, answer.problem["errors"][0]["parameter"]) == (404, "server")
    admin.delete(f"{PATH}/{PrometheusServer.objects.get(name='eu').pk}")
    assert admin.get(f"{path}?server=eu").status == 404


def test_status_of_one_server_is_about_that_one(admin: Caller) -> None:
    made = admin.make(PATH, name="eu", url=URL)
    assert admin.get(f"{PATH}/{made['id']}/status").json["server"] == "eu"
    assert admin.get("prometheus/status?server=eu").json["server"] == "eu"
    assert admin.get("prometheus/status").json["server"] == "default"
    for verb in ("status", "regenerate", "reload", "resume"):
        answer = admin("GET" if verb == "status" else "POST", f"{PATH}/999/{verb}")
        assert answer.status == 404


def test_a_release_is_asked_for_at_one_server(admin: Caller) -> None:
    made = admin.make(PATH, name="eu", url=URL)
    one = admin.post(f"{PATH}/{made['id']}/regenerate")
    assert (one.status, one.json["server"]) == (202, "eu")
    other = admin.post("prometheus/rules/regenerate?server=eu")
    assert other.json["id"] == one.json["id"]
    assert admin.post("prometheus/rules/regenerate").json["server"] == "default"
    assert admin.post("prometheus/rules/regenerate?server=nowhere").status == 404
    assert [row["server"] for row in admin.get("releases?server=eu").json["results"]] == ["eu"]
    admin.delete(f"{PATH}/{made['id']}")
    assert admin.get("releases?server=eu").json["count"] == 1, "releases of a deleted server stay"
    assert admin.get("releases?server=nowhere").problem["errors"][0]["parameter"] == "server"


def test_nothing_is_asked_of_a_server_that_is_switched_off(admin: Caller) -> None:
    made = admin.make(PATH, name="eu", url=URL, enabled=False)
    answer = admin.post(f"{PATH}/{made['id']}/regenerate")
    assert (answer.status, answer.codes) == (409, ["server_disabled"])
    release = verified("eu", 1)
    assert admin.post(f"releases/{release.pk}/rollback").codes == ["server_disabled"]
    assert not ServerState.objects.filter(pinned_release=release).exists()
    assert admin.get(f"{PATH}/{made['id']}/status").status == 200


def test_an_agents_server_is_not_ours_to_reload(admin: Caller) -> None:
    made = admin.make(PATH, name="eu", url=URL, delivery="agent")
    assert admin.post(f"{PATH}/{made['id']}/reload").codes == ["fed_by_agent"]
    assert admin.get(f"{PATH}/{made['id']}/status").json["server"] == "eu"
    assert admin.post(f"{PATH}/{made['id']}/resume").status == 200


def test_answers_without_a_default_server_are_no_faults_of_ours(admin: Caller) -> None:
    admin.delete(f"{PATH}/{PrometheusServer.objects.get(name='default').pk}")
    for path in ("plan", "prometheus/status", "prometheus/rules/files"):
        assert admin.get(path).status == 404
    for path in ("prometheus/rules/regenerate", "prometheus/reload", "prometheus/resume"):
        assert admin.post(path).status == 404


def test_effective_tells_of_the_servers_that_hold_a_place(admin: Caller) -> None:
    environment = admin.get("namespaces?name=environment").json["results"][0]["id"]
    eu = admin.make("groups", name="eu", namespace=environment)
    us = admin.make("groups", name="us", namespace=environment)
    target = admin.make("targets", hostname="t", groups=[eu["id"]])
    admin.make("alert-rules", name="Down", query_template="up == 0")
    admin.patch(f"{PATH}/{PrometheusServer.objects.get(name='default').pk}", {"selector": {"environment": ["us"]}})
    admin.make(PATH, name="eu", url=URL, selector={"environment": ["eu"]})
    for address in (f"targets/{target['id']}", f"groups/{eu['id']}"):
        here = admin.get(f"{address}/alert-rules/effective").json
        assert [server["name"] for server in here["servers"]] == ["eu"]
        assert [rule["expr"] for rule in here["rules"]] == ['up{environment="eu"} == 0']
        assert admin.get(f"{address}/alert-rules/effective?server=eu").json["rules"] == here["rules"]
        assert admin.get(f"{address}/alert-rules/effective?server=default").json["rules"] == []
        assert admin.get(f"{address}/alert-rules/effective?server=nowhere").status == 404
        assert admin.get(f"{address}/alert-rules/trace?server=eu").status == 200
    assert admin.get(f"groups/{us['id']}/alert-rules/effective").json["servers"][0]["name"] == "default"


def test_rules_that_need_several_servers_are_told(admin: Caller) -> None:
    environment = admin.get("namespaces?name=environment").json["results"][0]["id"]
    for name in ("eu", "us", "asia"):
        admin.make("groups", name=name, namespace=environment)
    rule = admin.make("alert-rules", name="Few", query_template="count(up) < 3")
    admin.make("alert-rules", name="Down", query_template="up == 0")
    assert admin.get(f"{PATH}/findings").json["needs_several_servers"] == []
    admin.patch(f"{PATH}/{PrometheusServer.objects.get(name='default').pk}", {"selector": {"environment": ["us"]}})
    admin.make(PATH, name="eu", url=URL, selector={"environment": ["eu"]})
    found = admin.get(f"{PATH}/findings").json
    assert [(one["key"], one["rule_id"], one["servers"]) for one in found["needs_several_servers"]] == [
        ("Few", rule["id"], ["default", "eu"])
    ]
    assert [gap["region"] for gap in found["gaps"]] != []


# ------------------------------------------------------------------------------------------------ races


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("field", "bodies"),
    [
        ("/name", [{"name": "same", "rule_dir": f"d{number}"} for number in range(5)]),
        ("/external_id", [{"name": f"s{number}", "external_id": "same"} for number in range(5)]),
        ("/rule_dir", [{"name": f"s{number}", "rule_dir": "same/" + "x/" * number} for number in range(5)]),
    ],
)
def test_what_only_one_may_have_is_given_once(
    caller: Callable[..., Caller], field: str, bodies: list[dict[str, Any]]
) -> None:
    admin = caller("admin")
    answers = at_once(admin.token, [("POST", PATH, {"url": URL, **body}, {}) for body in bodies])
    assert sorted(answer.status for answer in answers) == [201, 409, 409, 409, 409]
    assert {pointer for answer in answers if answer.status == 409 for pointer in answer.pointers} == {field}


@pytest.mark.django_db(transaction=True)
def test_one_of_many_updates_with_a_version_wins(caller: Callable[..., Caller]) -> None:
    admin = caller("admin")
    address = f"{PATH}/{admin.make(PATH, **LEAST)['id']}"
    requests = [("PATCH", address, {"description": f"d{n}"}, {"if_match": '"v1"'}) for n in range(5)]
    assert sorted(answer.status for answer in at_once(admin.token, requests)) == [200, 412, 412, 412, 412]
