"""Policy that comes in a file and is loaded again and again: an ``external_id`` of the pack's finds each object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Literal

from alerts.models import PolicyRow

Done = Literal["created", "changed", "unchanged"]


def put(
    model: type[PolicyRow],
    actions: ModuleType,
    external_id: str,
    values: Mapping[str, Any],
    once: Mapping[str, Any] | None = None,
) -> tuple[Any, Done]:
    """Create the object, or bring the one of an earlier load to ``values``; ``once`` counts at creation only."""
    row = model.objects.living().filter(external_id=external_id).first()
    if row is None:
        create: Callable[..., Any] = actions.create
        return create({**values, **(once or {}), "external_id": external_id}), "created"
    written = actions.update(row.pk, values)
    return written, "changed" if written.version != row.version else "unchanged"
