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
import threading
import time
from collections.abc import Collection, Mapping
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

import requests
import urllib3

from alerts.adapters.allowed_urls import is_allowed
from alerts.adapters.credentials import CredentialsMissing
from alerts.adapters.server_session import server_session

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
    """Threads may share it: each has connections of its own."""

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
        self._sessions = threading.local()

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
            with self._session().request(
                method,
                self.url + path,
                data=form,
                headers=self.credentials.headers(),
                verify=self.credentials.ca_file() or True,
                cert=self.credentials.client_certificate(),
                timeout=(min(self.timeout, patience), patience),
                allow_redirects=False,
                stream=True,
            ) as response:
                return response.status_code, self._read(response.raw, deadline, patience, until, at_most)
        except CredentialsMissing as error:
            raise CredentialsUnusable(f"{self.name} cannot be asked: {error}") from error
        except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
            raise PrometheusUnavailable(f"{self.name} did not answer within {patience:g} s", timed_out=True) from error
        except requests.ConnectionError as error:
            raise PrometheusUnavailable(f"{self.name} cannot be reached: {_cause(error)}") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError, OSError) as error:
            raise BadAnswer(f"{self.name} does not speak HTTP as expected: {_cause(error)}") from error

    def _read(
        self,
        raw: urllib3.HTTPResponse,
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

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._sessions, "session", None)
        if session is None:
            session = self._sessions.session = server_session(
                server_name=self.credentials.server_name, allowed=self.allowed
            )
        return session


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
