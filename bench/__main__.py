"""``python -m bench [NAME …] [--tiny]``: each row in a process of its own, then one table."""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from bench import ROWS, table
from bench.table import Result

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures; prints ratios and goals.")
    parser.add_argument("names", nargs="*", choices=[[], *ROWS], metavar="NAME", help=", ".join(ROWS))
    parser.add_argument("--tiny", action="store_true", help="sizes that only show that it runs")
    parser.add_argument("--json", action="store_true", help="lines for programs; runs the rows in this process")
    options = parser.parse_args()
    names = options.names or list(ROWS)
    if options.json:
        print(json.dumps([line for name in names for line in table.to_json(measure(name, tiny=options.tiny))]))
        return 0
    results: list[Result] = []
    failed = []
    for name in names:
        start = time.monotonic()
        found = in_own_process(name, tiny=options.tiny)
        print(f"bench: {name} took {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
        if found is None:
            failed.append(name)
        results += [replace(result, bound=None) for result in found or []] if options.tiny else found or []
    print(table.text(results))
    if failed:
        print(f"bench: could not be measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def measure(name: str, *, tiny: bool) -> list[Result]:
    """The lines of one row, measured here and now."""
    module, function = ROWS[name].split(":")
    found: list[Result] = getattr(importlib.import_module(f"bench.{module}"), function)(tiny=tiny)
    return found


def in_own_process(name: str, *, tiny: bool) -> list[Result] | None:
    """A row never measures what another one left in memory. None: it failed, and has said so on stderr."""
    command = [sys.executable, "-m", "bench", name, "--json", *(["--tiny"] if tiny else [])]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    return table.from_json(json.loads(done.stdout.splitlines()[-1])) if done.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main())
