"""Settings from environment variables: typed, with every fault kept for ``manage.py check`` instead of raised.

A faulty variable leaves its default in place, so that a command can still start and say what is wrong; the doors that
serve (``wsgi``, ``celery``) refuse to open while there is a fault.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from urllib.parse import urlsplit

from alerts.adapters.allowed_urls import check_base_url

YES = frozenset(("1", "true", "yes", "on"))
NO = frozenset(("0", "false", "no", "off", ""))
ABSOLUTE = "Use an absolute path: working directories differ from process to process."
HOST = re.compile(r"\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*\Z", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Problem:
    """A wrong setting: ``id`` is the system check's id."""

    id: str
    name: str
    message: str
    hint: str


class Environment:
    """Reads variables and collects ``problems``. Every method: name, default, and the check id for a wrong value."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.problems: list[Problem] = []

    def wrong(self, check_id: str, name: str, message: str, hint: str) -> None:
        self.problems.append(Problem(check_id, name, f"{name} {message}", hint))

    def given(self, name: str) -> str | None:
        """The value without surrounding blanks; None when it is absent or empty."""
        return self._variables.get(name, "").strip() or None

    def text(self, name: str, default: str) -> str:
        return self.given(name) or default

    def words(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """A list, separated by commas."""
        found = tuple(word.strip() for word in (self.given(name) or "").split(",") if word.strip())
        return found or default

    def boolean(self, name: str, default: bool, check_id: str) -> bool:
        value = self.given(name)
        if value is None:
            return default
        if value.lower() in YES | NO:
            return value.lower() in YES
        self.wrong(check_id, name, f"is {value!r}, which is neither true nor false.", "Use true or false.")
        return default

    def number(self, name: str, default: float, check_id: str, *, low: float, high: float) -> float:
        value = self.given(name)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if low <= number <= high:
            return number
        self.wrong(check_id, name, f"is {value!r}.", f"Use a number from {low:g} to {high:g}.")
        return default

    def mode(self, name: str, default: int, check_id: str) -> int:
        """A file mode in octal, readable for its owner at least."""
        value = self.given(name)
        if value is None:
            return default
        if re.fullmatch(r"(0o?)?[0-7]{3}", value) and int(value[-3:], 8) & 0o400:
            return int(value[-3:], 8)
        self.wrong(check_id, name, f"is {value!r}, which is not a file mode.", "Use three octal digits, as in 0444.")
        return default

    def choice(self, name: str, default: str, choices: tuple[str, ...], check_id: str) -> str:
        value = self.given(name) or default
        if value in choices:
            return value
        self.wrong(check_id, name, f"is {value!r}.", f"Use one of: {', '.join(choices)}.")
        return default

    def matching(self, name: str, default: str, fits: Callable[[str], bool], check_id: str, hint: str) -> str:
        value = self.given(name) or default
        if fits(value):
            return value
        self.wrong(check_id, name, f"is {value!r}.", hint)
        return default

    def folders(self, name: str, default: tuple[str, ...], check_id: str) -> tuple[str, ...]:
        """Absolute paths, separated by commas."""
        found = self.words(name, default)
        for path in found:
            if not os.path.isabs(path):
                self.wrong(check_id, name, f"holds {path!r}, which is not absolute.", ABSOLUTE)
                return default
        return found

    def hosts(self, name: str, default: tuple[str, ...], check_id: str) -> tuple[str, ...]:
        """As a request's ``Host`` has them: without a port, IPv6 addresses in brackets (added where they lack)."""
        for host in self.words(name, ()):
            if host != "*" and not HOST.match(host) and not _is_ipv6(host.removeprefix("[").removesuffix("]")):
                hint = "List hosts without scheme, port or path: alerts.example, .example.org, 10.0.0.5, [::1]."
                self.wrong(check_id, name, f"holds {host!r}, which is no host.", hint)
                return default
        return tuple(f"[{host}]" if _is_ipv6(host) else host for host in self.words(name, default))

    def redis(self, name: str, default: str | None, check_id: str) -> str | None:
        """``redis://`` or ``rediss://``. The URL is not repeated: it may hold a password."""
        value = self.given(name)
        if value is None or _is_redis(value):
            return value or default
        hint = "Use redis://:password@host:6379/0 or rediss://…, or unset it: the worker polls then."
        self.wrong(check_id, name, "is not the URL of a Redis.", hint)
        return default

    def url(self, name: str, default: str, check_id: str) -> str:
        """An absolute http(s) URL without credentials, query or fragment; a trailing slash is dropped."""
        value = self.given(name)
        if value is None:
            return default
        found = check_base_url(value)
        if not found:
            return value.rstrip("/")
        hint = "Use a form such as http://127.0.0.1:9090, without user, password, query or fragment."
        self.wrong(check_id, name, f"{found[0].message}.", hint)
        return default


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _is_redis(url: str) -> bool:
    try:
        parts = urlsplit(url)
        place = parts.hostname and parts.port != 0 and re.fullmatch(r"/?|/\d+", parts.path)
        return parts.scheme in ("redis", "rediss") and bool(place)
    except ValueError:
        return False
