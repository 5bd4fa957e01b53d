"""Passwords, tokens and certificates for servers: named by a row, kept in files or variables, read at each use.

A row (`ServerSpec.auth`, `.tls`) says where a secret lies and never what it is::

    auth  {} | {"type": "bearer", "token_file": "eu/token"} | {"type": "bearer", "token_variable": "PROM_AUTH_EU"}
             | {"type": "basic", "username": "x", "password_file": …}  | {…, "password_variable": …}
    tls   {"ca_file": …, "cert_file": …, "key_file": …, "server_name": …}

Laws:

- A file lies below the credentials directory, wherever links lead; so whoever may write rows reads no other file.
  Links that stay inside are followed: Kubernetes mounts secrets through them.
- Only variables named ``PROM_AUTH_*`` are read, for the same reason.
- No secret is in a message, a log or a ``repr``. Certificates are always verified; there is no switch.
"""

from __future__ import annotations

import base64
import os
import re
import stat
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from alerts.domain.errors import Finding

MAX_SECRET = 64 * 1024
MAX_CERTIFICATES = 1024 * 1024
MAX_NAME = 200
VARIABLE = re.compile(r"PROM_AUTH_[A-Z0-9_]+\Z")
SERVER_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:-]*[A-Za-z0-9])?\Z")
SECRETS = {"bearer": "token", "basic": "password"}
LITERALS = ("token", "password", "credentials")
"""What people try to write here."""
TLS_FILES = ("ca_file", "cert_file", "key_file")
WHERE = "put it into a file below PROMETHEUS_CREDENTIALS_DIR, or into a variable named PROM_AUTH_…, and name that here"


class CredentialsMissing(Exception):
    """A secret cannot be had; the message says which and why, for a person."""


