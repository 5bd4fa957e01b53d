"""Compiles layers into Prometheus rules over disjoint regions (DESIGN 4).

    layers → diagram (positions → chain of layers) → fold → placement → classes → branches → matchers spliced in

One key is compiled by :func:`compile_key`, which knows nothing of other keys. :func:`compile_policy` compiles all of
them, reuses what an earlier compile found for keys that did not change, and judges what keys do to each other.
A broken key yields findings instead of rules and never stops the others.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from alerts.domain import recordings
from alerts.domain.common import Common
from alerts.domain.compiled import CompiledRule, KeyPlan
from alerts.domain.errors import Finding, PolicyError
from alerts.domain.key_compiler import KeyCompiler, Options
from alerts.domain.layers import KeyId, Layer, Policy, Topology

__all__ = ["CompiledPolicy", "Options", "compile_key", "compile_policy"]


@dataclass(eq=False)
class CompiledPolicy:
    """Every key's plan. ``problems`` says which keys have no rules of their own, and why."""

    topology: Topology
    options: Options
    plans: dict[KeyId, KeyPlan]
    problems: dict[KeyId, tuple[Finding, ...]] = field(default_factory=dict)

    @cached_property
    def rules(self) -> tuple[CompiledRule, ...]:
        """The rules of all healthy keys, in canonical order of keys."""
        return tuple(rule for key_id, plan in self.plans.items() if key_id not in self.problems for rule in plan.rules)


def compile_key(topology: Topology, layers: Iterable[Layer], options: Options, common: Common | None = None) -> KeyPlan:
    """Compiles the layers of one key (in any order). Never raises for a faulty policy: see ``KeyPlan.findings``.

    ``common``: what it may share with other keys.
    """
    strength = topology.strength
    ordered = tuple(sorted(layers, key=lambda layer: (strength(layer), layer.scope), reverse=True))
    return _compile(topology, ordered, options, common or Common())


def _compile(topology: Topology, ordered: tuple[Layer, ...], options: Options, common: Common) -> KeyPlan:
    compiler = KeyCompiler(topology, ordered, options, common)
    try:
        return compiler.compile()
    except PolicyError as refused:
        return compiler.broken(refused.findings)


def compile_policy(policy: Policy, options: Options, previous: CompiledPolicy | None = None) -> CompiledPolicy:
    """Compiles everything. ``previous`` is reused for keys whose layers and topology are the very same objects."""
    reusable: dict[KeyId, KeyPlan] = {}
    if previous is not None and previous.topology is policy.topology and previous.options == options:
        reusable = previous.plans
    plans: dict[KeyId, KeyPlan] = {}
    common = Common()
    with without_garbage_collection():
        for key_id, layers in policy.by_key.items():
            known = reusable.get(key_id)
            if known is None or known.layers != layers:
                known = _compile(policy.topology, layers, options, common)
            plans[key_id] = known
    problems = {key_id: plan.findings for key_id, plan in plans.items() if plan.findings}
    problems.update(recordings.problems(plans))
    return CompiledPolicy(policy.topology, options, plans, problems)


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """What is compiled stays: to look for garbage in it while it grows would take a quarter of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
