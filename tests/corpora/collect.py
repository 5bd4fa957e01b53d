"""Writes expressions.json, injection_cases.json and verdicts.json beside this file, from a folder of collected corpora.

    python collect.py CORPORA PROMTOOL_3 PROMTOOL_2

CORPORA holds rule files under <owner>__<repo>/, a manifest.json with source and licence of each,
label_injection_cases.json and promql_verdicts.json. The tests do not need it: what it wrote is kept here.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

HERE = Path(__file__).parent
BATCH = 500


def refused(promtool: str, expressions: list[str]) -> set[int]:
    """The indexes of the expressions that this promtool does not accept in a rule."""
    bad: set[int] = set()
    for start in range(0, len(expressions), BATCH):
        rules = [{"alert": "x", "expr": text} for text in expressions[start : start + BATCH]]
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            yaml.safe_dump({"groups": [{"name": "g", "rules": rules}]}, file, allow_unicode=True)
            file.flush()
            done = subprocess.run(
                [promtool, "check", "rules", "--lint=none", file.name], capture_output=True, text=True, check=False
            )
        numbers = {int(number) for number in re.findall(r'group "g", rule (\d+),', done.stdout + done.stderr)}
        if bool(numbers) != bool(done.returncode):
            raise SystemExit(f"{promtool} is not understood: {done.stdout}{done.stderr}")
        bad |= {start + number - 1 for number in numbers}
    return bad


def main(corpora: Path, promtool_3: str, promtool_2: str) -> None:
    sources: dict[str, dict[str, object]] = {}
    texts: dict[str, dict[str, None]] = {}
    for entry in json.loads((corpora / "manifest.json").read_text())["files"]:
        if entry["kind"] != "rules":
            continue
        try:
            content = yaml.safe_load((corpora / entry["file"]).read_text()) or {}
        except yaml.YAMLError:
            continue
        source = {"repo": entry["repo"], "commit": entry["commit"], "licence": entry["licence"]}
        sources[entry["repo"]] = source
        for group in content.get("groups") or []:
            for rule in group.get("rules") or []:
                if isinstance(rule, dict) and isinstance(rule.get("expr"), str | int | float):
                    texts.setdefault(entry["repo"], {})[str(rule["expr"])] = None
    collected = []
    for repo in sorted(texts):
        expressions = sorted(texts[repo])
        bad_3, bad_2 = refused(promtool_3, expressions), refused(promtool_2, expressions)
        rows = [[text, index not in bad_3, index not in bad_2] for index, text in enumerate(expressions)]
        collected.append({**sources[repo], "columns": ["expr", "promtool_3_5", "promtool_2_42"], "expressions": rows})
    write("expressions.json", collected)
    for name, target in (
        ("label_injection_cases.json", "injection_cases.json"),
        ("promql_verdicts.json", "verdicts.json"),
    ):
        write(target, json.loads((corpora / name).read_text()))


def write(name: str, content: object) -> None:
    (HERE / name).write_text(json.dumps(content, indent=0, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:4])
