"""Numbers about the control plane for its own ``/metrics``: read from the rows, so every process says the same."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.conf import settings
from django.db.models import Count, F, QuerySet

from alerts.models import AlertRule, AlertTemplate, Group, Namespace, PolicyState, Release, ServerState, Target


@dataclass(frozen=True)
class Figure:
    """One gauge; ``samples`` are its values by the values of ``labels``."""

    name: str
    help: str
    samples: dict[tuple[str, ...], float]
    labels: tuple[str, ...] = field(default=())


def figures() -> list[Figure]:
    kinds = {
        "namespace": Namespace,
        "group": Group,
        "target": Target,
        "alert_template": AlertTemplate,
        "alert_rule": AlertRule,
    }
    living: dict[tuple[str, ...], float] = {
        (name,): float(model.objects.living().count()) for name, model in kinds.items()
    }
    servers = list(ServerState.objects.all())
    return [
        Figure("config_server_policy_revision", "The revision of the policy.", {(): float(PolicyState.current())}),
        Figure("config_server_objects", "Policy objects that are not deleted.", living, ("type",)),
        Figure(
            "config_server_loaded_revision",
            "The policy revision Prometheus was last seen to hold.",
            {(server.name,): float(server.loaded_revision) for server in servers},
            ("server",),
        ),
        Figure(
            "config_server_delivery_failures",
            "Failed deliveries in a row; 0 after a success.",
            {(server.name,): float(server.failures) for server in servers},
            ("server",),
        ),
        Figure(
            "config_server_pinned",
            "Whether the server is pinned to an old release.",
            {(server.name,): float(server.pinned_release_id is not None) for server in servers},
            ("server",),
        ),
        Figure(
            "config_server_releases",
            "Releases by the state they are in.",
            {(state,): float(count) for state, count in _by_state(Release.objects.all())},
            ("state",),
        ),
        Figure(
            "config_server_promtool_available",
            "Whether rule files are judged by promtool.",
            {(): float(settings.PROMTOOL_PATH is not None)},
        ),
    ]


def _by_state(rows: QuerySet) -> list[tuple[str, int]]:
    return list(rows.order_by().values_list(F("state")).annotate(count=Count("id")).order_by("state"))
