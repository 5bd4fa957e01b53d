"""Namespaces, groups and targets: what they may be called, and which labels they may carry."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from alerts.domain.errors import Finding
from alerts.domain.layers import Topology
from alerts.domain.names import (
    LONGEST_NAME,
    below,
    check_name,
    check_text,
    is_label_name,
    json_type,
    shown,
    unknown_fields,
)

from .config import LONGEST_LABEL, MOST_LABELS

RESERVED_NAMESPACES = ("global", "target")
"""They would make the words for a scope ambiguous: ``global`` and ``target/<hostname>``."""

ENDPOINT_FIELDS = ("job", "port", "path", "scheme")
MOST_ENDPOINTS = 64
LARGEST_PRIORITY = 2**31 - 1

_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_PART}(?:\.{_PART})*\.?")
_LONGEST_HOST = 253
_PATH = re.compile(r"/[^\x00-\x20?#\x7f-\U0010ffff]*")


def check_namespace(name: Any, label: Any, priority: Any, topology: Topology) -> list[Finding]:
    """``label`` as it will be: the name where none was given. Uniqueness is the database's to judge."""
    findings = _name(name, "/name")
    if not findings and name.casefold() in RESERVED_NAMESPACES:
        findings.append(Finding("name_reserved", f"{name!r} is a word for a scope", "/name", "choose another name"))
    elif not findings and "/" in name:
        hint = "a scope reads namespace/group"
        findings.append(Finding("name_invalid", "a namespace's name cannot have a / in it", "/name", hint))
    reserved = {
        topology.target_label: "it carries the target",
        topology.scope_label: "it carries the scope of a rule",
        "alertname": "Prometheus sets it to the rule's name",
        "severity": "it carries the resolved severity",
        "job": "Prometheus sets it to the scrape's job",
        "instance": "Prometheus sets it to the scrape's address",
    }
    if not isinstance(label, str) or not is_label_name(label) or len(label) > LONGEST_NAME:
        hint = "give it a label of letters, digits and _, not a digit first"
        findings.append(Finding("label_name", f"{shown(label)} is not a name for a label", "/label", hint))
    elif label in reserved or label.startswith("__"):
        reason = reserved.get(label, "Prometheus keeps __ names to itself")
        message = f"the label {label!r} cannot carry a namespace: {reason}"
        findings.append(Finding("label_reserved", message, "/label", "choose another label"))
    if isinstance(priority, bool) or not isinstance(priority, int):
        findings.append(Finding("type", f"must be a whole number, not {json_type(priority)}", "/priority"))
    elif abs(priority) > LARGEST_PRIORITY:
        findings.append(Finding("out_of_range", f"{shown(priority)} is beyond ±{LARGEST_PRIORITY}", "/priority"))
    return findings


def check_group(name: Any, label_value: Any) -> list[Finding]:
    """``label_value`` as it will be: the name where none was given."""
    return _name(name, "/name") + _name(label_value, "/label_value")


def check_target(hostname: Any, address: Any, labels: Any, endpoints: Any, topology: Topology) -> list[Finding]:
    """An empty address stands for the hostname, which must then be one Prometheus can reach."""
    findings = _name(hostname, "/hostname")
    findings += _check_address(address, hostname, bool(endpoints))
    findings += _check_own_labels(labels, topology)
    return findings + _check_endpoints(endpoints)


def _name(value: Any, pointer: str) -> list[Finding]:
    finding = check_name(value, pointer)
    return [] if finding is None else [finding]


def _check_address(address: Any, hostname: Any, scraped: bool) -> list[Finding]:
    if not isinstance(address, str):
        return [Finding("type", f"must be a string, not {json_type(address)}", "/address")]
    if address == "":
        if not scraped or not isinstance(hostname, str) or _is_host(hostname):
            return []
        message = f"there is no address, and the hostname {shown(hostname)} is not one"
        return [Finding("address_invalid", message, "/address", "give a host name or an IP address")]
    if _is_host(address):
        return []
    hint = "give a host name or an IP address alone: ports belong to the endpoints, IPv6 needs no brackets"
    return [Finding("address_invalid", f"{shown(address)} is not an address", "/address", hint)]


