"""Releases by API, on a real Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from alerts.actions import policy
from alerts.models import Release
from tests.api.conftest import Caller

BRIEF = {
    *("id", "server", "revision", "state", "trigger", "content_hash", "layout", "rule_count", "changed", "changes"),
    *("errors", "warnings", "timings", "last_good", "created_at", "finished_at", "activated_at", "verified_at"),
}


@pytest.fixture
def prometheus(rule_dir: Path, settings: Any, promtool: Path, start_prometheus: Callable[..., Any]) -> Any:
    """A Prometheus that loads what this test delivers."""
    server = start_prometheus(rule_dir=rule_dir)
    settings.PROMETHEUS_URL = server.url
    settings.PROMTOOL_PATH = str(promtool)
    return server


def regenerate(admin: Caller) -> dict[str, Any]:
    answer = admin.post("prometheus/rules/regenerate?wait=true&timeout=30")
    assert answer.status == 200, answer.content
    return answer.json


# ------------------------------------------------------------------------------------------------ asking


def test_release_is_asked_for_and_left_to_a_worker(admin: Caller, world: SimpleNamespace) -> None:
    answer = admin.post("prometheus/rules/regenerate")
    assert answer.status == 202
    assert (answer.json["state"], answer.json["changed"]) == ("pending", True)
    assert answer.headers["Location"] == f"/api/v1/releases/{answer.json['id']}"
    assert admin.get(answer.headers["Location"]).json == answer.json
    again = admin.post(f"prometheus/rules/regenerate/{world.berlin['id']}")
    assert (again.status, again.headers["Location"]) == (202, answer.headers["Location"])


def test_group_that_asks_must_be_there(admin: Caller, world: SimpleNamespace) -> None:
    for group_id in (999, world.live["id"]):
        if group_id != 999:
            admin.delete(f"targets/{world.web['id']}")
            admin.delete(f"groups/{group_id}")
        assert admin.post(f"prometheus/rules/regenerate/{group_id}").problem["status"] == 404
    assert not Release.objects.exists()


def test_failed_release_says_why(admin: Caller, world: SimpleNamespace, settings: Any, tmp_path: Path) -> None:
    settings.PROMETHEUS_RULE_DIR = tmp_path / "nowhere"
    release = regenerate(admin)
    assert release["state"] == "failed"
    assert "nowhere" in release["errors"][0]["message"]
    status = admin.get("prometheus/status").json
    assert (status["in_sync"], status["failures"]) == (False, 1)
    assert status["error"]


def test_api_keeps_working_without_prometheus(admin: Caller, world: SimpleNamespace, rule_dir: Path) -> None:
    assert regenerate(admin)["state"] == "failed"
    assert admin.get("prometheus/status").json["error"]
    assert admin.get(f"targets/{world.web['id']}/alert-rules/effective").json["in_sync"] is False
    assert admin.patch(f"alert-rules/{world.rule['id']}", {"enabled": False}).status == 200


def test_reload_without_prometheus_is_unavailable(admin: Caller) -> None:
    answer = admin.post("prometheus/reload")
    assert answer.status == 503
    assert answer.problem["type"].endswith(":prometheus_unavailable")


def test_nothing_in_force_has_no_files(admin: Caller) -> None:
    assert admin.get("prometheus/rules/files").json == {"release": None, "files": []}
    assert admin.get("prometheus/rules/files/global.yml").problem["status"] == 404


@pytest.mark.parametrize("path", ["releases/999", "releases/999/rollback"])
def test_unknown_release_is_not_found(admin: Caller, path: str) -> None:
    assert admin("POST" if path.endswith("rollback") else "GET", path).problem["status"] == 404


# ------------------------------------------------------------------------------------------------ delivering


@pytest.mark.slow
def test_policy_is_planned_delivered_and_shown(admin: Caller, world: SimpleNamespace, prometheus: Any) -> None:
    plan = admin.get("plan").json
    assert (plan["empty"], plan["counts"]["added"]) == (False, 1)
    assert Release.objects.count() == 0

    release = regenerate(admin)
    assert (release["state"], release["changed"], release["rule_count"], release["errors"]) == ("verified", True, 1, [])
    assert admin.get("plan").json["empty"] is True
    unchanged = regenerate(admin)
    assert (unchanged["id"], unchanged["changed"]) == (release["id"], False)
    assert admin.post("prometheus/rules/regenerate").status == 200

    listed = admin.get("releases").json
    assert listed["count"] == 1
    assert listed["results"][0].keys() == BRIEF
    assert admin.get("releases?state=verified").json["count"] == 1
    assert admin.get("releases?state=failed").json["count"] == 0
    newest = [release["id"] for release in admin.get("releases").json["results"]]
    oldest = [release["id"] for release in admin.get("releases?ordering=id").json["results"]]
    assert oldest == newest[::-1] == sorted(newest)
    assert admin.get("releases?ordering=files").status == 400
    shown = admin.get(f"releases/{release['id']}").json
    assert shown.keys() == BRIEF | {"files"}

    files = admin.get("prometheus/rules/files").json
    assert files["release"] == release["id"]
    (file,) = files["files"]
    content = admin.get(f"prometheus/rules/files/{file['name']}")
    assert content.headers["Content-Type"].startswith("text/plain")
    assert (b"HighLoad" in content.content, len(content.content)) == (True, file["size"])
    assert admin.get("prometheus/rules/files/other.yml").status == 404

    status = admin.get("prometheus/status").json
    assert (status["in_sync"], status["pinned"], status["drift"], status["error"]) == (True, None, [], None)
    effective = admin.get(f"targets/{world.web['id']}/alert-rules/effective").json
    assert (effective["in_sync"], effective["target"]) == (True, "web-1")
    (rule,) = effective["rules"]
    assert (rule["name"], rule["file"], rule["in_force"]) == ("HighLoad", file["name"], "current")
    assert rule["source"] == {"rule_id": world.rule["id"], "scope": "site/berlin"}
    assert admin.post("prometheus/reload").json["in_sync"] is True


@pytest.mark.slow
def test_going_back_pins_until_resumed(admin: Caller, world: SimpleNamespace, prometheus: Any) -> None:
    first = regenerate(admin)
    admin.patch(f"alert-rules/{world.rule['id']}", {"query_template": "load1 > 5"})
    second = regenerate(admin)
    assert second["content_hash"] != first["content_hash"]

    back = admin.post(f"releases/{first['id']}/rollback")
    assert back.status == 200, back.content
    assert (back.json["state"], back.json["content_hash"]) == ("verified", first["content_hash"])
    assert admin.get("prometheus/status").json["pinned"] == first["id"]
    admin.patch(f"alert-rules/{world.rule['id']}", {"query_template": "load1 > 6"})
    assert regenerate(admin)["content_hash"] == first["content_hash"]
    assert admin.get(f"targets/{world.web['id']}/alert-rules/effective").json["pinned"] == first["id"]

    resumed = admin.post("prometheus/resume").json
    assert (resumed["pinned"], resumed["in_sync"]) == (None, True)
    (file,) = admin.get("prometheus/rules/files").json["files"]
    assert b"> 6" in admin.get(f"prometheus/rules/files/{file['name']}").content


@pytest.mark.slow
def test_release_that_was_never_verified_is_nothing_to_go_back_to(
    admin: Caller, world: SimpleNamespace, prometheus: Any
) -> None:
    pending = admin.post("prometheus/rules/regenerate").json
    answer = admin.post(f"releases/{pending['id']}/rollback")
    assert (answer.status, answer.codes) == (409, ["never_verified"])
    assert admin.get("prometheus/status").json["pinned"] is None


# ------------------------------------------------------------------------------------------------ effective, trace


def test_effective_and_trace_of_a_group_are_those_of_a_target_there(admin: Caller, world: SimpleNamespace) -> None:
    admin.make("alert-rules", key="HighLoad", group_id=world.live["id"], config={"for_duration": "5m"})
    admin.make("alert-rules", key="HighLoad", target_id=world.web["id"], config={"labels": {"team": "web"}})
    admin.make("alert-rules", name="Muted", query_template="up == 0", enabled=False)
    policy.forget()
    at_target = admin.get(f"targets/{world.web['id']}/alert-rules/effective").json
    (rule,) = at_target["rules"]
    assert (rule["key"], rule["for_duration"], rule["labels"]["team"]) == ("HighLoad", "5m", "web")
    at_group = admin.get(f"groups/{world.berlin['id']}/alert-rules/effective?group={world.live['id']}").json
    assert at_group["target"] is None
    assert at_group["position"] == {**at_target["position"], "target": ""}
    (rule,) = at_group["rules"]
    assert (rule["for_duration"], "team" in rule["labels"]) == ("5m", False)
    keys = {key["key"]: key for key in admin.get(f"targets/{world.web['id']}/alert-rules/trace").json["keys"]}
    assert keys.keys() == {"HighLoad", "Muted"}
    assert [layer["status"] for layer in keys["HighLoad"]["layers"]] == ["applied"] * 3
    assert keys["Muted"]["layers"][0]["status"] == "disabled"
    assert keys["HighLoad"]["fields"]["for_duration"]["value"] == "5m"
    assert keys["HighLoad"]["fields"]["for_duration"]["set_by"]["scope"] == "stage/live"


@pytest.mark.parametrize("kind", ["effective", "trace"])
def test_hypothetical_place_is_judged(admin: Caller, world: SimpleNamespace, kind: str) -> None:
    address = f"groups/{world.berlin['id']}/alert-rules/{kind}"
    assert admin.get(f"{address}?group={world.europe['id']}").problem["status"] == 400
    unknown = admin.get(f"{address}?group=999").problem
    assert (unknown["status"], unknown["detail"]) == (400, "group: there is no group 999")
    assert [(error["pointer"], error["parameter"]) for error in unknown["errors"]] == [("", "group")]
    assert admin.get(f"{address}?group={world.live['id']}&group={world.berlin['id']}").status == 200
    assert admin.get(f"groups/999/alert-rules/{kind}").problem["status"] == 404
    assert admin.get(f"targets/999/alert-rules/{kind}").problem["status"] == 404
