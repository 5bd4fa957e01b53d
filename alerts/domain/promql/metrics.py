"""Which metrics an expression reads."""

from __future__ import annotations

from alerts.domain.promql.expression import Expression

ANY = "*"
"""Stands for "cannot be told": a selector without a name, or with a regex for one."""


def metrics_read(expression: Expression) -> frozenset[str]:
    """Names of the metrics selected, with ``ANY`` among them when some selector's can be several."""
    known: frozenset[str] | None = expression.known.get("metrics")
    if known is None:
        known = frozenset([selector.name if selector.name is not None else ANY for selector in expression.selectors])
        expression.remember("metrics", known)
    return known
