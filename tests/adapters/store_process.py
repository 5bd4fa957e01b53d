"""A process that writes to a rule directory and may be killed.

``python -m tests.adapters.store_process DIR deploy|cycle|forever NUMBER [SIZE [FENCE]]``
"""

from __future__ import annotations

import itertools
import os
import sys

from alerts.adapters.release_store import ReleaseStore, StoreError, content_hash, manifest_of

RULE = """groups:
- name: "{name}"
  rules:
  - alert: "A{number}"
    expr: "up == {number}"
"""


def files_of(number: int, size: int = 0) -> dict[str, bytes]:
    """A set of rule files, of which neighbours in number share some."""
    files = {
        "global.yml": RULE.format(name="g", number=number),
        "half.yml": RULE.format(name="h", number=number // 2),
        "same.yml": RULE.format(name="s", number=0),
        f"target-{number % 3}.yml": RULE.format(name="t", number=number),
    }
    return {name: (text + "#" * size).encode() for name, text in files.items()}


def whole(store: ReleaseStore) -> bool:
    """Whether `current` leads to the very files that some number gives."""
    content = store.current()
    if content is None:
        return False
    found = {path.name: path.read_bytes() for path in store.path_of(content).iterdir()}
    number, size = int(found["global.yml"].rpartition(b"== ")[2].split(b'"')[0]), found["global.yml"].count(b"#")
    return found == files_of(number, size) and content_hash(manifest_of(found)) == content


def cycle(store: ReleaseStore, number: int, fence: int | None = None) -> None:
    content = store.stage(files_of(number), fence).content_hash
    store.activate(content, fence)
    store.prune(keep=(), fence=fence)


def main(rule_dir: str, mode: str, first: str, size: str = "0", fence: str = "") -> None:
    store = ReleaseStore(rule_dir)
    if mode == "deploy":
        try:
            store.activate(store.stage(files_of(int(first), int(size))).content_hash)
        except StoreError as error:
            print("StoreError", error.code, error.message)
        temporary = [name for name in os.listdir(store.releases_dir) if name.startswith(".")]
        print("current", store.current(), "whole", whole(store), "temporary", len(temporary))
        return
    print("started", flush=True)
    for number in range(int(first), int(first) + 4) if mode == "cycle" else itertools.count(int(first)):
        try:
            cycle(store, number, int(fence) if fence else None)
        except StoreError as error:
            print("StoreError", error.code, error.message, flush=True)
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
