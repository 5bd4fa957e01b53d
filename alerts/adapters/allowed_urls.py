"""Which servers may be asked at all: whoever writes rows must not make us a door to other services.

An entry of the list is a host (``prometheus.example.org``), a host with a port (``[::1]:9090``), everything below a
domain (``*.example.org``, not the domain itself) or a network (``10.0.0.0/8``). A URL's host is compared in one form,
however it is written: ``127.1``, ``0x7f.1``, ``2130706433`` and ``[::ffff:127.0.0.1]`` are all 127.0.0.1, which is
also how a C library would read them. A name is matched by entries that are names, an address by addresses.

A name says nothing about where it leads. So that no name leads to a cloud's metadata service, a connection to a
link-local address, or to one of the others where clouds keep theirs, is refused unless the list holds that address, or
a network of such addresses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from alerts.domain.errors import Finding

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL = 2_000
DEFAULT_PORTS = {"http": 80, "https": 443}
NEVER_BY_NAME = (
    *(ip_network("169.254.0.0/16"), ip_network("fe80::/10")),
    *(ip_network("fd00:ec2::/32"), ip_network("100.100.100.200")),  # Amazon's, Alibaba's
)
TRANSLATED = IPv6Network("64:ff9b::/96")
"""IPv4 behind a translator (RFC 6052)."""
NUMBER = re.compile(r"(0[xX][0-9a-fA-F]*|[0-9]+)\Z")
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\Z")
HINT = "PROMETHEUS_ALLOWED_HOSTS lists the hosts that servers may have"


class Host(NamedTuple):
    """Exactly one of the two; a name is in lower case, without a trailing dot, in its ASCII form."""

    name: str = ""
    address: Address | None = None


class Entry(NamedTuple):
    """``below``: the name is a domain whose subdomains are meant. ``port`` None: any."""

    name: str = ""
    below: bool = False
    network: Network | None = None
    port: int | None = None


def check_url(url: object, allowed: Iterable[str]) -> list[Finding]:
    """What stands against a row's ``url``; pointers are ``/url``."""
    found = check_base_url(url)
    try:
        host, port = _host_and_port(_split(url))
    except ValueError:
        return found
    if not any(_matches(entry, host, port) for entry in entries(allowed)):
        found.append(_finding("host_not_allowed", f"{host.address or host.name} is not among the allowed hosts", HINT))
    return found


def check_base_url(url: object) -> list[Finding]:
    """What stands against a URL that others are made from by putting a path behind it, whoever wrote it where."""
    try:
        parts = _split(url)
        _host_and_port(parts)
    except ValueError as error:
        return [_finding("invalid_url", f"is no usable URL: {error}")]
    found = list[Finding]()
    if parts.username is not None or parts.password is not None:
        hint = "auth names the file or the variable that holds a password"
        found.append(_finding("secret_in_row", "must not hold a user name or a password", hint))
    if set(str(url)) & set("?#"):
        found.append(_finding("invalid_url", "must not hold a query or a fragment"))
    return found


def is_allowed(url: str, allowed: Iterable[str]) -> bool:
    """Whether the list admits the URL's host and port."""
    try:
        host, port = _host_and_port(urlsplit(url))
    except ValueError:
        return False
    return any(_matches(entry, host, port) for entry in entries(allowed))


def may_connect(peer: str, allowed: Iterable[str]) -> bool:
    """Whether a connection to this address may be used, whatever name led there."""
    address = _plain(ip_address(peer.partition("%")[0]))
    if _holds(TRANSLATED, address):
        address = IPv4Address(int(address) & 0xFFFF_FFFF)
    if not any(_holds(network, address) for network in NEVER_BY_NAME):
        return True
    listed = [entry.network for entry in entries(allowed) if entry.network is not None]
    return any(_holds(one, address) and any(_within(one, never) for never in NEVER_BY_NAME) for one in listed)


def wrong_entries(allowed: Iterable[str]) -> list[str]:
    """The entries that say nothing."""
    return [text for text in allowed if _entry(text) is None]


def entries(allowed: Iterable[str]) -> list[Entry]:
    return [entry for text in allowed if (entry := _entry(text)) is not None]


def entry_of(url: str) -> str | None:
    """The entry that admits this URL's host, at this port only."""
    try:
        host, port = _host_and_port(urlsplit(url))
    except ValueError:
        return None
    text = str(host.address or host.name)
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"


def _finding(code: str, message: str, hint: str = "") -> Finding:
    return Finding(code, message, "/url", hint)


# ------------------------------------------------------------------------------------------------ hosts


