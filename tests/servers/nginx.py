"""An nginx in front of a web server, with a certificate of our own, configured as a document says."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.servers import took_part
from tests.servers.binaries import find, library_path, version_of
from tests.servers.processes import Process, free_port, started

# Its own places are compiled in: all of them are moved below the folder.
WHOLE = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr info;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
{servers}
}}
"""


class Nginx:
    """`configuration`: upstream and server blocks for `host`, as in production; `behind`: the web server's port."""

    def __init__(self, folder: Path, configuration: str, *, host: str, behind: int) -> None:
        self.folder = folder
        self.host = host
        self.behind = behind
        self.configuration = configuration
        self.binary = find("nginx")
        self.certificate = folder / "certificate.pem"
        self.http, self.https = 0, 0
        self._process: Process | None = None

    def start(self) -> Nginx:
        self.folder.mkdir(parents=True)
        self._make_certificate()

        def make(_: int) -> Process:
            self.http, self.https = free_port(), free_port()
            (self.folder / "nginx.conf").write_text(WHOLE.format(servers=self._here()))
            environment = {"PATH": "/usr/bin:/bin", **library_path(self.binary)}
            return Process([self.binary, "-p", self.folder, "-c", "nginx.conf"], self.folder, env=environment)

        says = "start worker processes|using the .* event method"
        self._process = started(make, says, taken="Address already in use")
        took_part.note(f"nginx {version_of(self.binary, '-v')}")
        return self

    def stop(self) -> None:
        if self._process:
            self._process.stop()
            self._process = None

    def _here(self) -> str:
        """With ports and files of this test; nothing else is changed."""
        replaced = {
            r"listen 80;": f"listen 127.0.0.1:{self.http};",
            r"listen 443 ": f"listen 127.0.0.1:{self.https} ",
            r"server 127\.0\.0\.1:8000;": f"server 127.0.0.1:{self.behind};",
            r"ssl_certificate [^;]*;": f"ssl_certificate {self.certificate};",
            r"ssl_certificate_key [^;]*;": f"ssl_certificate_key {self.folder / 'key.pem'};",
        }
        text = self.configuration
        for pattern, ours in replaced.items():
            text, times = re.subn(pattern, ours, text)
            assert times == 1, pattern
        return text

    def _make_certificate(self) -> None:
        openssl = find("openssl")
        names = f"subjectAltName=DNS:{self.host},IP:127.0.0.1"
        options = [
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            f"/CN={self.host}",
            "-addext",
            names,
        ]
        files = ["-keyout", str(self.folder / "key.pem"), "-out", str(self.certificate)]
        environment = {**os.environ, **library_path(openssl)}
        subprocess.run([openssl, "req", *options, *files], check=True, capture_output=True, env=environment)
