"""promtool as a judge: what Prometheus itself says of an expression."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

Series = Sequence[str]
Samples = frozenset[tuple[tuple[tuple[str, str], ...], str]]
Result = Samples | str
"""What an expression yields: (labels, value) of each series; or the words of an error."""

_SAMPLE = re.compile(r'\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\} (\S+?)(?:, |$)')
_LABEL = re.compile(r'([^\s,={}"]+|"(?:[^"\\]|\\.)*")="((?:[^"\\]|\\.)*)"')
_BATCH = 500


def refused(promtool: Path, expressions: Sequence[str]) -> dict[int, str]:
    """Index → promtool's words, for those that cannot be in a rule."""
    found: dict[int, str] = {}
    for start in range(0, len(expressions), _BATCH):
        rules = [{"alert": "x", "expr": text} for text in expressions[start : start + _BATCH]]
        content = json.dumps({"groups": [{"name": "g", "rules": rules}]}, ensure_ascii=False)
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            file.write(content)
            file.flush()
            done = subprocess.run(
                [promtool, "check", "rules", "--lint=none", file.name], capture_output=True, text=True, check=False
            )
        said = {
            start + int(found_in[1]) - 1: found_in[2]
            for found_in in re.finditer(r'group "g", rule (\d+), "x": (.*)', done.stdout + done.stderr)
        }
        assert bool(said) == bool(done.returncode), done.stdout + done.stderr
        found |= said
    return found


def with_matcher(promtool: Path, text: str, label: str, op: str, value: str) -> str:
    """The expression with one more matcher on every selector, by promtool's own hand."""
    command = [promtool, "--experimental", "promql", "label-matchers", "set", f"--type={op}", "--", text, label, value]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def printed(promtool: Path, text: str) -> str:
    """The expression as Prometheus prints it."""
    command = [promtool, "--experimental", "promql", "format", "--", text]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def evaluate(promtool: Path, series: Series, expressions: Sequence[str]) -> list[Result]:
    """What each expression yields ten minutes after the series began."""
    wrong = [{"labels": "never", "value": 1}]
    asked = [{"expr": text, "eval_time": "10m", "exp_samples": wrong} for text in expressions]
    content = {
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": one, "values": f"{number}+{number}x20"} for number, one in enumerate(series, 1)
                ],
                "promql_expr_test": asked,
            }
        ],
    }
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        yaml.safe_dump(content, file)
        file.flush()
        done = subprocess.run([promtool, "test", "rules", file.name], capture_output=True, text=True, check=False)
    answers = re.split(r"^    expr: ", done.stdout + done.stderr, flags=re.MULTILINE)[1:]
    assert len(answers) == len(expressions), done.stdout + done.stderr
    return [_result(answer) for answer in answers]


def _result(answer: str) -> Result:
    got = re.search(r"^ +got: (.*)$", answer, flags=re.MULTILINE)
    if got is None:
        assert ", err: " in answer, answer
        return answer.split(", err: ", 1)[1]
    if got[1] == "nil":
        return frozenset()
    return frozenset((labels_of(labels), rounded(number)) for labels, number in _SAMPLE.findall(got[1]))


def rounded(number: str) -> str:
    """Sums depend on their order in the last digits."""
    return str(round(float(number), 9) + 0.0)


def labels_of(text: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in _LABEL.findall(text)))
