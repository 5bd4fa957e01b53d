"""One server that evaluates rules, over HTTP: a Prometheus, or what loads the same files (vmalert, a Thanos ruler).

Every flavour is asked in the same words and answers in the same ones:

- vmalert answers a reload at once and reloads afterwards: its counters tell when it has, and whether it went well.
  It shows them anew each second, so a reload takes a second or two here.
- vmalert and Thanos rulers do not keep the order of rules, nor the latter their labels (see ``LoadedRules``).
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from alerts.adapters import server_metrics
from alerts.adapters.credentials import Credentials
from alerts.adapters.loaded_rules import LoadedGroup, LoadedRules
from alerts.adapters.server_http import (
    MAX_ANSWER,
    MAX_WORDS,
    AddressRefused,
    BadAnswer,
    CredentialsUnusable,
    LifecycleDisabled,
    PrometheusError,
    PrometheusUnavailable,
    ReloadRefused,
    ServerHttp,
    Shown,
)
from alerts.adapters.server_metrics import VmalertReloads
from alerts.adapters.server_spec import ServerSpec

logger = logging.getLogger(__name__)

__all__ = (
    "AddressRefused",
    "BadAnswer",
    "CredentialsUnusable",
    "LifecycleDisabled",
    "Prometheus",
    "PrometheusError",
    "PrometheusUnavailable",
    "ReloadRefused",
)

FILES_IN_URL = 40
MAX_OUTLINE = 8 * 1024 * 1024  # beyond some 8,000 groups the rules themselves are not much longer
VMALERT_LOOKS = 0.1  # seconds between two looks at its counters

PROMETHEUS, VMALERT, THANOS = "prometheus", "vmalert", "thanos"


class Sample(NamedTuple):
    labels: Mapping[str, str]
    value: float


class Runtime(NamedTuple):
    """``config_ok``: whether its last reload went well; ``loaded_at``: when one last did. None where it cannot tell."""

    config_ok: bool | None
    loaded_at: str | None


class Prometheus:
    """``allowed``: the hosts that may be asked (see ``allowed_urls``); None: any, as the URL is the operator's own."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 10.0,
        reload_timeout: float = 120.0,
        max_answer: int = MAX_ANSWER,
        credentials: Shown | None = None,
        allowed: Collection[str] | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.reload_timeout = reload_timeout
        self._http = ServerHttp(
            self.url, timeout=timeout, max_answer=max_answer, credentials=credentials or Credentials(), allowed=allowed
        )
        self.name = self._http.name
        self._ask = self._http.ask
        self._flavour = ""
        self._version = ""

    @classmethod
    def of(cls, spec: ServerSpec, *, credentials_dir: str | Path, allowed: Collection[str] | None) -> Prometheus:
        """The server a row describes; nothing is asked or read yet."""
        return cls(
            spec.url,
            timeout=min(spec.timeout, 10.0),
            reload_timeout=spec.timeout,
            credentials=Credentials(spec.auth, spec.tls, Path(credentials_dir)),
            allowed=allowed,
        )

    def ready(self) -> bool:
        try:
            return self._ask("GET", "/-/ready")[0] == 200
        except PrometheusError:
            return False

    def flavour(self) -> str:
        """``prometheus``, ``vmalert``, ``thanos``, or "" for what is none of them. Asked until it is known."""
        if not self._flavour:
            self.runtime()
        return self._flavour

    def version(self) -> str | None:
        """As it prints it, e.g. ``3.5.3``; None when it tells none (some builds of vmalert do not)."""
        status, body = self._ask("GET", "/api/v1/status/buildinfo")
        version: object = None
        if status == 200:
            version = self._data(status, body).get("version")
        elif self.flavour() == VMALERT:
            version = server_metrics.vmalert_version(self._vmalert_head())
        self._version = version if isinstance(version, str) else ""
        return self._version or None

    def known_version(self) -> str | None:
        """As it was told last: who keeps this object for long asks ``version`` now and then."""
        return self._version or self.version()

    def runtime(self) -> Runtime:
        status, body = self._ask("GET", "/api/v1/status/runtimeinfo")
        if status in (400, 404):  # vmalert has no such page, and says so with 400
            return self._vmalert_runtime()
        data = self._data(status, body)
        config_ok, loaded_at = data.get("reloadConfigSuccess"), data.get("lastConfigTime")
        if isinstance(config_ok, bool):
            self._flavour = PROMETHEUS
            return Runtime(config_ok, loaded_at if isinstance(loaded_at, str) else None)
        return self._thanos_runtime()

    def config_ok(self) -> bool | None:
        """Whether its last configuration reload succeeded. False means that every reload of ours will fail, too."""
        return self.runtime().config_ok

    def reload(self) -> None:
        """Returns when the new rules are loaded. A refusal keeps all the old ones."""
        if self.flavour() == VMALERT:
            self._reload_vmalert()
        else:
            self._post_reload()

    def rules(self, files: Collection[str] | None = None, groups: Collection[str] | None = None) -> LoadedRules:
        """What it has loaded; with ``files`` (paths as Prometheus reports them) only what comes from those, with
        ``groups`` only groups of these names.

        A Prometheus before 3 ignores the filter and sends everything, alerts included.
        """
        wanted = None if files is None else frozenset(files)
        parameters = ["exclude_alerts=true"]
        if wanted is not None and len(wanted) <= FILES_IN_URL:  # a longer URL may be refused
            parameters += [f"file[]={quote(file, safe='')}" for file in sorted(wanted)]
        if groups is not None and len(groups) <= FILES_IN_URL:
            parameters += [f"rule_group[]={quote(group, safe='')}" for group in sorted(groups)]
        data = self._data(*self._ask("GET", "/api/v1/rules?" + "&".join(parameters)))
        try:
            found = tuple(
                LoadedGroup(group["file"], group["name"], float(group["interval"]), _dicts(group["rules"]))
                for group in data["groups"] or ()
                if (wanted is None or group["file"] in wanted) and (groups is None or group["name"] in groups)
            )
            # Members that only a Thanos ruler, and only vmalert, gives a group.
            thanos = any("partialResponseStrategy" in group for group in data["groups"] or ())
            vmalert = any("concurrency" in group for group in data["groups"] or ())
            return LoadedRules(found, in_order=not (thanos or vmalert), labels_added=thanos)
        except (KeyError, TypeError, ValueError) as error:
            raise BadAnswer(f"{self.name} describes its rules in an unknown way: {error!r}") from error

    def rules_of(
        self, rule_dir: str | Path, changed: Collection[str] | None, groups: Collection[str] | None = None
    ) -> LoadedRules:
        """As ``rules``, but of files under ``rule_dir`` that are not among the ``changed`` names only the outline; with
        ``groups`` also of the other groups in these.

        A tenth of the work, for both sides, where a Prometheus can filter (3.0 and later); else everything is read.
        """
        outline = self._outline() if changed is not None and len(changed) <= FILES_IN_URL else None
        if changed is None or outline is None:
            return self.rules()
        paths = {group.file for name, groups in outline.under(rule_dir).items() if name in changed for group in groups}
        closely = self.rules(paths, groups) if paths else LoadedRules(())
        rest = (
            group
            for group in outline.groups
            if group.file not in paths or (groups is not None and group.name not in groups)
        )
        return LoadedRules((*rest, *closely.groups))

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

    def objection(self, expression: str) -> str | None:
        """What its own parser has against an expression; None when it can be evaluated, or nobody can say.

        Asked about 1970, of which it holds no series: that costs it next to nothing.
        """
        status, body = self._ask("POST", "/api/v1/query", form={"query": expression, "time": "0"})
        with suppress(orjson.JSONDecodeError):
            answer = orjson.loads(body) if status == 400 else None
            if isinstance(answer, dict) and answer.get("errorType") == "bad_data":
                return str(answer.get("error", ""))[:MAX_WORDS] or "it does not say why"
        return None

    # -- flavours ------------------------------------------------------------------------------------------------------

    def _outline(self) -> LoadedRules | None:
        """None where there is none to be had, for whatever reason: the whole list decides then."""
        try:
            if self.flavour() != PROMETHEUS or not re.match(r"([3-9]|\d\d+)\.", self.version() or ""):
                return None  # it could not filter afterwards
            status, page = self._ask("GET", "/metrics", at_most=MAX_OUTLINE)
        except PrometheusError:
            return None
        return server_metrics.outline(page) if status == 200 and len(page) <= MAX_OUTLINE else None

    def _post_reload(self) -> None:
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

    def _thanos_runtime(self) -> Runtime:
        status, page = self._ask("GET", "/metrics")
        config_ok = server_metrics.thanos_reloaded(page) if status == 200 else None
        if config_ok is not None:
            self._flavour = THANOS
        return Runtime(config_ok, None)

    def _vmalert_runtime(self) -> Runtime:
        reloads = server_metrics.vmalert_reloads(self._vmalert_head())
        if reloads is None:
            return Runtime(None, None)
        self._flavour = VMALERT
        return Runtime(reloads.successful, datetime.fromtimestamp(reloads.loaded_at, UTC).isoformat())

    def _reload_vmalert(self) -> None:
        """It reloads one time after the other: when a further one has begun, ours has ended.

        One that found something new sets the time of loading, one that failed counts as such: these need no further
        one. Where its counters are closed to us, reading back has the only word.
        """
        deadline = time.monotonic() + self.reload_timeout
        before = server_metrics.vmalert_reloads(self._vmalert_head())
        self._post_reload()
        if before is None:
            return
        seen = self._await_vmalert(before.begun + 1, before, deadline)
        if seen is not None and (seen.failed, seen.loaded_at) == (before.failed, before.loaded_at):
            self._post_reload()
            seen = self._await_vmalert(before.begun + 2, before, deadline)
        if seen is not None and seen.failed > before.failed and not seen.successful:
            raise ReloadRefused(f"{self.name} refused the reload: {self._vmalert_words()}")

    def _await_vmalert(self, begun: int, before: VmalertReloads, deadline: float) -> VmalertReloads | None:
        """Its counters, once so many reloads have begun; None: it was started anew, with what lies there now."""
        while True:
            seen = server_metrics.vmalert_reloads(self._vmalert_head())
            if seen is None or seen.begun < before.begun:
                return None
            if seen.begun >= begun:
                return seen
            if time.monotonic() > deadline:
                message = f"{self.name} did not reload within {self.reload_timeout:g} s"
                raise PrometheusUnavailable(message, timed_out=True)
            time.sleep(VMALERT_LOOKS)

    def _vmalert_head(self) -> bytes:
        """Its counters come before those of every rule, of which there are megabytes."""
        status, page = self._ask("GET", "/metrics", until=server_metrics.VMALERT_HEAD_ENDS)
        return page if status == 200 else b""

    def _vmalert_words(self) -> str:
        try:
            words = server_metrics.vmalert_error(self._ask("GET", "/")[1])
        except PrometheusError:
            words = None
        return (words or "it does not say why")[:MAX_WORDS]

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
        if 300 <= status < 400:
            words = "redirects are not followed; give the server's own address"
        message = f"{self.name} answered {status}: {words}"
        return PrometheusUnavailable(message) if status >= 500 else BadAnswer(message)


def _dicts(value: Any) -> tuple[dict[str, Any], ...]:
    if value and not all(isinstance(item, dict) for item in value):
        raise TypeError("a rule that is no object")
    return tuple(value or ())


def _words(body: bytes) -> str:
    return body[:MAX_WORDS].decode(errors="replace").strip()
