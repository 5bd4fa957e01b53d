"""Explains one key at one position: every layer with what became of it, every field with who had the last word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from alerts.domain.compiled import KeyPlan
from alerts.domain.layers import Layer, Position, Topology
from alerts.domain.resolver import Fold, Setting, claims, fold

Status = Literal["applied", "overridden", "disabled", "orphan"]


@dataclass(frozen=True, slots=True)
class LayerTrace:
    """What became of one layer. ``unused`` names the values it gives to variables that the query does not declare."""

    layer: Layer
    status: Status
    unused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldTrace:
    """The value in force, who set it (None: a layer above forgot it), and what it won over, strongest first."""

    value: Any
    set_by: Setting | None
    over: tuple[Setting, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyTrace:
    """One key at one position; ``layers`` strongest first.

    ``dropped`` says why nothing is compiled here although a rule is in force.
    """

    plan: KeyPlan
    layers: tuple[LayerTrace, ...]
    fields: Mapping[str, FieldTrace]
    dropped: str | None = None


def trace(topology: Topology, plan: KeyPlan, position: Position) -> KeyTrace | None:
    """Explains ``plan`` at ``position``; None when none of its layers applies there."""
    applying = plan.layers_at(topology.scopes_at(position))
    return explain(plan, applying, why_dropped(plan, position)) if applying else None


def explain(plan: KeyPlan, applying: Sequence[Layer], dropped: str | None) -> KeyTrace:
    """The same where the layers that apply, strongest first, are known already: it depends on nothing else."""
    folded = fold(applying[::-1])
    unused = folded.unused_variables() if folded is not None else {}
    layers = tuple([_layer(layer, folded, unused) for layer in applying])
    return KeyTrace(plan, layers, _fields(applying, folded), dropped)


def _layer(layer: Layer, folded: Fold | None, unused: Mapping[str, Setting]) -> LayerTrace:
    if folded is None:
        return LayerTrace(layer, "orphan")
    if layer in folded.orphans:
        return LayerTrace(layer, "orphan")
    if layer not in folded.chain:
        return LayerTrace(layer, "overridden")
    last_word = folded.fields["enabled"][-1]
    status: Status = "disabled" if last_word.layer is layer and not last_word.value else "applied"
    own = tuple(sorted(name for name, setting in unused.items() if setting.layer is layer)) if unused else ()
    return LayerTrace(layer, status, own)


def _fields(applying: Sequence[Layer], folded: Fold | None) -> dict[str, FieldTrace]:
    """Fields of the fold, plus what overridden layers had said about any field."""
    if folded is None:
        return {}
    forgotten: dict[str, list[Setting]] = {}
    if len(folded.chain) + len(folded.orphans) < len(applying):
        for layer in applying:
            if layer not in folded.chain and layer not in folded.orphans:
                for path, value in claims(layer).items():
                    forgotten.setdefault(path, []).append(Setting(value, layer, "config"))
    fields = {}
    for path, said in folded.fields.items():
        over = (*said[-2::-1], *forgotten.pop(path, ())) if len(said) > 1 or forgotten else ()
        fields[path] = FieldTrace(said[-1].value, said[-1], over)
    for path, lost in forgotten.items():
        fields[path] = FieldTrace(None, None, tuple(lost))
    for variable in folded.owner.variables:
        if variable.default is not None:
            path = f"template_vars.{variable.name}"
            fields[path] = _with_default(fields.get(path), Setting(variable.default, folded.owner, "variables"))
    return dict(sorted(fields.items()))


def _with_default(field: FieldTrace | None, default: Setting) -> FieldTrace:
    """A declared default is what any value wins over, and what is left where a value was removed."""
    if field is None or field.set_by is None:
        return FieldTrace(default.value, default, field.over if field else ())
    if field.value is None:
        return FieldTrace(default.value, default, (field.set_by, *field.over))
    return FieldTrace(field.value, field.set_by, (*field.over, default))


def why_dropped(plan: KeyPlan, position: Position) -> str | None:
    """Why nothing is compiled at ``position`` although a rule is in force there; None: nothing was left out."""
    if not plan.dropped:
        return None
    for contradiction in plan.dropped.get(plan.chain(position), ()):
        if contradiction.region.holds(position):
            return (
                f"the query's own matcher {contradiction.matcher} excludes what stronger layers leave of "
                f"{contradiction.scope}: {contradiction.region.text}"
            )
    return None
