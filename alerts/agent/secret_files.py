"""What the agent shows of itself, from files that whoever starts it names.

They are read anew at each use, so that all can be replaced under a running agent. No secret is in an option, a message,
a log or a ``repr``.
"""

from __future__ import annotations

import base64
import logging
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from alerts.adapters.credentials import MAX_SECRET, CredentialsMissing

logger = logging.getLogger(__name__)

_warned: set[Path] = set()


def read_token(path: Path) -> str:
    token = read_secret(path, "token").strip()
    if not token or re.search(rb"[^\x21-\x7e]", token):
        raise CredentialsMissing(f"the token file {path} holds no token, or more than one")
    return token.decode("ascii")


def read_secret(path: Path, what: str) -> bytes:
    """Without the end of its line. CredentialsMissing, in words for a person."""
    try:
        with path.open("rb") as file:
            warn_if_open(path, os.fstat(file.fileno()).st_mode)
            secret = file.read(MAX_SECRET + 1)
    except OSError as error:
        raise CredentialsMissing(f"the {what} file {path} cannot be read: {error.strerror}") from error
    if len(secret) > MAX_SECRET:
        raise CredentialsMissing(f"the {what} file {path} holds more than a {what}")
    secret = secret.rstrip(b"\r\n")
    if not secret:
        raise CredentialsMissing(f"the {what} file {path} holds no {what}")
    return secret


def readable(path: Path, what: str) -> str:
    """The path of a file that others read for us; they would not say which one it is that cannot be read."""
    try:
        with path.open("rb"):
            return str(path)
    except OSError as error:
        raise CredentialsMissing(f"the {what} file {path} cannot be read: {error.strerror}") from error


def warn_if_open(path: Path, mode: int) -> None:
    """Once for each file."""
    if mode & stat.S_IROTH and path not in _warned:
        _warned.add(path)
        logger.warning("everybody on this machine can read %s: chmod 600", path)


@dataclass(frozen=True)
class PrometheusAccess:
    """What the agent's own Prometheus wants to see, and how it is known to be the right one (``server_http.Shown``)."""

    bearer_token_file: Path | None = None
    username: str | None = None
    password_file: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str | None = None

    @property
    def holds_secret(self) -> bool:
        return bool(self.bearer_token_file or self.password_file)

    def headers(self) -> dict[str, str]:
        if self.bearer_token_file:
            return {"Authorization": f"Bearer {read_token(self.bearer_token_file)}"}
        if self.username and self.password_file:
            pair = self.username.encode() + b":" + read_secret(self.password_file, "password")
            return {"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}
        return {}

    def ca_file(self) -> str | None:
        return readable(self.ca, "CA") if self.ca else None

    def client_certificate(self) -> str | tuple[str, str] | None:
        if self.certificate is None:
            return None
        certificate = readable(self.certificate, "certificate")
        if self.key is None:
            return certificate
        key = readable(self.key, "key")
        warn_if_open(self.key, self.key.stat().st_mode)
        return certificate, key
