"""Which Prometheus server a request is about: the one its path names by id, or ``?server=`` by name."""

from __future__ import annotations

from typing import Any

from alerts.api.problems import ApiProblem, parameter_entry
from alerts.api.query import Parameter
from alerts.models import DEFAULT_SERVER, PrometheusServer, Release

_NAME: dict[str, Any] = {"max_length": 100, "example": DEFAULT_SERVER}
SERVER = Parameter("server", "text", "The Prometheus server, by name.", default=DEFAULT_SERVER, **_NAME)
ONE_OF_THEM = Parameter("server", "text", "Only what this server evaluates, by name.", **_NAME)
OF_SERVER = Parameter("server", "text", "Only those of this server, by name; it may be deleted.", **_NAME)


def known(name: str) -> str:
    """The name, if a living server has it; 404 without."""
    if not PrometheusServer.objects.living().filter(name=name).exists():
        message = f"there is no Prometheus server {name!r}"
        raise ApiProblem(404, "not_found", message, parameter_entry("server", "not_found", message))
    return name


def ever_known(name: str) -> str:
    """The name, if a server has or had it, be it that only its releases are left; 404 without."""
    if PrometheusServer.objects.filter(name=name).exists() or Release.objects.filter(server=name).exists():
        return name
    return known(name)


def name_of(server_id: int) -> str:
    """The name of a living server; 404 without."""
    name = PrometheusServer.objects.living().filter(pk=server_id).values_list("name", flat=True).first()
    if name is None:
        raise ApiProblem(404, "not_found", f"there is no Prometheus server {server_id}")
    return name
