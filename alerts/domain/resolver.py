"""Folds the layers that apply at one position into the rule in force there (DESIGN 3).

The only definition of what wins. Preview, compiler and trace all call :func:`fold`, so they cannot disagree.

How each field merges, in one sentence:

- ``query_template``, ``variables``, ``default_config``, ``unscoped``, ``partition_by``, ``allow_split``: taken together
  from the strongest layer that has a query (the *owner*).
- ``name``: the strongest layer that sets one, else the key.
- ``enabled``: the last layer that says true or false; an override that says nothing says true.
- ``for_duration``, ``keep_firing_for``, ``interval``, ``severity``: the last one set; ``null`` removes.
- ``labels``, ``annotations``, ``template_vars``: name by name, the last one set; ``null`` removes (RFC 7396).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from alerts.domain import templating
from alerts.domain.errors import Finding, PolicyError
from alerts.domain.layers import Layer

SCALARS = ("for_duration", "keep_firing_for", "interval", "severity")
MAPS = ("labels", "annotations", "template_vars")


@dataclass(frozen=True, slots=True)
class Setting:
    """One layer's word on one field. ``part`` tells which part of the layer: ``config``, ``default_config``, …"""

    value: Any
    layer: Layer
    part: str


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """The outcome of folding: the chain that counts, and for each field all that was said, weakest first.

    ``chain`` and ``orphans`` are weakest first. ``fields`` holds paths such as ``for_duration`` or ``labels.team``; the
    last setting has the last word, and a value of None there means removed.
    """

    key: str
    chain: tuple[Layer, ...]
    orphans: tuple[Layer, ...]
    fields: dict[str, tuple[Setting, ...]]

    @property
    def source(self) -> Layer:
        """The strongest layer of the chain."""
        return self.chain[-1]

    @property
    def owner(self) -> Layer:
        """The strongest layer that has a query."""
        return self.fields["query_template"][-1].layer

    @property
    def enabled(self) -> bool:
        return bool(self.value("enabled"))

    def value(self, path: str) -> Any:
        settings = self.fields.get(path)
        return settings[-1].value if settings else None

    def values(self, prefix: str) -> dict[str, Any]:
        """The surviving entries of a map field, e.g. ``values("labels")``."""
        return {entry: setting.value for entry, setting in self.maps()[prefix].items()}

    def maps(self) -> dict[str, dict[str, Setting]]:
        """The last word on every surviving entry of every map field: ``maps()["labels"]["team"]``."""
        found: dict[str, dict[str, Setting]] = {name: {} for name in MAPS}
        for path, settings in self.fields.items():
            name, dot, entry = path.partition(".")
            if dot and settings[-1].value is not None:
                found[name][entry] = settings[-1]
        return found

    def unused_variables(self) -> dict[str, Setting]:
        """Values that weaker layers set for variables which the query in force does not declare."""
        undeclared = self.undeclared(self.maps()["template_vars"])
        return {name: setting for name, setting in undeclared.items() if self.weaker_than_owner(setting)}

    def undeclared(self, given: Mapping[str, Setting]) -> dict[str, Setting]:
        """Those of the ``given`` variables that the query in force does not declare."""
        if not given:
            return {}
        declared = {variable.name for variable in self.owner.variables}
        return {name: setting for name, setting in given.items() if name not in declared}

    def weaker_than_owner(self, setting: Setting) -> bool:
        return self.chain.index(setting.layer) < self.chain.index(self.owner)


@dataclass(frozen=True, slots=True)
class EffectiveRule:
    """The rule in force: a fold with its templates filled in. Durations as written; labels include ``severity``."""

    name: str
    expr: str
    for_duration: str | None
    keep_firing_for: str | None
    interval: str | None
    severity: str | None
    labels: tuple[tuple[str, str], ...]
    annotations: tuple[tuple[str, str], ...]
    unscoped: tuple[str, ...] = ()
    partition_by: tuple[str, ...] = ()
    allow_split: bool = False


def chain_of(layers: Sequence[Layer]) -> tuple[tuple[Layer, ...], tuple[Layer, ...]]:
    """The layers that count and those that add nothing for want of a query; ``layers`` weakest first."""
    start = 0
    for index in range(len(layers) - 1, -1, -1):
        if layers[index].strategy == "override":
            start = index
            break
    first = start
    while first < len(layers) and layers[first].query is None:
        first += 1
    return tuple(layers[first:]), tuple(layers[start:first])


def fold(layers: Sequence[Layer]) -> Fold | None:
    """Folds ``layers`` (all that apply, weakest first); None when nothing supplies a query."""
    chain, orphans = chain_of(layers)
    if not chain:
        return None
    return Fold(chain[0].key, chain, orphans, _settings(chain))


def content_of(layer: Layer) -> Hashable:
    """All that a layer says, without where: alone, layers of one key with equal content are the same rule.

    Configurations count as equal when they are one object, as they are when many rows hold the same text.
    """
    return (
        layer.name,
        layer.query,
        layer.severity,
        layer.enabled,
        layer.strategy,
        id(layer.default_config),
        id(layer.config),
        layer.variables,
        layer.unscoped,
        layer.partition_by,
        layer.allow_split,
    )