def _is_host(text: str) -> bool:
    if len(text) > _LONGEST_HOST:
        return False
    if _HOST.fullmatch(text):
        return True
    try:
        return "%" not in text and bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def _check_own_labels(labels: Any, topology: Topology) -> list[Finding]:
    pointer = "/labels"
    if not isinstance(labels, Mapping):
        return [Finding("type", f"must be an object, not {json_type(labels)}", pointer)]
    if len(labels) > MOST_LABELS:
        return [Finding("too_many", f"has {len(labels)} labels, at most {MOST_LABELS} are allowed", pointer)]
    reserved = {namespace.label: "groups say it" for namespace in topology.namespaces}
    reserved[topology.target_label] = "the hostname says it"
    reserved[topology.scope_label] = "it carries the scope of a rule"
    reserved["alertname"] = "Prometheus sets it to the rule's name"
    reserved["job"] = "the endpoints say it"
    reserved["instance"] = "Prometheus sets it to the scrape's address"
    findings = []
    for name, value in labels.items():
        place = below(pointer, name)
        if not is_label_name(name) or len(name) > LONGEST_NAME:
            hint = "use letters, digits and _, not a digit first"
            findings.append(Finding("label_name", f"{shown(name)} is not a name for a label", place, hint))
        elif name in reserved or name.startswith("__"):
            reason = reserved.get(name, "Prometheus keeps __ names to itself")
            findings.append(Finding("label_reserved", f"the label {name!r} is not a target's to set: {reason}", place))
        else:
            finding = check_text(value, place, longest=LONGEST_LABEL, layout=True)
            findings += [finding] if finding else []
    return findings


def _check_endpoints(endpoints: Any) -> list[Finding]:
    pointer = "/endpoints"
    if not isinstance(endpoints, list | tuple):
        return [Finding("type", f"must be an array of endpoints, not {json_type(endpoints)}", pointer)]
    if len(endpoints) > MOST_ENDPOINTS:
        return [Finding("too_many", f"has {len(endpoints)} endpoints, at most {MOST_ENDPOINTS} are allowed", pointer)]
    findings: list[Finding] = []
    seen: list[tuple[Any, ...]] = []
    for index, endpoint in enumerate(endpoints):
        place = below(pointer, index)
        faults = _check_endpoint(endpoint, place)
        if not faults:
            identity = (
                endpoint["job"],
                endpoint["port"],
                endpoint.get("path", "/metrics"),
                endpoint.get("scheme", "http"),
            )
            if identity in seen:
                faults = [Finding("duplicate", "the same endpoint is listed twice", place)]
            seen.append(identity)
        findings += faults
    return findings


def _check_endpoint(endpoint: Any, place: str) -> list[Finding]:
    """``path`` is /metrics and ``scheme`` http where they are left out."""
    if not isinstance(endpoint, Mapping):
        return [Finding("type", f"must be an object, not {json_type(endpoint)}", place)]
    findings = unknown_fields(endpoint, ENDPOINT_FIELDS, place)
    findings += _name(endpoint.get("job", ""), below(place, "job"))
    port = endpoint.get("port")
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65_535:
        findings.append(Finding("port_invalid", f"{shown(port)} is not a port (1 to 65535)", below(place, "port")))
    path = endpoint.get("path", "/metrics")
    if not isinstance(path, str) or len(path) > 1024 or not _PATH.fullmatch(path):
        hint = "begin with /, without spaces, ? and #"
        findings.append(Finding("path_invalid", f"{shown(path)} is not a path", below(place, "path"), hint))
    scheme = endpoint.get("scheme", "http")
    if scheme not in ("http", "https"):
        findings.append(Finding("scheme_invalid", f"{shown(scheme)} is not http or https", below(place, "scheme")))
    return findings
