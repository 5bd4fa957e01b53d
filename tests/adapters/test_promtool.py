"""Every promtool there is: what it objects to arrives in parts, and what it cannot do is said."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from alerts.adapters import verdicts
from alerts.adapters.promtool import FILES_PER_RUN, VERDICTS, Promtool, PromtoolError, Refusal, parse_refusals
from alerts.adapters.verdicts import Content, Verdicts, program

GOOD = "groups:\n- name: g\n  rules:\n  - {alert: A, expr: up == 0}\n"


@pytest.fixture
def judge(promtools, prometheus_version) -> Promtool:
    return Promtool(promtools[prometheus_version])


def rule(**fields: str) -> str:
    lines = "".join(f"    {name}: {value}\n" for name, value in fields.items())
    return f"groups:\n- name: g\n  rules:\n  - alert: A\n{lines}"


def test_it_tells_its_version(judge, prometheus_version):
    assert judge.available
    assert judge.version().startswith(prometheus_version)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "groups:\n",
        "",
        "groups: []\n",
        GOOD + "  - {alert: A, expr: up == 0}\n",  # duplicates are a lint, not a fault
        'groups: [{name: "ü", rules: [{alert: "a b ü", expr: \'up{job="ü"}\', annotations: {d: "{{ $value }} €"}}]}]\n',
    ],
)
def test_a_good_file_meets_no_objection(judge, text):
    assert judge.check_rules_text(text) == []


@pytest.mark.parametrize(
    ("text", "expected", "words"),
    [
        (
            rule(expr="up{"),
            {"group": "g", "rule_index": 1, "rule_name": "A", "line": 5, "expr_line": 1, "expr_column": 4},
            "unexpected",
        ),
        (
            rule(expr='"up\\n + foo{a=\\"b\\"} +"'),
            {"rule_index": 1, "expr_line": 2, "expr_column": 16},
            "could not parse expression",
        ),
        (rule(expr="rate(up)"), {"rule_index": 1, "expr_line": 1, "expr_column": 6}, "expected type range vector"),
        (
            rule(expr="up", labels='{x: "{{ $nope }}"}'),
            {"rule_index": 1, "rule_name": "A"},
            'undefined variable "$nope"',
        ),
        (rule(expr="up", annotations='{x: "{{ nope }}"}'), {"rule_index": 1}, 'function "nope" not defined'),
        (rule(expr="up", nope="1"), {"group": None, "rule_index": None}, "field nope not found"),
        (rule(expr="up", **{"for": "1.5m"}), {"rule_index": None}, "1.5m"),
        ("groups: [", {"group": None}, "yaml"),
        (GOOD + "- name: g\n", {"group": None, "rule_index": None}, 'groupname: "g" is repeated'),
        (
            'groups: [{name: "a\\"\\nb: ", rules: [{alert: "x\\", rule 7, \\"y\\": ü\\u0001", expr: "up{"}]}]',
            {"group": 'a"\nb: ', "rule_index": 1, "rule_name": 'x", rule 7, "y": ü\x01'},
            "could not parse",
        ),
    ],
)
def test_an_objection_says_where(judge, text, expected, words):
    (refusal,) = judge.check_rules_text(text)
    assert refusal.file == "rules.yml"
    assert words in refusal.message
    assert {name: getattr(refusal, name) for name in expected} == expected
    assert words in str(refusal)


def test_every_fault_of_a_file_is_reported_once(judge):
    text = rule(expr="up{") + "  - {alert: B, expr: up}\n  - {alert: C, expr: sum(}\n  - {alert: '', expr: up}\n"
    assert [refusal.rule_index for refusal in judge.check_rules_text(text)] == [1, 3, 4]


def test_a_list_of_yaml_errors_stays_together(judge):
    (refusal,) = judge.check_rules_text(rule(expr="up", nope="1", nor="2"))
    assert "nope" in refusal.message
    assert "nor" in refusal.message


def test_only_the_named_files_are_judged(judge, tmp_path):
    (tmp_path / "good.yml").write_text(GOOD)
    (tmp_path / "-bad.yml").write_text(rule(expr="up{"))
    (tmp_path / "worse.yml").write_text(rule(expr="(") + "  - {alert: B, expr: '['}\n")
    assert judge.check(tmp_path, ["good.yml"]) == []
    assert [refusal.file for refusal in judge.check(tmp_path, ["good.yml", "-bad.yml"])] == ["-bad.yml"]
    assert [refusal.file for refusal in judge.check(tmp_path)] == ["-bad.yml", "worse.yml", "worse.yml"]
    assert judge.check(tmp_path, []) == []


def test_a_file_that_is_not_there_is_refused(judge, tmp_path):
    (refusal,) = judge.check(tmp_path, ["nothing.yml"])
    assert "nothing.yml" in refusal.message


@pytest.mark.parametrize("name", ["link.yml", "directory.yml"])
def test_what_promtool_cannot_read_is_refused(judge, tmp_path, name):
    (tmp_path / "link.yml").symlink_to("nowhere")
    (tmp_path / "directory.yml").mkdir()
    assert judge.check(tmp_path, [name])


def test_more_files_than_fit_an_argument_list_are_all_judged(promtool, tmp_path):
    for number in range(FILES_PER_RUN + 3):
        (tmp_path / f"f{number:04}.yml").write_text(GOOD)
    (tmp_path / f"f{FILES_PER_RUN + 1:04}.yml").write_text(rule(expr="up{"))
    assert [refusal.file for refusal in Promtool(promtool).check(tmp_path)] == [f"f{FILES_PER_RUN + 1:04}.yml"]


@pytest.mark.parametrize("path", [None, "/no/such/promtool", "/etc/passwd", "/"])
def test_a_promtool_that_is_not_there_is_known_to_be_absent(path):
    tool = Promtool(path)
    assert not tool.available
    for attempt in (tool.version, lambda: tool.check_rules_text(GOOD)):
        with pytest.raises(PromtoolError) as refused:
            attempt()
        assert refused.value.code in ("absent", "broken")


def script(path: Path, text: str) -> Promtool:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return Promtool(path, timeout=0.5)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("exec sleep 60", "timeout"),
        ("kill -SEGV $$", "broken"),
        ("echo panic >&2; exit 2", "broken"),
        ("exit 127", "broken"),
    ],
)
def test_a_promtool_that_gives_no_verdict_has_not_agreed(tmp_path, text, code):
    tool = script(tmp_path / "promtool", text)
    start = time.monotonic()
    with pytest.raises(PromtoolError) as refused:
        tool.check_rules_text(GOOD)
    assert refused.value.code == code
    assert time.monotonic() - start < 5


def test_a_refusal_in_unknown_words_is_a_refusal_all_the_same(tmp_path):
    assert script(tmp_path / "promtool", "echo 'strange tidings' >&2; exit 1").check_rules_text(GOOD) == [
        Refusal("", "strange tidings")
    ]
    (silent,) = script(tmp_path / "promtool", "exit 1").check_rules_text(GOOD)
    assert silent.message


def test_secrets_of_our_environment_do_not_reach_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "hidden")
    said = "".join(map(str, script(tmp_path / "promtool", "env >&2; exit 1").check_rules_text(GOOD)))
    assert "LC_ALL" in said
    assert "hidden" not in said


def test_the_text_to_be_judged_is_private_and_soon_gone(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    (refusal,) = script(tmp_path / "promtool", 'stat -c %a "$PWD" >&2; exit 1').check_rules_text(GOOD)
    assert refusal.message == "700"
    assert os.listdir(tmp_path / "t") == []


def test_words_that_look_like_another_file_do_not_confuse_the_reading():
    printed = (
        './a.yml: yaml: line 2:\n  ./b.yml: not a head\n./b.yml: 0:0: groupname: "g" is repeated in the same file\n'
    )
    first, second = parse_refusals(printed, ["./a.yml", "./b.yml"])
    assert (first.file, second.file) == ("a.yml", "b.yml")
    assert "not a head" in first.message
    assert (second.line, second.column) == (None, None)


# ------------------------------------------------------------------------------------------------ what is remembered


@pytest.fixture
def counted(tmp_path, judge) -> tuple[Promtool, Path]:
    """The real one, behind a script that leaves a line for each file it is asked about."""
    (tmp_path / "bin").mkdir()
    script, asked = tmp_path / "bin/promtool", tmp_path / "asked"
    script.write_text(f'#!/bin/sh\nfor file in "$@"; do echo "$file" >>{asked}; done\nexec {judge.path} "$@"\n')
    script.chmod(0o755)
    asked.touch()
    return Promtool(script), asked


def names_in(asked: Path) -> list[str]:
    names = [line.removeprefix("./") for line in asked.read_text().split() if line.endswith(".yml")]
    asked.write_text("")
    return names


def folder_with(path: Path, **texts: str) -> Path:
    path.mkdir()
    for name, text in texts.items():
        (path / f"{name}.yml").write_text(text)
    return path


def test_the_second_server_with_the_same_files_starts_no_promtool(counted, tmp_path):
    tool, asked = counted
    one = folder_with(tmp_path / "one", a=GOOD, b=GOOD + "# b\n")
    other = folder_with(tmp_path / "other", a=GOOD, b=GOOD + "# b\n", x=GOOD, c=GOOD + "# c\n")
    assert tool.check(one) == []
    assert names_in(asked) == ["a.yml", "b.yml"]
    assert tool.check(one) == []
    assert Promtool(tool.path).check(one) == [], "another object, the same program"
    assert tool.check_rules_text(GOOD) == []
    assert names_in(asked) == []
    assert tool.check(other) == []
    assert names_in(asked) == ["c.yml"], "what a file is called does not matter"


def test_a_damaged_file_is_judged_again_even_when_it_looks_the_same(counted, tmp_path):
    tool, _ = counted
    folder = folder_with(tmp_path / "one", a=GOOD)
    assert tool.check(folder) == []
    before = (folder / "a.yml").stat()
    (folder / "a.yml").write_text(GOOD.replace("up == 0", "up ==  "))
    os.utime(folder / "a.yml", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (folder / "a.yml").stat().st_size == before.st_size
    assert [refusal.file for refusal in tool.check(folder)] == ["a.yml"]


def test_objections_are_not_remembered(counted, tmp_path):
    tool, asked = counted
    folder = folder_with(tmp_path / "one", a=GOOD, b=rule(expr="up{"))
    for _ in range(2):
        assert [refusal.file for refusal in tool.check(folder)] == ["b.yml"]
    assert names_in(asked) == ["a.yml", "b.yml"] * 2


def test_of_many_servers_that_get_the_same_files_at_once_one_starts_promtool(counted, tmp_path):
    tool, asked = counted
    folders = [folder_with(tmp_path / str(number), a=GOOD) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(tool.check, folders)) == [[]] * 8
    assert names_in(asked) == ["a.yml"]


def test_whom_a_judge_at_work_did_not_agree_with_is_judged_all_the_same(counted, tmp_path):
    tool, asked = counted
    folders = [folder_with(tmp_path / str(number), a=rule(expr="up{")) for number in range(3)]
    with ThreadPoolExecutor(3) as pool:
        refusals = list(pool.map(tool.check, folders))
    assert [[refusal.file for refusal in found] for found in refusals] == [["a.yml"]] * 3
    assert names_in(asked) == ["a.yml"] * 3


def test_a_judge_that_hangs_is_not_waited_for_for_ever(counted, tmp_path, monkeypatch):
    tool, asked = counted
    monkeypatch.setattr(verdicts, "LONGEST_WAIT", 0.1)
    folder = folder_with(tmp_path / "one", a=GOOD, b=GOOD + "# another\n")
    contents = [verdicts.content_of(folder / name) for name in ("a.yml", "b.yml")]
    with VERDICTS.judging(program(tool.path), contents[:1]):
        assert tool.check(folder) == []
    assert names_in(asked) == ["a.yml", "b.yml"]
    assert not VERDICTS._under_way


def test_another_promtool_has_an_opinion_of_its_own(counted, tmp_path):
    tool, _ = counted
    folder = folder_with(tmp_path / "one", a=GOOD)
    assert tool.check(folder) == []
    Path(tool.path).write_text("#!/bin/sh\necho './a.yml: not to my taste' >&2\nexit 1\n")
    assert [refusal.message for refusal in tool.check(folder)] == ["not to my taste"]
    Path(tool.path).unlink()
    with pytest.raises(PromtoolError, match="no promtool"):
        tool.check(folder)


def test_a_file_that_changed_while_it_was_judged_is_judged_again(counted, tmp_path):
    tool, asked = counted
    folder = folder_with(tmp_path / "one", a=GOOD)
    script = Path(tool.path).read_text()
    # It is put back after promtool has read another text: what was hashed is not what was judged.
    swapped = script.replace("exec ", f"cp {folder}/a.yml {folder}/kept; echo 'groups: []' >{folder}/a.yml\n")
    Path(tool.path).write_text(f"{swapped}code=$?; cp {folder}/kept {folder}/a.yml; exit $code\n")
    assert tool.check(folder) == []
    assert tool.check(folder) == []
    assert names_in(asked) == ["a.yml", "a.yml"]


def test_a_file_that_is_not_there_is_promtools_business(counted, tmp_path):
    tool, _ = counted
    assert tool.check(folder_with(tmp_path / "one"), ["gone.yml"])


def test_no_more_is_remembered_than_fits():
    verdicts = Verdicts(2)
    by = program("/bin/sh")
    one, two, three = (Content(bytes([number])) for number in range(3))
    verdicts.passed(by, [one, two])
    assert verdicts.has_passed(by, one)  # and is the youngest now
    verdicts.passed(by, [three])
    assert [verdicts.has_passed(by, content) for content in (one, two, three)] == [True, False, True]
    assert not verdicts.has_passed(by._replace(modified=0), one)