def _split(url: object) -> SplitResult:
    """ValueError in words for a person."""
    if not isinstance(url, str) or not url:
        raise ValueError("it is no text")
    if len(url) > MAX_URL:
        raise ValueError(f"it is longer than {MAX_URL} characters")
    if not url.isprintable() or set(url) & set(' \\"<>'):
        raise ValueError("it holds characters that no URL has")
    return urlsplit(url)


def _host_and_port(parts: SplitResult) -> tuple[Host, int]:
    """ValueError in words for a person."""
    if parts.scheme not in DEFAULT_PORTS:
        raise ValueError("its scheme is neither http nor https")
    if "%" in parts.netloc.rpartition("@")[2]:
        raise ValueError("its host holds a percent sign")
    try:
        port = parts.port
    except ValueError:
        raise ValueError("its port is no port") from None
    if port == 0:
        raise ValueError("its port is no port")
    host = host_of(parts.hostname or "", bracketed="[" in parts.netloc)
    return host, port or DEFAULT_PORTS[parts.scheme]


def host_of(text: str, *, bracketed: bool = False) -> Host:
    """The one form of a host; ValueError when it is none."""
    if bracketed or ":" in text:
        try:
            return Host(address=_plain(IPv6Address(text)))
        except ValueError:
            raise ValueError("its host is no IPv6 address") from None
    # Full-width digits and dots are folded before anything looks like a number or not.
    name = _ascii(text)
    last = name.rpartition(".")[2]
    if NUMBER.match(last):  # as in the WHATWG's URL standard: such a host is an address, or nothing
        return Host(address=_numeric(name))
    if not name or len(name) > 253 or not all(LABEL.match(label) for label in name.split(".")):
        raise ValueError("its host is no host name")
    return Host(name=name)


def _ascii(text: str) -> str:
    if text.isascii():
        return text.lower().removesuffix(".")
    import idna  # megabytes of tables that few names need

    try:
        return idna.encode(text, uts46=True, transitional=False).decode("ascii").lower().removesuffix(".")
    except (idna.IDNAError, UnicodeError):
        raise ValueError("its host is no host name") from None


def _numeric(text: str) -> IPv4Address:
    """``inet_aton``: one to four numbers, decimal, octal or hexadecimal; the last one fills what is left."""
    parts = text.split(".")
    if len(parts) > 4 or not all(NUMBER.match(part) for part in parts):
        raise ValueError("its host is neither a name nor an address")
    numbers = [_number(part) for part in parts]
    *first, last = numbers
    if any(number > 255 for number in first) or last >= 256 ** (5 - len(numbers)):
        raise ValueError("its host is no address")
    value = sum(number << (24 - 8 * place) for place, number in enumerate(first)) + last
    return IPv4Address(value)


def _number(text: str) -> int:
    try:
        if text[:2] in ("0x", "0X"):
            return int(text[2:] or "0", 16)
        return int(text, 8) if text.startswith("0") and len(text) > 1 else int(text)
    except ValueError:
        raise ValueError("its host is no address") from None


def _plain(address: Address) -> Address:
    """An IPv4 address in IPv6's clothes, undressed."""
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


# ------------------------------------------------------------------------------------------------ the list


def _entry(text: str) -> Entry | None:
    text = text.strip()
    try:
        if "/" in text:
            return Entry(network=ip_network(text.strip("[]"), strict=False))
        if text.startswith("*."):
            domain = host_of(text[2:])
            return Entry(name=domain.name, below=True) if domain.name else None
        if text.count(":") > 1 and not text.startswith("["):
            return Entry(network=_single(host_of(text)))
        parts = urlsplit(f"//{text}")
        if "@" in text or parts.path or parts.query or parts.fragment or parts.port == 0:
            return None
        host = host_of(parts.hostname or "", bracketed=text.startswith("["))
        return Entry(name=host.name, network=_single(host), port=parts.port)
    except ValueError:
        return None


def _single(host: Host) -> Network | None:
    return ip_network(host.address) if host.address is not None else None


def _matches(entry: Entry, host: Host, port: int) -> bool:
    if entry.port is not None and entry.port != port:
        return False
    if host.address is not None:
        return entry.network is not None and _holds(entry.network, host.address)
    if entry.network is not None:
        return False
    return host.name.endswith(f".{entry.name}") if entry.below else host.name == entry.name


def _holds(network: Network, address: Address) -> bool:
    return network.version == address.version and address in network


def _within(network: Network, other: Network) -> bool:
    return network.version == other.version and network.subnet_of(other)  # type: ignore[arg-type]
