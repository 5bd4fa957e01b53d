"""The database's refusal of a second row of the same name, said as the API says it.

The check is the database's alone: a look beforehand would be wrong as soon as two writers look at once.
"""

from __future__ import annotations

import re

from django.db import IntegrityError

from alerts.actions.errors import Taken
from alerts.domain.errors import Finding

# Constraint → the field to point at, and what is wrong with it. Columns are how SQLite names a constraint.
NAMES: dict[str, tuple[frozenset[str], str, str]] = {
    "namespace_name_taken": (frozenset(("alerts_namespace.name",)), "/name", "Another namespace has this name."),
    "namespace_label_taken": (frozenset(("alerts_namespace.label",)), "/label", "Another namespace has this label."),
    "group_name_taken": (
        frozenset(("alerts_group.namespace_id", "alerts_group.name")),
        "/name",
        "Another group of this namespace has this name.",
    ),
    "group_label_value_taken": (
        frozenset(("alerts_group.namespace_id", "alerts_group.label_value")),
        "/label_value",
        "Another group of this namespace has this label value.",
    ),
    "target_hostname_taken": (frozenset(("alerts_target.hostname",)), "/hostname", "Another target has this hostname."),
    "template_name_taken": (frozenset(("alerts_alerttemplate.name",)), "/name", "Another template has this name."),
    "rule_identity_taken": (
        frozenset(("alerts_alertrule.kind", "alerts_alertrule.key", "alerts_alertrule.scope_key")),
        "/key",
        "There is a rule of this kind and key at this scope already.",
    ),
    "server_name_taken": (frozenset(("alerts_prometheusserver.name",)), "/name", "Another server has this name."),
    "membership_one_group_per_namespace": (
        frozenset(("alerts_membership.target_id", "alerts_membership.namespace_id")),
        "/groups",
        "A target sits in at most one group of a namespace.",
    ),
    **{
        f"{constraint}_external_id_taken": (
            frozenset((f"alerts_{table}.external_id",)),
            "/external_id",
            f"Another {words} has this external id.",
        )
        for constraint, table, words in (
            ("namespace", "namespace", "namespace"),
            ("group", "group", "group"),
            ("target", "target", "target"),
            ("template", "alerttemplate", "alert template"),
            ("rule", "alertrule", "alert rule"),
            ("server", "prometheusserver", "Prometheus server"),
        )
    },
}


def taken(error: IntegrityError) -> Taken | None:
    """What to raise in its place; None when it is about something else."""
    name = _constraint(error)
    return None if name is None else Taken(taken_finding(name))


def taken_finding(constraint: str) -> Finding:
    """What is wrong when this constraint does not hold."""
    _, pointer, message = NAMES[constraint]
    return Finding("taken", message, pointer, hint="Choose another one, or change the one that has it.")


def _constraint(error: IntegrityError) -> str | None:
    diagnosis = getattr(error.__cause__, "diag", None)
    if diagnosis is not None:
        return diagnosis.constraint_name if diagnosis.constraint_name in NAMES else None
    match = re.search(r"UNIQUE constraint failed: (.+)", str(error))
    columns = frozenset(column.strip() for column in match[1].split(",")) if match else frozenset()
    return next((name for name, (known, _, _) in NAMES.items() if known == columns), None)
