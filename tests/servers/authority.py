"""A certificate authority of a test's own, and what a server with passwords is told."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from tests.servers.binaries import find, library_path

PASSWORD = "pä:ss"
BCRYPT = "$2b$04$abcdefghijklmnopqrstuuhC0bPoUtF5o8bp2gaL0R3/vQ51MSUoO"  # of that password, made cheap
LOGIN = ("jürgen".encode(), PASSWORD.encode())
"""For requests, which would take text for Latin-1."""


class Authority:
    """A certificate authority of this test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._openssl("req", "-x509", *self._new("ca"), "-subj", "/CN=test authority", "-out", "ca.pem")

    def issue(self, name: str, alternative: str) -> None:
        """<name>.pem and <name>.key."""
        (self.folder / "names").write_text(f"subjectAltName={alternative}\n")
        self._openssl("req", *self._new(name), "-subj", f"/CN={name}", "-out", f"{name}.csr")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "2")
        self._openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem")

    def _new(self, name: str) -> tuple[str, ...]:
        return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key"

    def _openssl(self, *arguments: str) -> None:
        openssl = find("openssl")
        environment = {**os.environ, **library_path(openssl)}
        subprocess.run([openssl, *arguments], cwd=self.folder, check=True, capture_output=True, env=environment)


def tls_files(authority: Authority, **more: str) -> dict[str, Any]:
    """The web configuration of a server that shows server.pem."""
    folder = authority.folder
    return {"tls_server_config": {"cert_file": f"{folder}/server.pem", "key_file": f"{folder}/server.key", **more}}