def _settings(chain: tuple[Layer, ...]) -> dict[str, tuple[Setting, ...]]:
    fields: dict[str, tuple[Setting, ...]] = {}

    def say(path: str, setting: Setting) -> None:
        if path in MAPS:  # a null map removes every entry that is there
            for entry in [known for known in fields if known.startswith(path + ".")]:
                fields[entry] = (*fields[entry], setting)
        else:
            fields[path] = (*fields.get(path, ()), setting)

    owner = next(layer for layer in reversed(chain) if layer.query is not None)
    for path, value in _claims(owner.default_config):
        say(path, Setting(value, owner, "default_config"))
    for layer in chain:
        if layer.name is not None:
            say("name", Setting(layer.name, layer, "name"))
        if layer.query is not None:
            say("query_template", Setting(layer.query, layer, "query_template"))
        if layer.enabled is not None:
            say("enabled", Setting(layer.enabled, layer, "enabled"))
        elif layer.strategy == "override" or layer is chain[0]:
            say("enabled", Setting(True, layer, "default"))
        if layer.severity is not None:
            say("severity", Setting(layer.severity, layer, "severity"))
        for path, value in _claims(layer.config):
            say(path, Setting(value, layer, "config"))
    if "name" not in fields:
        say("name", Setting(chain[0].key, chain[0], "key"))
    return fields


def claims(layer: Layer) -> dict[str, Any]:
    """Everything one layer says, by path: what a trace shows for layers that lost."""
    said: dict[str, Any] = {}
    if layer.query is not None:
        said.update(_claims(layer.default_config))
        said["query_template"] = layer.query
    if layer.name is not None:
        said["name"] = layer.name
    if layer.enabled is not None:
        said["enabled"] = layer.enabled
    if layer.severity is not None:
        said["severity"] = layer.severity
    said.update(_claims(layer.config))
    return said


def _claims(config: Any) -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if name in MAPS and value is not None:
            for entry, entry_value in value.items():
                yield f"{name}.{entry}", entry_value
        else:
            yield name, value


@dataclass(frozen=True, slots=True)
class Resolution:
    """A fold filled in: the rule, or the findings that prevent it."""

    rule: EffectiveRule | None
    findings: tuple[Finding, ...] = field(default=())


def resolve(folded: Fold) -> Resolution:
    """Fills the templates of a fold. Reports every finding, each naming the layer whose word it is."""
    owner = folded.owner
    findings: list[Finding] = []
    maps = folded.maps()
    given = maps["template_vars"]
    for name, setting in folded.undeclared(given).items():
        del given[name]
        if not folded.weaker_than_owner(setting):
            findings.append(
                Finding(
                    "variable_undeclared",
                    f"variable {name!r} is not declared by the query in force (rule {owner.rule_id}, {owner.scope})",
                    pointer=f"/{setting.part}/template_vars/{name}",
                    hint="declare it in `variables`, or remove the value",
                    key=folded.key,
                    rule_id=setting.layer.rule_id,
                )
            )

    values = {name: setting.value for name, setting in given.items()}

    def attempt(render: Any, text: str, pointer: str, layer: Layer) -> str:
        try:
            return str(render(text, owner.variables, values))
        except PolicyError as refused:
            findings.extend(_blame(finding, folded, pointer, layer) for finding in refused.findings)
            return ""

    expr = attempt(templating.render_query, owner.query or "", "/query_template", owner)
    labels = _texts("labels", maps["labels"], attempt)
    annotations = _texts("annotations", maps["annotations"], attempt)
    severity = folded.value("severity")
    if severity is not None:
        labels["severity"] = severity
    if findings:
        return Resolution(None, tuple(dict.fromkeys(findings)))
    return Resolution(
        EffectiveRule(
            name=folded.value("name"),
            expr=expr,
            for_duration=folded.value("for_duration"),
            keep_firing_for=folded.value("keep_firing_for"),
            interval=folded.value("interval"),
            severity=severity,
            labels=tuple(sorted(labels.items())),
            annotations=tuple(sorted(annotations.items())),
            unscoped=owner.unscoped,
            partition_by=owner.partition_by,
            allow_split=owner.allow_split,
        )
    )


def _texts(name: str, entries: Mapping[str, Setting], attempt: Any) -> dict[str, str]:
    return {
        entry: setting.value
        if type(setting.value) is str and "{{" not in setting.value
        else attempt(templating.render_text, setting.value, f"/{setting.part}/{name}/{entry}", setting.layer)
        for entry, setting in entries.items()
    }


def _blame(finding: Finding, folded: Fold, pointer: str, layer: Layer) -> Finding:
    """Points a template's finding at the layer that set the guilty value, when one did."""
    where = finding.pointer or pointer
    variable = finding.pointer.removeprefix("/template_vars/")
    if variable != finding.pointer:
        settings = folded.fields.get(f"template_vars.{variable}")
        if settings:
            layer, where = settings[-1].layer, f"/{settings[-1].part}/template_vars/{variable}"
        else:
            where = pointer
    return replace(finding, pointer=where, key=folded.key, rule_id=layer.rule_id)
