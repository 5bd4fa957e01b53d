"""Which servers there are, and how each is reached: rows first, settings where a row says nothing."""

from __future__ import annotations

from pathlib import Path
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db.models import Subquery

from alerts.actions.errors import NotFound
from alerts.actions.policy import LoadedPolicy
from alerts.adapters.server_spec import ServerSpec
from alerts.models import DEFAULT_SERVER, PolicyState, PrometheusServer


def spec_of(row: PrometheusServer) -> ServerSpec:
    """What delivering to this server needs to know."""
    is_default = row.name == DEFAULT_SERVER
    return ServerSpec(
        name=row.name,
        url=row.url or settings.PROMETHEUS_URL,
        rule_dir=_rule_dir(row, is_default),
        delivery=row.delivery,  # type: ignore[arg-type]
        layout=row.layout or settings.PROMETHEUS_RULE_LAYOUT,  # type: ignore[arg-type]
        selector=row.selector,
        auth=row.auth,
        tls=row.tls,
        enabled=row.enabled,
        reload_enabled=settings.PROMETHEUS_RELOAD_ENABLED,
        file_mode=settings.PROMETHEUS_RULE_FILE_MODE,
        timeout=settings.PROMETHEUS_TIMEOUT,
    )


def _rule_dir(row: PrometheusServer, is_default: bool) -> Path:
    if is_default and not row.rule_dir:
        return Path(settings.PROMETHEUS_RULE_DIR)
    return Path(settings.PROMETHEUS_RULE_ROOTS[0]) / (row.rule_dir or row.name)  # an absolute path stands for itself


def find(name: str) -> ServerSpec | None:
    """A living server's; None when there is none of this name."""
    row = PrometheusServer.objects.living().filter(name=name).first()
    return spec_of(row) if row is not None else None


def spec(name: str = DEFAULT_SERVER) -> ServerSpec:
    """A living server's, or NotFound."""
    found = find(name)
    if found is None:
        raise NotFound("prometheus-server", [])
    return found


def spec_at_revision(name: str) -> tuple[ServerSpec, int]:
    """A living server, and the policy's revision at that very moment: one statement. Or NotFound."""
    revision = Subquery(PolicyState.objects.filter(pk=1).values("revision"))
    row = PrometheusServer.objects.living().filter(name=name).annotate(policy_revision=revision).first()
    if row is None:
        raise NotFound("prometheus-server", [])
    return spec_of(row), row.policy_revision or 0


def living() -> list[ServerSpec]:
    """All that are not deleted, by name; also those that are not enabled."""
    return [spec_of(row) for row in PrometheusServer.objects.living().order_by("name")]


def enabled_at(loaded: LoadedPolicy) -> list[ServerSpec]:
    """Those that are enabled at a revision: an edit of a server is a revision, too, so they are read once for each."""
    rows = _rows_at.get(loaded)
    if rows is None:
        rows = list(PrometheusServer.objects.living().order_by("name"))
        if PolicyState.current() == loaded.revision:  # else they may be those of a later one
            _rows_at[loaded] = rows
    return [spec_of(row) for row in rows if row.enabled]


_rows_at: WeakKeyDictionary[LoadedPolicy, list[PrometheusServer]] = WeakKeyDictionary()


def enabled() -> list[ServerSpec]:
    """All that policy is delivered to, by name."""
    return [server for server in living() if server.enabled]
