"""A bundle as the control plane hands it over, taken apart and verified: what arrives is what was released, or nothing.

{"server": name, "release": id, "revision": n, "content_hash": hex, "files": {name: text}, "scope": null}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from alerts.adapters.deliverer import Bundle
from alerts.adapters.release_files import StoreError

MAX_BUNDLE = 64 * 1024 * 1024


class BrokenBundle(Exception):
    """It cannot be what was released. ``release`` as far as it says."""

    def __init__(self, message: str, release: int | None = None) -> None:
        self.message = message
        self.release = release
        super().__init__(message)


@dataclass(frozen=True, eq=False)
class Offer:
    server: str
    release: int
    revision: int
    bundle: Bundle

    @property
    def content_hash(self) -> str:
        return self.bundle.content_hash

    def __str__(self) -> str:
        return f"release {self.release} (revision {self.revision}, {len(self.bundle.manifest)} files)"

    def to_json(self) -> bytes:
        return orjson.dumps(
            {
                "server": self.server,
                "release": self.release,
                "revision": self.revision,
                "content_hash": self.content_hash,
                "files": {name: content.decode() for name, content in self.bundle.contents.items()},
                "scope": None,
            }
        )


def offer_from(body: bytes, etag: str = "") -> Offer:
    """Every file is hashed, and all of them together have to give the hash that was promised, as has the ETag."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BrokenBundle(f"the bundle is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise BrokenBundle("the bundle is no JSON object")
    release = _number(data, "release", None)
    files = data.get("files")
    if not isinstance(files, dict) or not all(isinstance(text, str) for text in files.values()):
        raise BrokenBundle("the bundle's files are no texts by name", release)
    if data.get("scope") is not None:
        raise BrokenBundle("the bundle is for a part of the rules; this agent knows only whole sets", release)
    try:
        bundle = Bundle.of({name: text.encode() for name, text in files.items()}, frugal=True)
    except (StoreError, UnicodeEncodeError) as error:
        raise BrokenBundle(f"the bundle holds a file that cannot be: {error}", release) from error
    promised = data.get("content_hash")
    if bundle.content_hash != promised or (etag and etag.removeprefix("W/").strip('"') != promised):
        message = f"the bundle is not what was promised: its files hash to {bundle.content_hash}, not to {promised!r}"
        raise BrokenBundle(message, release)
    return Offer(str(data.get("server", "")), release, _number(data, "revision", release), bundle)


def _number(data: dict[str, Any], name: str, release: int | None) -> int:
    value = data.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BrokenBundle(f"the bundle's {name} is no number", release)
    return value