@dataclass(frozen=True)
class Credentials:
    """What one server wants to see. Nothing is read before it is used, and nothing read is kept."""

    auth: Mapping[str, Any] = field(default_factory=dict)
    tls: Mapping[str, Any] = field(default_factory=dict)
    directory: Path = Path("credentials")

    def headers(self) -> dict[str, str]:
        """The ``Authorization`` header, or none."""
        if not self.auth:
            return {}
        if findings := check_auth(self.auth):
            raise CredentialsMissing(f"auth{findings[0].pointer.removeprefix('/auth')}: {findings[0].message}")
        secret = self._secret(SECRETS[self.auth["type"]])
        if self.auth["type"] == "bearer":
            if re.search(rb"[^\x21-\x7e]", secret):
                raise CredentialsMissing("the bearer token holds characters that no header can carry")
            return {"Authorization": f"Bearer {secret.decode('ascii')}"}
        pair = self.auth["username"].encode() + b":" + secret
        return {"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}

    def ca_file(self) -> str | None:
        """The authorities to trust instead of the well-known ones."""
        return self._tls_file("ca_file")

    def client_certificate(self) -> str | tuple[str, str] | None:
        """The certificate with its key; one file may hold both."""
        certificate, key = self._tls_file("cert_file"), self._tls_file("key_file")
        return (certificate, key) if certificate and key else certificate

    @property
    def server_name(self) -> str | None:
        """The name its certificate carries, where that is not the URL's host."""
        return self.tls.get("server_name") or None

    def _secret(self, kind: str) -> bytes:
        if name := self.auth.get(f"{kind}_file"):
            secret = _read(self.directory, name)
        else:
            variable = self.auth[f"{kind}_variable"]
            value = os.environ.get(variable)
            if value is None:
                raise CredentialsMissing(f"the variable {variable} is not set")
            secret = os.fsencode(value)
        secret = secret.rstrip(b"\r\n")
        if not secret:
            raise CredentialsMissing(f"{name or self.auth[f'{kind}_variable']} holds no {kind}")
        return secret

    def _tls_file(self, member: str) -> str | None:
        if not self.tls:
            return None
        if findings := check_tls(self.tls):
            raise CredentialsMissing(f"tls{findings[0].pointer.removeprefix('/tls')}: {findings[0].message}")
        name = self.tls.get(member)
        return str(_locate(self.directory, name, MAX_CERTIFICATES)) if name else None


# ------------------------------------------------------------------------------------------------ what a row may say


def check_auth(auth: Any) -> list[Finding]:
    """What is wrong with a row's ``auth``; pointers begin with ``/auth``."""
    if not isinstance(auth, Mapping):
        return [Finding("wrong_type", "must be an object", "/auth")]
    if not auth:
        return []
    kind = auth.get("type")
    if not isinstance(kind, str) or kind not in SECRETS:
        return [*_literals(auth), Finding("unknown_type", "must be bearer or basic", "/auth/type")]
    secret = SECRETS[kind]
    by_file, by_variable = f"{secret}_file", f"{secret}_variable"
    members = {"type", by_file, by_variable, *(("username",) if kind == "basic" else ())}
    found = _literals(auth)
    found += _unknown({name for name in auth if name not in LITERALS}, members, "/auth")
    if kind == "basic":
        found += _check_username(auth.get("username"))
    if by_file in auth and by_variable in auth:
        found.append(Finding("both_given", f"give {by_file} or {by_variable}, not both", f"/auth/{by_variable}"))
    elif by_file in auth:
        found += _check_file_name(auth[by_file], f"/auth/{by_file}")
    elif by_variable in auth:
        found += _check_variable(auth[by_variable], f"/auth/{by_variable}")
    elif not found:
        found.append(Finding("required", f"needs {by_file} or {by_variable}", f"/auth/{by_file}", WHERE))
    return found


def check_tls(tls: Any) -> list[Finding]:
    """What is wrong with a row's ``tls``; pointers begin with ``/tls``."""
    if not isinstance(tls, Mapping):
        return [Finding("wrong_type", "must be an object", "/tls")]
    found = _unknown(tls, {*TLS_FILES, "server_name"}, "/tls")
    for member in TLS_FILES:
        if member in tls:
            found += _check_file_name(tls[member], f"/tls/{member}")
    if "key_file" in tls and "cert_file" not in tls:
        found.append(Finding("required", "key_file needs the cert_file it belongs to", "/tls/cert_file"))
    if "server_name" in tls:
        name = tls["server_name"]
        if not isinstance(name, str) or not SERVER_NAME.match(name) or len(name) > MAX_NAME:
            found.append(Finding("invalid", "must be a host name", "/tls/server_name"))
    return found


def _literals(auth: Mapping[str, Any]) -> list[Finding]:
    return [
        Finding("secret_in_row", f"a {member} is not stored here", f"/auth/{member}", WHERE)
        for member in LITERALS
        if member in auth
    ]


def _unknown(value: Iterable[str], members: Collection[str], pointer: str) -> list[Finding]:
    known = ", ".join(sorted(members))
    return [
        Finding("unknown_member", "unknown member", f"{pointer}/{_escaped(member)}", f"known here: {known}")
        for member in value
        if member not in members
    ]


def _escaped(member: object) -> str:
    return str(member).replace("~", "~0").replace("/", "~1")


def _check_username(username: Any) -> list[Finding]:
    if not isinstance(username, str) or not username or len(username) > MAX_NAME:
        return [Finding("required", "basic needs a username", "/auth/username")]
    if ":" in username or not username.isprintable():
        return [Finding("invalid", "a username holds no colon and no control characters", "/auth/username")]
    return []


def _check_variable(name: Any, pointer: str) -> list[Finding]:
    if isinstance(name, str) and VARIABLE.match(name) and len(name) <= MAX_NAME:
        return []
    return [Finding("invalid", "must be named PROM_AUTH_ and then A-Z, 0-9 or _", pointer)]


def _check_file_name(name: Any, pointer: str) -> list[Finding]:
    if not isinstance(name, str) or not name or len(name) > MAX_NAME or not name.isprintable():
        return [Finding("invalid", "must be the name of a file", pointer)]
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or path == PurePosixPath():
        hint = "name a file below PROMETHEUS_CREDENTIALS_DIR, as in eu/token"
        return [Finding("outside", "must be relative and must not lead upwards", pointer, hint)]
    return []


# ------------------------------------------------------------------------------------------------ files


def _locate(directory: Path, name: str, limit: int) -> Path:
    """The file's true path, which is below the directory's true path."""
    root = os.path.realpath(directory)
    try:
        path = Path(os.path.realpath(Path(root) / name, strict=True))
        status = path.stat()
    except OSError as error:
        raise CredentialsMissing(f"{name} cannot be read: {error.strerror}") from None
    except ValueError:
        raise CredentialsMissing(f"{name!r} is no file name") from None
    if not path.is_relative_to(root):
        raise CredentialsMissing(f"{name} is a link that leads out of the credentials directory")
    if not stat.S_ISREG(status.st_mode):
        raise CredentialsMissing(f"{name} is not a file")
    if status.st_size > limit:
        raise CredentialsMissing(f"{name} is larger than {limit} bytes")
    if not os.access(path, os.R_OK):
        raise CredentialsMissing(f"{name} cannot be read: Permission denied")
    return path


def _read(directory: Path, name: str) -> bytes:
    path = _locate(directory, name, MAX_SECRET)
    try:
        # The last step is no link any more; O_NONBLOCK: nor does a pipe put there meanwhile hold us.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(MAX_SECRET + 1)
    except OSError as error:
        raise CredentialsMissing(f"{name} cannot be read: {error.strerror}") from None
    if len(content) > MAX_SECRET:
        raise CredentialsMissing(f"{name} is larger than {MAX_SECRET} bytes")
    return content
