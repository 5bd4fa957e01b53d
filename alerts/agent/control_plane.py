"""The control plane, as the agent meets it: two addresses, a token from a file, and nothing believed unchecked.

TLS is verified, redirects are not followed, proxies and credentials are not picked up from the environment. The token
file is read anew for every request.
"""

from __future__ import annotations

import logging
import ssl
import time
from email.utils import parsedate_to_datetime
from typing import Any

import orjson
import requests
import requests.utils
import urllib3

from alerts.adapters.credentials import CredentialsMissing
from alerts.agent import AGENT_VERSION
from alerts.agent.offer import MAX_BUNDLE, BrokenBundle, Offer, offer_from
from alerts.agent.options import Options
from alerts.agent.secret_files import read_token, readable

logger = logging.getLogger(__name__)

CHUNK = 1 << 18
CONNECT = 10.0
PATIENCE = 30.0
NOTHING_YET = 2.0
MAX_ANSWER = 1 << 16
MAX_WORDS = 300


class NoNews(Exception):
    """It has nothing else to offer; worth another question, not before ``retry_after`` seconds."""

    def __init__(self, retry_after: float = 0.0, words: str = "") -> None:
        super().__init__(words)
        self.retry_after = retry_after


class Away(Exception):
    """No use can be made of it now; worth another try, not before ``retry_after`` seconds."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotWanted(Exception):
    """It answers that it has no use for this, and will not have: not worth another try."""


class ControlPlane:
    """One caller's connection; not for several threads."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._session = requests.Session()
        self._session.trust_env = False
        if options.use_proxy:
            self._session.proxies = requests.utils.get_environ_proxies(options.server)
        self._session.headers.update(
            {"User-Agent": f"config-server-agent/{AGENT_VERSION}", "Accept-Encoding": "identity"}
        )

    def bundle(self, etag: str, wait: int) -> Offer:
        """What this server should hold; NoNews when that is ``etag``. It may wait so many seconds for something new."""
        headers = {"If-None-Match": f'"{etag}"'} if etag else {}
        status, answer, body = self._ask("GET", f"bundle?wait={wait}", headers, None, wait + PATIENCE, MAX_BUNDLE)
        retry_after = _retry_after(answer.get("Retry-After"))
        if status == 304:
            raise NoNews(retry_after or 0.0)
        if status == 404:
            raise NoNews(retry_after or NOTHING_YET, f"{self.options.server} offers nothing yet: {_words(body)}")
        if status != 200:
            raise self._unexpected(status, answer, body)
        offer = offer_from(body, answer.get("ETag", ""))
        if offer.content_hash == etag:
            raise NoNews
        return offer

    def report(self, report: dict[str, Any]) -> None:
        headers = {"Content-Type": "application/json"}
        status, answer, body = self._ask("POST", "report", headers, orjson.dumps(report), PATIENCE, MAX_ANSWER)
        if status in (400, 404, 409, 410, 413, 415, 422):
            raise NotWanted(f"{self.options.server} answered {status}: {_words(body)}")
        if not 200 <= status < 300:
            raise self._unexpected(status, answer, body)

    def _ask(
        self, method: str, what: str, headers: dict[str, str], data: bytes | None, patience: float, most: int
    ) -> tuple[int, Any, bytes]:
        where = self.options.server
        deadline = time.monotonic() + patience
        try:
            with self._session.request(
                method,
                f"{where}/api/v1/agent/{what}",
                headers={**headers, "Authorization": f"Bearer {read_token(self.options.token_file)}"},
                data=data,
                verify=readable(self.options.ca_file, "CA") if self.options.ca_file else True,
                timeout=(CONNECT, patience),
                allow_redirects=False,
                stream=True,
            ) as response:
                return response.status_code, response.headers, _read(response.raw, deadline, most)
        except CredentialsMissing as error:
            raise Away(str(error)) from error
        except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
            raise Away(f"{where} did not answer within {patience:g} s") from error
        except requests.exceptions.SSLError as error:
            raise Away(f"{where} cannot be trusted: {_cause(error)}") from error
        except requests.ConnectionError as error:
            raise Away(f"{where} cannot be reached: {_cause(error)}") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError, OSError) as error:
            raise Away(f"{where} does not speak HTTP as expected: {_cause(error)}") from error

    def _unexpected(self, status: int, headers: Any, body: bytes) -> Away:
        where, retry_after = self.options.server, _retry_after(headers.get("Retry-After"))
        if status == 401:
            message = f"{where} does not accept the token in {self.options.token_file} (401: {_words(body)})"
            return Away(message, retry_after)
        if 300 <= status < 400:
            return Away(f"{where} answered {status}: redirects are not followed, give its own address", retry_after)
        return Away(f"{where} answered {status}: {_words(body)}", retry_after)


def _read(raw: urllib3.HTTPResponse, deadline: float, most: int) -> bytes:
    parts, size = list[bytes](), 0
    while part := raw.read1(CHUNK, decode_content=False):
        parts.append(part)
        size += len(part)
        if size > most:
            raise BrokenBundle(f"the answer is longer than {most} bytes")
        if time.monotonic() > deadline:
            raise requests.Timeout
    return b"".join(parts)


def _retry_after(value: str | None) -> float | None:
    """Seconds, or a date."""
    if not value:
        return None
    try:
        return float(value) if value.strip().isdigit() else parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None


def _words(body: bytes) -> str:
    try:
        problem = orjson.loads(body)
        told = problem.get("detail") or problem.get("title") if isinstance(problem, dict) else None
    except orjson.JSONDecodeError:
        told = None
    return str(told)[:MAX_WORDS] if told else body[:MAX_WORDS].decode(errors="replace").strip()


def _cause(error: BaseException) -> str:
    """The innermost reason: libraries wrap it several times."""
    seen = error
    while (inner := seen.__cause__ or seen.__context__) is not None:
        seen = inner
    if isinstance(seen, ssl.SSLCertVerificationError):
        return seen.verify_message
    return getattr(seen, "strerror", None) or str(seen) or type(seen).__name__
