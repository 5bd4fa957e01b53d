"""What docs/agent.md says of the agent is what its code does."""

from __future__ import annotations

import ast
import json
import re

import pytest

from alerts.adapters.promtool import Refusal
from alerts.agent.holding import Account
from alerts.agent.offer import offer_from
from alerts.agent.options import _parser, parse
from alerts.agent.reports import report_of
from tests.servers.binaries import ROOT

GUIDE = (ROOT / "docs/agent.md").read_text("utf-8")
BUNDLE, REPORT = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL))
NEEDED = ["--server", "http://a", "--token-file", "t", "--rule-dir", "r", "--prometheus", "http://b"]


def test_the_bundle_of_the_guide_is_one():
    offer = offer_from(json.dumps(BUNDLE).encode(), f'"{BUNDLE["content_hash"]}"')
    assert json.loads(offer.to_json()) == BUNDLE


def test_the_report_of_the_guide_has_the_members_of_a_report():
    versions = {name: REPORT[name] for name in ("prometheus_version", "promtool_version", "flavour", "agent_version")}
    report = report_of(42, REPORT["content_hash"], Account(loaded_hash=REPORT["loaded_hash"]), versions)
    assert list(report) == list(REPORT)
    assert report | {"timings": REPORT["timings"]} == REPORT


def test_options_of_the_guide_are_those_of_the_code():
    rows = re.findall(r"^\| `(--[a-z-]+)` \| (?:`([A-Z_]+)`)? *\|", GUIDE, re.MULTILINE)
    actions = [action for action in _parser({})._actions if action.dest != "help"]
    assert sorted(option for option, _ in rows) == sorted(action.option_strings[0] for action in actions)
    for option, variable in rows:
        if variable:
            told = {"AGENT_WAIT": "7", "AGENT_INTERVAL": "7", "AGENT_HEARTBEAT": "7", "AGENT_TIMEOUT": "7"}
            value = told.get(variable, "http://told")
            given = [part for pair in zip(NEEDED[::2], NEEDED[1::2], strict=True) if pair[0] != option for part in pair]
            name = option[2:].replace("-", "_")
            assert str(getattr(_parser({variable: value}).parse_args(given), name)) in (value, f"{value}.0"), option


def test_codes_of_the_guide_are_those_of_the_code():
    codes = set()
    for path in (ROOT / "alerts/agent").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "problem":
                codes |= {node.args[0].value} if isinstance(node.args[0], ast.Constant) else set()
    of_every_delivery = {"prometheus_unavailable", "rule_dir_missing"}
    assert codes - of_every_delivery == set(re.findall(r"^\| `([a-z_]+)` \|", GUIDE, re.MULTILINE))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (NEEDED[2:], "--server is needed, or CONFIG_SERVER_URL"),
        (
            [*NEEDED[2:], "--server", "config.example"],
            "--server is no usable URL: its scheme",
        ),
        (
            [*NEEDED[2:], "--server", "http://user:secret@config.example"],
            "--server must not hold a user name",
        ),
        ([*NEEDED, "--prometheus", "file:///x"], "--prometheus is no usable URL"),
        ([*NEEDED, "--wait", "61"], "--wait is between 0 and 60"),
        ([*NEEDED, "--interval", "0"], "--interval is more than 0, at most 3600 seconds"),
        ([*NEEDED, "--interval", "nan"], "--interval is more than 0"),
        ([*NEEDED, "--promtool", "/no/promtool"], "/no/promtool is not a program that can be run"),
        ([*NEEDED, "--tokenfile", "x"], "unrecognized"),
    ],
)
def test_options_that_make_no_sense_are_refused(capsys, options, words):
    with pytest.raises(SystemExit) as ended:
        parse(options, {})
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_long_words_are_cut_and_the_report_is_sent():
    huge = {"code": "reload_refused", "message": "m" * 9_000, "promtool": ["w" * 4_000] * 50}
    account = Account("rolled_back", errors=[huge] * 80, refusals=[Refusal("f.yml", "x" * 100_000)] * 80)
    report = report_of(1, "", account, {})
    assert len(report["errors"]) == len(report["refusals"]) == 50
    assert all(len(json.dumps(said)) < 16 * 1024 for said in (*report["errors"], *report["refusals"]))
    assert report["errors"][0]["code"] == "reload_refused"
