"""Requests to one server, and everything that can go wrong with them.

::

    PrometheusError
    ├── PrometheusUnavailable     nobody there, too slow, still starting: worth a retry
    │   └── CredentialsUnusable   the secret or certificate it wants to see cannot be had
    ├── AddressRefused            its URL is not among those that may be asked
    ├── ReloadRefused             it keeps all the rules it had; only vmalert says why
    ├── LifecycleDisabled         it was started without --web.enable-lifecycle
    └── BadAnswer                 something answers, but it is not a Prometheus as we know it

Answers are bounded in size and time, redirects are not followed, and neither proxies nor credentials are picked up from
the environment.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any, Protocol
from urllib.parse import unquote, urlencode, urlsplit, urlunsplit

import certifi
import urllib3
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import HTTPError, LocationValueError, NewConnectionError
from urllib3.exceptions import TimeoutError as TimedOut
from urllib3.util import Url, make_headers, parse_url

from alerts.adapters.allowed_urls import is_allowed
from alerts.adapters.credentials import CredentialsMissing
from alerts.adapters.server_pools import HEADERS, server_pools

MAX_ANSWER = 512 * 1024 * 1024  # 100,000 rules are 56 MB
MAX_WORDS = 1_000
CHUNK = 1 << 18


class PrometheusError(Exception):
    """Prometheus did not do what was asked; the message is for a person."""


class PrometheusUnavailable(PrometheusError):
    """``timed_out``: it may have done what was asked all the same."""

    def __init__(self, message: str, *, timed_out: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out


class CredentialsUnusable(PrometheusUnavailable):
    pass


class AddressRefused(PrometheusError):
    pass


class ReloadRefused(PrometheusError):
    pass


class LifecycleDisabled(PrometheusError):
    pass


class BadAnswer(PrometheusError):
    pass


class Shown(Protocol):
    """What a server wants to see, and how it is known to be the right one (``credentials`` says more). Asked for every
    request; CredentialsMissing where something cannot be had."""

    def headers(self) -> dict[str, str]: ...
    def ca_file(self) -> str | None: ...
    def client_certificate(self) -> str | tuple[str, str] | None: ...
    @property
    def server_name(self) -> str | None: ...


class ServerHttp:
    """Threads may share it."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        max_answer: int,
        credentials: Shown,
        allowed: Collection[str] | None,
    ) -> None:
        self.url = url
        self.name = _without_credentials(url)
        self.timeout = timeout
        self.max_answer = max_answer
        self.credentials = credentials
        self.allowed = allowed
        self._pools = server_pools(allowed)

    def ask(
        self,
        method: str,
        path: str,
        *,
        form: Mapping[str, str] | None = None,
        timeout: float | None = None,
        until: re.Pattern[bytes] | None = None,
        at_most: int | None = None,
    ) -> tuple[int, bytes]:
        """Status and body; of the body no more than up to ``until``, and little more than ``at_most`` bytes."""
        if self.allowed is not None and not is_allowed(self.url, self.allowed):
            raise AddressRefused(f"{self.name} is not among PROMETHEUS_ALLOWED_HOSTS")
        patience = timeout or self.timeout
        deadline = time.monotonic() + patience
        try:
            # Asked before anything goes out: what cannot be shown is no reason to ask.
            headers = {**HEADERS, **self._own_headers, **self.credentials.headers()}
            pool = self._pool()
        except CredentialsMissing as error:
            raise CredentialsUnusable(f"{self.name} cannot be asked: {error}") from error
        except (HTTPError, ValueError):  # whose words would repeat a password in it
            raise BadAnswer(f"{self.name} is no address of a server") from None
        body = None
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(form, errors="replace")
        try:
            answer = pool.urlopen(
                method,
                (self._parts.path or "") + path,
                body=body,
                headers=headers,
                timeout=urllib3.Timeout(connect=min(self.timeout, patience), read=patience),
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except NewConnectionError as error:  # to urllib3 also a way of being late
            raise PrometheusUnavailable(f"{self.name} cannot be reached: {_cause(error)}") from error
        except TimedOut as error:
            raise self._too_late(patience) from error
        except (HTTPError, OSError) as error:
            raise PrometheusUnavailable(f"{self.name} cannot be reached: {_cause(error)}") from error
        try:
            return answer.status, self._read(answer, deadline, patience, until, at_most)
        except TimedOut as error:
            raise self._too_late(patience) from error
        except (HTTPError, ValueError, OSError) as error:
            raise BadAnswer(f"{self.name} does not speak HTTP as expected: {_cause(error)}") from error
        finally:
            answer.close()  # unless it was read to its end: then its connection waits for the next question

    def _too_late(self, patience: float) -> PrometheusUnavailable:
        return PrometheusUnavailable(f"{self.name} did not answer within {patience:g} s", timed_out=True)

    def _read(
        self,
        raw: urllib3.BaseHTTPResponse,
        deadline: float,
        patience: float,
        until: re.Pattern[bytes] | None,
        at_most: int | None,
    ) -> bytes:
        """The body as it came; a server that sends a byte now and then does not hold us longer than a silent one."""
        parts, size = list[bytes](), 0
        while part := raw.read1(CHUNK, decode_content=False):
            parts.append(part)
            size += len(part)
            if size > self.max_answer:
                raise BadAnswer(f"{self.name} sent more than {self.max_answer} bytes")
            if until is not None:
                parts = [b"".join(parts)]
                if until.search(parts[0]):
                    break
            if at_most is not None and size > at_most:
                break
            if time.monotonic() > deadline:
                message = f"{self.name} did not finish its answer within {patience:g} s"
                raise PrometheusUnavailable(message, timed_out=True)
        return b"".join(parts)

    @cached_property
    def _parts(self) -> Url:
        parts = parse_url(self.url)
        if parts.scheme not in ("http", "https") or not parts.host:
            raise LocationValueError("it has to begin with http:// or https:// and a host")
        return parts

    @cached_property
    def _own_headers(self) -> dict[str, str]:
        """Of a user and password in the address itself."""
        user, given, password = (self._parts.auth or "").partition(":")
        if not user and not given:
            return {}
        return {"Authorization": make_headers(basic_auth=f"{unquote(user)}:{unquote(password)}")["authorization"]}

    def _pool(self) -> HTTPConnectionPool:
        """What its certificate is held to is part of the pool: another file, other connections."""
        certificate = self.credentials.client_certificate()
        cert_file, key_file = certificate if isinstance(certificate, tuple) else (certificate, None)
        tls: dict[str, Any] = {
            "ca_certs": self.credentials.ca_file() or certifi.where(),
            "cert_reqs": "CERT_REQUIRED",
            "cert_file": cert_file,
            "key_file": key_file,
        }
        if name := self.credentials.server_name:
            tls |= {"server_hostname": name, "assert_hostname": name}
        parts = self._parts
        return self._pools.connection_from_host(parts.host, parts.port, parts.scheme, tls)


def _cause(error: Exception) -> str:
    """The innermost reason: libraries wrap it several times, with addresses of objects in between."""
    seen: BaseException = error
    while (inner := seen.__cause__ or seen.__context__) is not None:
        seen = inner
    return getattr(seen, "strerror", None) or str(seen) or type(seen).__name__


def _without_credentials(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the address of Prometheus"  # whatever it is, it must not be told
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
