"""One Prometheus server, over HTTP.

::

    PrometheusError
    ├── PrometheusUnavailable     nobody there, too slow, still starting: worth a retry
    ├── ReloadRefused             it keeps all the rules it had, and does not say why
    ├── LifecycleDisabled         it was started without --web.enable-lifecycle
    └── BadAnswer                 something answers, but it is not a Prometheus as we know it

Answers are bounded in size and time, redirects are not followed, and neither proxies nor credentials are picked up from
the environment.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

import orjson
import requests
import urllib3

from alerts.adapters.loaded_rules import LoadedGroup, LoadedRules

logger = logging.getLogger(__name__)

MAX_ANSWER = 512 * 1024 * 1024  # 100,000 rules are 56 MB
MAX_WORDS = 1_000
CHUNK = 1 << 18
FILES_IN_URL = 40


class PrometheusError(Exception):
    """Prometheus did not do what was asked; the message is for a person."""


class PrometheusUnavailable(PrometheusError):
    """``timed_out``: it may have done what was asked all the same."""

    def __init__(self, message: str, *, timed_out: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out


class ReloadRefused(PrometheusError):
    pass


class LifecycleDisabled(PrometheusError):
    pass


class BadAnswer(PrometheusError):
    pass


class Sample(NamedTuple):
    labels: Mapping[str, str]
    value: float


class Runtime(NamedTuple):
    """``config_ok``: whether its last reload went well; ``loaded_at``: when one last did. None where it cannot tell."""

    config_ok: bool | None
    loaded_at: str | None


class Prometheus:
    def __init__(
        self, url: str, *, timeout: float = 10.0, reload_timeout: float = 120.0, max_answer: int = MAX_ANSWER
    ) -> None:
        self.url = url.rstrip("/")
        self.name = _without_credentials(self.url)
        self.timeout = timeout
        self.reload_timeout = reload_timeout
        self.max_answer = max_answer
        self._sessions = threading.local()

    def ready(self) -> bool:
        try:
            return self._ask("GET", "/-/ready")[0] == 200
        except PrometheusError:
            return False

    def version(self) -> str | None:
        """As it prints it, e.g. ``3.5.3``; None when it has no such page (not quite a Prometheus)."""
        status, body = self._ask("GET", "/api/v1/status/buildinfo")
        version = self._data(status, body).get("version") if status == 200 else None
        return version if isinstance(version, str) else None

    def runtime(self) -> Runtime:
        status, body = self._ask("GET", "/api/v1/status/runtimeinfo")
        if status == 404:
            return Runtime(None, None)
        data = self._data(status, body)
        config_ok, loaded_at = data.get("reloadConfigSuccess"), data.get("lastConfigTime")
        return Runtime(
            config_ok if isinstance(config_ok, bool) else None, loaded_at if isinstance(loaded_at, str) else None
        )

    def config_ok(self) -> bool | None:
        """Whether its last configuration reload succeeded. False means that every reload of ours will fail, too."""
        return self.runtime().config_ok

    def reload(self) -> None:
        """Returns when the new rules are loaded. A refusal keeps all the old ones."""
        status, body = self._ask("POST", "/-/reload", timeout=self.reload_timeout)
        words = _words(body)
        if status == 200:
            return
        if status == 500:
            raise ReloadRefused(f"{self.name} refused the reload: {words}")
        if status == 403:
            raise LifecycleDisabled(
                f"{self.name} does not allow reloads over HTTP: start it with --web.enable-lifecycle"
            )
        raise self._unexpected(status, words)

    def rules(self, files: Collection[str] | None = None) -> LoadedRules:
        """What it has loaded; with ``files`` (paths as Prometheus reports them) only what comes from those.

        A Prometheus before 3 ignores the filter and sends everything, alerts included.
        """
        wanted = None if files is None else frozenset(files)
        parameters = ["exclude_alerts=true"]
        if wanted is not None and len(wanted) <= FILES_IN_URL:  # a longer URL may be refused
            parameters += [f"file[]={quote(file, safe='')}" for file in sorted(wanted)]
        data = self._data(*self._ask("GET", "/api/v1/rules?" + "&".join(parameters)))
        try:
            return LoadedRules(
                tuple(
                    LoadedGroup(group["file"], group["name"], float(group["interval"]), _dicts(group["rules"]))
                    for group in data["groups"] or ()
                    if wanted is None or group["file"] in wanted
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadAnswer(f"{self.name} describes its rules in an unknown way: {error!r}") from error

    def alerts(self) -> list[dict[str, Any]]:
        """Pending and firing ones, as the API words them."""
        alerts = self._data(*self._ask("GET", "/api/v1/alerts")).get("alerts")
        return alerts if isinstance(alerts, list) else []

    def query(self, expression: str) -> list[Sample]:
        """The value of an expression that yields a vector or a scalar, now."""
        data = self._data(*self._ask("POST", "/api/v1/query", form={"query": expression}))
        try:
            if data["resultType"] == "scalar":
                return [Sample({}, float(data["result"][1]))]
            return [Sample(sample["metric"], float(sample["value"][1])) for sample in data["result"]]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise BadAnswer(f"{self.name} answers the query in an unknown way: {error!r}") from error

    def _ask(
        self, method: str, path: str, *, form: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> tuple[int, bytes]:
        patience = timeout or self.timeout
        deadline = time.monotonic() + patience
        try:
            with self._session().request(
                method,
                self.url + path,
                data=form,
                timeout=(min(self.timeout, patience), patience),
                allow_redirects=False,
                stream=True,
            ) as response:
                return response.status_code, self._read(response.raw, deadline, patience)
        except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
            raise PrometheusUnavailable(f"{self.name} did not answer within {patience:g} s", timed_out=True) from error
        except requests.ConnectionError as error:
            raise PrometheusUnavailable(f"{self.name} cannot be reached: {_cause(error)}") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError, OSError) as error:
            raise BadAnswer(f"{self.name} does not speak HTTP as expected: {_cause(error)}") from error

    def _read(self, raw: urllib3.HTTPResponse, deadline: float, patience: float) -> bytes:
        """The body as it came; a server that sends a byte now and then does not hold us longer than a silent one."""
        parts, size = list[bytes](), 0
        while part := raw.read1(CHUNK, decode_content=False):
            parts.append(part)
            size += len(part)
            if size > self.max_answer:
                raise BadAnswer(f"{self.name} sent more than {self.max_answer} bytes")
            if time.monotonic() > deadline:
                message = f"{self.name} did not finish its answer within {patience:g} s"
                raise PrometheusUnavailable(message, timed_out=True)
        return b"".join(parts)

    def _data(self, status: int, body: bytes) -> dict[str, Any]:
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            if status == 200:
                raise BadAnswer(f"{self.name} answers with something that is not JSON") from error
            raise self._unexpected(status, _words(body)) from error
        if isinstance(answer, dict) and status == 200 and isinstance(answer.get("data"), dict):
            data: dict[str, Any] = answer["data"]
            return data
        words = str(answer.get("error", "")) if isinstance(answer, dict) else ""
        raise self._unexpected(status, words[:MAX_WORDS] or "an answer without data")

    def _unexpected(self, status: int, words: str) -> PrometheusError:
        message = f"{self.name} answered {status}: {words}"
        return PrometheusUnavailable(message) if status >= 500 else BadAnswer(message)

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._sessions, "session", None)
        if session is None:
            session = self._sessions.session = requests.Session()
            session.trust_env = False
            # Compressing costs both sides more than a short way does.
            session.headers.update({"User-Agent": "config-server", "Accept-Encoding": "identity"})
        return session


def _dicts(value: Any) -> tuple[dict[str, Any], ...]:
    if value and not all(isinstance(item, dict) for item in value):
        raise TypeError("a rule that is no object")
    return tuple(value or ())


def _words(body: bytes) -> str:
    return body[:MAX_WORDS].decode(errors="replace").strip()


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
