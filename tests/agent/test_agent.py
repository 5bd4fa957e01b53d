"""The agent beside a real Prometheus: what it delivers, refuses, heals and reports."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.agent.conftest import TOKEN, Site, rules
from tests.agent.plane import ControlPlane, bundle_of
from tests.servers.binaries import find, library_path
from tests.servers.processes import eventually

pytestmark = pytest.mark.slow

UP, DOWN, ODD = rules(Up="up == 1"), rules(Down="up == 0"), rules(Odd="up % 2 == 1")


def test_what_is_offered_is_loaded_read_back_and_reported(site: Site):
    offered = site.plane.offer(bundle_of(7, UP))
    site.start()
    report = site.plane.report_on(offered)
    assert site.loaded() == {"Up"}
    assert report["content_hash"] == report["loaded_hash"] == offered["content_hash"]
    assert report["errors"] == report["drift"] == report["refusals"] == []
    assert {"stage", "promtool", "swap", "reload", "read_back"} <= report["timings"].keys()
    assert report["prometheus_version"].startswith(site.server.binaries.version)
    assert re.match(r"\d+\.\d+", report["promtool_version"])
    assert report["flavour"] == "prometheus"
    assert report["agent_version"]
    assert os.readlink(site.rule_dir / "current") == f"releases/{offered['content_hash']}"


def test_the_next_one_arrives_while_it_waits(site: Site):
    first = site.plane.offer(bundle_of(1, UP))
    site.start("--wait", "30")
    site.plane.report_on(first)
    eventually(lambda: site.plane.questions()[-1][2].get("If-None-Match") == f'"{first["content_hash"]}"')
    start = time.monotonic()
    site.plane.report_on(site.plane.offer(bundle_of(2, DOWN)))
    assert time.monotonic() - start < 5
    assert site.loaded() == {"Down"}


def test_nothing_new_is_asked_for_once_per_wait_and_changes_nothing(site: Site):
    offered = site.plane.offer(bundle_of(1, UP))
    site.start("--wait", "1", "--interval", "30")
    site.plane.report_on(offered)
    before, inode = len(site.plane.questions()), os.lstat(site.rule_dir / "current").st_ino
    time.sleep(4)
    assert 3 <= len(site.plane.questions()) - before <= 5
    assert os.lstat(site.rule_dir / "current").st_ino == inode
    assert {asked[2]["Authorization"] for asked in site.plane.asked} == {f"Bearer {TOKEN}"}


def test_a_control_plane_that_does_not_wait_is_not_asked_without_pause(site: Site):
    offered = site.plane.offer(bundle_of(1, UP))
    site.start("--wait", "0", "--interval", "30")
    site.plane.report_on(offered)
    before = len(site.plane.questions())
    time.sleep(3)
    assert len(site.plane.questions()) - before <= 4


@pytest.mark.parametrize(
    "broken",
    [
        {"content_hash": "0" * 64},
        {"files": UP | {"more.yml": "groups: []\n"}},
        {"files": {"global.yml": UP["global.yml"] + " "}},
        {"files": {"../global.yml": "groups: []\n"}},
        {"files": {"global.yml": 3}},
        {"files": ["global.yml"]},
        {"release": "9"},
        {"scope": "target/a"},
    ],
    ids=str,
)
def test_a_bundle_that_is_not_what_was_promised_is_refused(site: Site, broken):
    good = site.plane.offer(bundle_of(1, UP))
    site.start()
    site.plane.report_on(good)
    site.plane.offer(bundle_of(9, DOWN) | broken)
    report = site.plane.report_that(lambda r: [error["code"] for error in r["errors"]] == ["bundle_broken"])
    assert report["state"] == "failed"
    assert report["release"] == (9 if broken.get("release") is None else None)
    assert report["loaded_hash"] == good["content_hash"]
    assert site.loaded() == {"Up"}
    site.plane.report_on(site.plane.offer(bundle_of(10, DOWN)))
    assert site.loaded() == {"Down"}


def test_what_promtool_refuses_is_reported_and_the_old_set_stays(site: Site):
    good = site.plane.offer(bundle_of(1, UP))
    site.start()
    site.plane.report_on(good)
    bad = site.plane.offer(bundle_of(2, rules(Fine="up == 0", Wrong="sum(")))
    report = site.plane.report_on(bad, "rejected")
    (refusal,) = report["refusals"]
    assert (refusal["file"], refusal["group"], refusal["rule_index"], refusal["rule_name"]) == (
        *("global.yml", "g"),
        *(2, "Wrong"),
    )
    assert "parse error" in refusal["message"]
    assert refusal.keys() == {"file", "group", "rule_index", "rule_name", "message", "line"}
    assert report["loaded_hash"] == good["content_hash"]
    assert site.loaded() == {"Up"}
    time.sleep(1.5)
    assert sum(r["state"] == "rejected" for r in site.plane.reports) == 1, "the same refusal is not asked for again"
    site.plane.report_on(site.plane.offer(bundle_of(3, UP)))  # back to what is in force, under another name


def test_a_refused_reload_takes_the_set_back_and_is_tried_again(site: Site):
    """A rule file beside ours that Prometheus cannot load makes it refuse, which promtool cannot know."""
    site.server.rule_files.append(str(site.rule_dir.parent / "beside.yml"))
    site.server.restart()
    good = site.plane.offer(bundle_of(1, UP))
    site.start()
    site.plane.report_on(good)
    (site.rule_dir.parent / "beside.yml").write_text("groups:\n- name: g\n  rules:\n  - {alert: Bad, expr: 'sum('}\n")
    new = site.plane.offer(bundle_of(2, DOWN))
    report = site.plane.report_on(new, "rolled_back")
    assert [error["code"] for error in report["errors"]] == ["reload_refused", "rollback_incomplete"]
    assert os.readlink(site.rule_dir / "current").endswith(good["content_hash"])
    assert site.loaded() == {"Up"}
    (site.rule_dir.parent / "beside.yml").unlink()
    assert site.plane.report_on(new)["loaded_hash"] == new["content_hash"]


def edit(site: Site) -> None:
    path = site.rule_dir / "current" / "global.yml"
    path.chmod(0o644)
    path.write_text(ODD["global.yml"])
    site.server.reload()


def unlink(site: Site) -> None:
    (site.rule_dir / "current").unlink()
    site.server.reload()


def load_something_else(site: Site) -> None:
    """The disk is right, Prometheus has loaded what was there for a moment."""
    os.rename(site.rule_dir / "current", site.rule_dir / "aside")
    site.server.reload()
    os.rename(site.rule_dir / "aside", site.rule_dir / "current")


@pytest.mark.parametrize("drift", [edit, unlink, load_something_else])
def test_drift_is_healed_without_the_control_plane_and_reported_when_it_is_back(site: Site, drift):
    offered = site.plane.offer(bundle_of(4, UP))
    site.start()
    site.plane.report_on(offered)
    site.plane.stop()
    drift(site)
    site.wait_for("Up")
    assert (site.rule_dir / "current" / "global.yml").read_text() == UP["global.yml"]
    site.agent.expect("healed: release 4")
    site.plane.reports.clear()
    site.plane.start()
    report = site.plane.report_on(offered, timeout=30)
    assert report["loaded_hash"] == offered["content_hash"]


def test_healed_drift_is_named_in_the_report(site: Site):
    offered = site.plane.offer(bundle_of(4, UP))
    site.start()
    site.plane.report_on(offered)
    site.agent.freeze()  # or it heals the disk before Prometheus has read it
    edit(site)
    site.agent.thaw()
    report = site.plane.report_that(lambda r: r["drift"])
    assert {"drift_on_disk", "drift_loaded"} == {drift["code"] for drift in report["drift"]}
    assert (report["state"], report["loaded_hash"]) == ("verified", offered["content_hash"])


def test_started_without_a_control_plane_it_keeps_what_it_had(site: Site):
    offered = site.plane.offer(bundle_of(4, UP))
    site.start()
    site.plane.report_on(offered)
    site.agent.stop()
    site.plane.stop()
    edit(site)
    site.start()
    site.wait_for("Up")
    site.agent.expect("started, holding release 4")


def test_damaged_files_go_back_on_disk_while_prometheus_is_away(site: Site):
    """Otherwise it might never start again."""
    offered = site.plane.offer(bundle_of(4, UP))
    site.start()
    site.plane.report_on(offered)
    site.server.stop()
    path = site.rule_dir / "current" / "global.yml"
    path.chmod(0o644)
    path.write_text("this is no rule file")
    report = site.plane.report_on(offered, "failed")
    assert report["loaded_hash"] == ""
    assert "prometheus_unavailable" in {error["code"] for error in report["errors"]}
    eventually(lambda: path.read_text() == UP["global.yml"])
    site.server.start()
    eventually(
        lambda: site.plane.reports[-1]["loaded_hash"] == offered["content_hash"], what="a report that it is back"
    )


def test_an_offer_waits_for_prometheus_to_come_back(site: Site):
    site.server.stop()
    offered = site.plane.offer(bundle_of(4, UP))
    site.start()
    report = site.plane.report_on(offered, "failed")
    assert report["errors"][0]["code"] == "prometheus_unavailable"
    site.server.start()
    site.plane.report_on(offered, timeout=40)
    assert site.loaded() == {"Up"}


def test_a_wrong_token_is_said_and_a_new_one_in_the_file_is_taken(site: Site):
    site.token_file.write_text("cs_another-token-altogether")
    offered = site.plane.offer(bundle_of(4, UP))
    agent = site.start()
    agent.expect(rf"does not accept the token in {site.token_file} \(401: the token is unknown\)")
    assert agent.running
    site.token_file.write_text(TOKEN)
    site.plane.report_on(offered, timeout=40)
    assert "cs_another" not in agent.output
    assert TOKEN not in agent.output


@pytest.mark.parametrize(
    ("contents", "words"),
    [(None, "No such file"), ("", "holds no token"), ("two words", "no token"), ("ü", "more than")],
)
def test_a_token_file_without_a_token_is_named(site: Site, contents, words):
    site.token_file.unlink() if contents is None else site.token_file.write_text(contents)
    site.start().expect(f"the token file {site.token_file} .*{words}")
    assert site.plane.asked == []


def test_a_token_everybody_can_read_is_pointed_out(site: Site):
    site.token_file.chmod(0o644)
    site.start().expect("everybody on this machine can read")


def test_retry_after_is_kept(site: Site):
    site.plane.misbehave = lambda path: (503, {"Retry-After": "3"}, b"") if "bundle" in path else None
    site.start()
    eventually(lambda: len(site.plane.questions()) >= 3, timeout=30)
    times = [asked[0] for asked in site.plane.questions()]
    assert all(later - earlier >= 3 for earlier, later in pairwise(times))


def test_a_redirect_is_not_followed(site: Site):
    aim = f"{site.plane.url}/elsewhere"
    site.plane.misbehave = lambda path: (307, {"Location": aim}, b"") if "bundle" in path else None
    site.start().expect("answered 307: redirects are not followed")
    assert not any("elsewhere" in asked[1] for asked in site.plane.asked)


def test_a_proxy_from_the_environment_is_not_used_unless_asked_for(site: Site):
    proxied = {"http_proxy": "http://127.0.0.1:9", "no_proxy": ""}
    offered = site.plane.offer(bundle_of(4, UP))
    site.start(environment=proxied)
    site.plane.report_on(offered)
    site.agent.stop()
    site.plane.asked.clear()
    site.start("--use-proxy", environment=proxied).expect("cannot be reached")
    assert site.plane.asked == []


def test_the_control_plane_is_believed_by_its_certificate_only(site: Site, tmp_path: Path):
    openssl = find("openssl")
    paths = str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")
    options = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=plane"]
    options += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", paths[0], "-keyout", paths[1]]
    environment = {**os.environ, **library_path(openssl)}
    subprocess.run([openssl, "req", *options], check=True, capture_output=True, env=environment)
    site.plane = ControlPlane(TOKEN, paths)
    try:
        offered = site.plane.offer(bundle_of(4, UP))
        site.start().expect("cannot be trusted: self.signed certificate")
        assert site.plane.asked == []
        site.agent.stop()
        site.start("--ca-file", paths[0])
        site.plane.report_on(offered)
    finally:
        site.plane.stop()


def test_an_answer_without_end_is_cut_off(site: Site):
    flood = b"x" * (65 * 1024 * 1024)
    site.plane.misbehave = lambda path: (200, {}, flood) if "bundle" in path else None
    site.start().expect("the answer is longer than", timeout=60)


def test_it_reports_at_least_every_so_often(site: Site):
    offered = site.plane.offer(bundle_of(4, UP))
    site.start("--heartbeat", "1", "--interval", "30")
    site.plane.report_on(offered)
    before = len(site.plane.reports)
    time.sleep(3.5)
    assert 3 <= len(site.plane.reports) - before <= 4
    assert {report["state"] for report in site.plane.reports[before:]} == {"verified"}


def test_of_an_hour_away_there_is_one_report_and_one_question(site: Site):
    offered = site.plane.offer(bundle_of(4, UP))
    site.start("--heartbeat", "0.5", "--wait", "30")
    site.plane.report_on(offered)
    site.plane.stop()
    time.sleep(4)
    site.plane.reports.clear()
    site.plane.asked.clear()
    new = site.plane.offer(bundle_of(5, DOWN))
    site.plane.start()
    site.plane.report_on(new, timeout=40)
    times = [asked[0] for asked in site.plane.asked if "/report" in asked[1]]
    assert sum(time - times[0] < 0.4 for time in times) <= 3, "what was not sent meanwhile does not come in a burst"
    assert len(site.plane.questions()) <= 2


def test_it_stops_when_asked_to(site: Site):
    offered = site.plane.offer(bundle_of(4, UP))
    agent = site.start("--wait", "30")
    site.plane.report_on(offered)
    start = time.monotonic()
    agent.send(15)
    assert agent.wait() == 0
    assert time.monotonic() - start < 6
    assert "stopped" in agent.output


def test_there_is_one_agent_per_rule_directory(site: Site, run_process):
    site.start().expect("started")
    first = site.agent
    second = site.start()
    assert second.wait() == 4
    assert f"process {first.pid} is the agent of {site.rule_dir}/.agent already" in second.output


def test_the_environment_is_enough_for_a_sidecar(site: Site, run_process):
    import sys

    offered = site.plane.offer(bundle_of(4, UP))
    environment = os.environ | {
        "CONFIG_SERVER_URL": site.plane.url + "/",
        "CONFIG_SERVER_TOKEN_FILE": str(site.token_file),
        "RULE_DIR": str(site.rule_dir),
        "PROMETHEUS_URL": site.server.url,
        "PROMTOOL_PATH": str(site.promtool),
        "LOG_FORMAT": "json",
    }
    agent = run_process([sys.executable, "manage.py", "agent"], env=environment)
    site.plane.report_on(offered)
    lines = [json.loads(line) for line in agent.output.splitlines()]
    assert any(line["message"].startswith("verified: release 4") and line["release"] == "4" for line in lines)


def test_once_does_one_pass_and_tells_by_its_exit_code(site: Site):
    offered = site.plane.offer(bundle_of(4, UP))
    assert site.start("--once").wait(60) == 0
    assert site.plane.report_on(offered)
    assert site.loaded() == {"Up"}
    site.plane.offer(bundle_of(5, rules(Wrong="sum(")))
    assert site.start("--once").wait(60) == 1
    site.plane.stop()
    edit(site)
    assert site.start("--once").wait(60) == 3
    assert site.loaded() == {"Up"}


def test_where_somebody_else_reloads_the_set_is_active_until_it_is_loaded(site: Site):
    offered = site.plane.offer(bundle_of(4, UP))
    site.start("--no-reload", "--heartbeat", "0.5")
    report = site.plane.report_on(offered, "active")
    assert report["loaded_hash"] == ""
    assert site.loaded() == set()
    site.server.reload()
    assert site.plane.report_on(offered)["loaded_hash"] == offered["content_hash"]


RULE = """\
  - alert: "Alert{number}"
    expr: "sum by (environment) (rate(requests_total{{environment=\\"eu-prod\\",code=\\"{number}\\"}}[5m])) > {number}"
    for: "5m"
    labels:
      "policy_scope": "global"
      "severity": "warning"
    annotations:
      "description": "More than {number} requests of this kind each second, for five minutes and longer."
      "runbook_url": "https://runbooks.example.com/alerts/{number}"
