"""Rule files: bytes, order inside a group, and reading them back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from alerts.domain import planner, rule_files
from alerts.domain.renderer import arrange, quoted, render
from tests.domain.policies import EACH_SERIES, compiled, env, layer, recording

UNPLEASANT = "\x7f\x80\x85\x9f\u2028\u2029\ufeff\ufffd\ue000😀\U0010ffff ' \" \\ : # {{ }} - ? | > % @ ` \t\n\r\x00\x1f"

SAYABLE = UNPLEASANT.replace("{{ }}", "")
"""As a template."""


@given(st.text(st.characters(exclude_categories=("Cs",))) | st.text(UNPLEASANT))
def test_a_quoted_scalar_reads_back_as_it_was(text: str) -> None:
    assert yaml.safe_load(quoted(text)) == text
    quoted(text).encode()


def test_files_read_back_as_the_rules_they_were_written_from() -> None:
    policy = compiled(
        layer(1, query=EACH_SERIES, config={"annotations": {"text": SAYABLE}, "for_duration": "5m"}),
        layer(2, env("staging"), config={"keep_firing_for": "1h", "interval": "30s", "labels": {"a": "b"}}),
        recording(3, "cpu:sum", "sum by (environment) (cpu_usage)"),
    )
    assert not policy.problems
    files = render(policy.rules)
    written = {planner.deployed(rule) for rule in policy.rules}
    assert {rule for name, file in files.items() for rule in rule_files.rules(name, file.content)} == written


def test_a_file_in_pieces_says_what_it_says_as_a_whole() -> None:
    text = f"{SAYABLE}\n- name: x\n  rules:\n"
    layers = [
        layer(number, query=EACH_SERIES, key=f"K{number}", config={"annotations": {"text": text}})
        for number in range(1, 30)
    ]
    (file,) = render(compiled(*layers).rules).values()
    golden = (Path(__file__).parent / "golden").rglob("*.yml")
    for content in (file.content, *(path.read_bytes() for path in golden)):
        whole, pieces = rule_files.read("x", content), rule_files.pieces(content)
        assert [rule_files.read("x", piece) for piece in pieces] == [[group] for group in whole]
    assert len(rule_files.pieces(file.content)) > 5


@pytest.mark.parametrize(
    "content", [b"", b"groups: []\n", b"- name: x\n", b"groups:\n  - name: x\n", b"a: 1\n- name: x\n"]
)
def test_a_file_that_is_written_otherwise_is_one_piece(content: bytes) -> None:
    assert rule_files.pieces(content) == [content]


@pytest.mark.parametrize("content", [b"groups: 7", b"groups: [1]", b"a: b: c", b"- x", b"groups: [{rules: []}]"])
def test_what_is_no_rule_file_is_told(content: bytes) -> None:
    with pytest.raises(ValueError, match="is not a rule file"):
        rule_files.read("x.yml", content)


def test_in_a_group_recordings_come_before_what_reads_them() -> None:
    policy = compiled(
        layer(1, env("staging"), "z:last > 1", key="A"),
        recording(2, "a:third", "sum by (environment) (m:second)", env("staging")),
        recording(3, "m:second", "sum by (environment) (z:last)", env("staging")),
        recording(4, "z:last", "sum by (environment) (cpu_usage)", env("staging")),
        recording(5, "b:independent", "sum by (environment) (cpu_usage)", env("staging")),
    )
    assert not policy.problems
    (group,) = arrange(policy.rules)
    names = [rule.name for rule in group.rules]
    assert names == ["b:independent", "z:last", "m:second", "a:third", "A"]


def test_recordings_that_read_each_other_are_written_in_some_fixed_order() -> None:
    layers = [
        recording(1, "a:x", "sum by (environment) (b:x)", env("staging")),
        recording(2, "b:x", "sum by (environment) (a:x)", env("staging")),
    ]
    one, other = (arrange(compiled(*order).rules) for order in (layers, layers[::-1]))
    assert [[rule.name for rule in group.rules] for group in one] == [
        [rule.name for rule in group.rules] for group in other
    ]


def test_a_very_long_chain_of_recordings_can_be_written() -> None:
    count = 3000
    chain = [recording(0, "r:0", "sum by (environment) (cpu_usage)", env("staging"))]
    chain += [
        recording(number, f"r:{number}", f"sum by (environment) (r:{number - 1})", env("staging"))
        for number in range(1, count)
    ]
    (group,) = arrange(compiled(*chain).rules)
    assert [rule.name for rule in group.rules] == [f"r:{number}" for number in range(count)]


def test_an_unchanged_file_is_the_same_object() -> None:
    first = compiled(layer(1, query=EACH_SERIES), layer(2, env("staging"), EACH_SERIES, key="Other"))
    before = render(first.rules)
    kept = [rule for rule in first.rules if rule.key == "Other"]
    after = render([*kept, *compiled(layer(1, query=EACH_SERIES)).rules], before)
    assert after["group-environment.staging.yml"] is before["group-environment.staging.yml"]
    assert after["global.yml"] is not before["global.yml"]
    assert after["global.yml"].sha256 == before["global.yml"].sha256


def test_a_file_whose_rules_were_compiled_anew_and_say_the_same_keeps_its_bytes() -> None:
    layers = [layer(1, query=EACH_SERIES), layer(2, env("staging"), config={"for_duration": "5m"})]
    before, after = (render(compiled(*layers).rules) for _ in range(2))
    again = render(compiled(*layers).rules, before)
    assert len(before) == 2
    assert before == after == again
    for name, file in again.items():
        assert file.content is before[name].content
        assert not file.sources & before[name].sources, "whoever compares objects next time has those of now"
    edited = compiled(layers[0], layer(2, env("staging"), config={"for_duration": "6m"})).rules
    assert render(edited, before) == render(edited) != before


def test_promtool_reads_unpleasant_texts(promtool: Path, tmp_path: Path) -> None:
    rules = compiled(layer(1, query=EACH_SERIES, config={"annotations": {"text": SAYABLE}})).rules
    (file,) = render(rules).values()
    (tmp_path / file.name).write_bytes(file.content)
    done = subprocess.run(
        [promtool, "check", "rules", tmp_path / file.name], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