"""


def global_file(rules: int) -> dict[str, str]:
    """As the renderer writes it: the rules for everything are one file of eight groups."""
    groups = ["".join(RULE.format(number=number) for number in range(group, rules, 8)) for group in range(8)]
    texts = [f'- name: "global-{number}"\n  rules:\n{group}' for number, group in enumerate(groups)]
    return {"global.yml": "# as rendered\ngroups:\n" + "".join(texts)}


@pytest.mark.parametrize("count", [200, 5_000])
def test_it_stays_small(site: Site, count: int):
    """The very limit it is promised with; a bundle of so many rules passes through it, all in one file."""
    offered = site.plane.offer(bundle_of(4, global_file(count)))
    agent = site.start("--interval", "0.5")
    site.plane.report_on(offered)
    time.sleep(3)  # it looks, too
    status = dict(re.findall(r"^(\w+):\s+(\d+) kB$", Path(f"/proc/{agent.pid}/status").read_text(), re.MULTILINE))
    print(f"\nmemory of the agent: {int(status['VmRSS']) // 1024} MB, at most {int(status['VmHWM']) // 1024} MB")
    assert int(status["VmHWM"]) < 60 * 1024
    maps = Path(f"/proc/{agent.pid}/maps").read_text()
    assert not re.search(r"django|celery|psycopg|redis", maps)
