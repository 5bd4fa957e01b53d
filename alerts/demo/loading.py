"""Loads ``policy.yaml`` through the same actions as everybody else, as often as one likes.

Every object carries an ``external_id`` of ours and is found again by it; a second load writes only what differs from
the file. Namespaces and groups that exist under their name already are used as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from alerts.actions import groups, namespaces, rules, targets, templates
from alerts.actions.packs import put
from alerts.models import AlertRule, AlertTemplate, Group, Namespace, PolicyRow, Target

POLICY = Path(__file__).with_name("policy.yaml")
RULE_FIELDS = ("name", "key", "config", "enabled")
Addresses = Mapping[str, tuple[str, int]]
"""``prometheus`` and ``web``: where the demo's own processes listen."""


@dataclass
class Loading:
    """One load; ``done`` counts what was created, changed and left alone."""

    addresses: Addresses
    done: dict[str, int] = field(default_factory=lambda: {"created": 0, "changed": 0, "unchanged": 0})
    places: dict[str, dict[str, Any]] = field(default_factory=lambda: {"global": {}})

    def run(self) -> dict[str, int]:
        policy = yaml.safe_load(POLICY.read_text("utf-8"))
        self._groups(policy["groups"])
        self._targets(policy["targets"])
        self._templates(policy["templates"])
        self._rules(policy["rules"])
        return self.done

    def _groups(self, by_namespace: Mapping[str, list[dict[str, Any]]]) -> None:
        for name, wanted in by_namespace.items():
            namespace = Namespace.objects.living().filter(name=name).first() or namespaces.create({"name": name})
            self.places[name] = {"namespace_id": namespace.pk}
            for group in wanted:
                values = {"name": group["name"], "namespace_id": namespace.pk}
                values["description"] = group.get("description", "")
                if "parent" in group:
                    values["parent_id"] = self._group_id(f"{name}/{group['parent']}")
                found = Group.objects.living().filter(namespace=namespace, name=group["name"]).first()
                if found is None:
                    found = groups.create(values)
                    self.done["created"] += 1
                else:
                    self.done["unchanged"] += 1
                self.places[f"{name}/{group['name']}"] = {"group_id": found.pk}

    def _group_id(self, place: str) -> int:
        return int(self.places[place]["group_id"])

    def _targets(self, wanted: list[dict[str, Any]]) -> None:
        for target in wanted:
            values = {**target, "groups": [self._group_id(place) for place in target["groups"]]}
            values["endpoints"] = [self._endpoint(values, endpoint) for endpoint in target["endpoints"]]
            row = self._put(Target, targets, target["hostname"], values)
            self.places[f"target/{target['hostname']}"] = {"target_id": row.pk}

    def _endpoint(self, target: dict[str, Any], endpoint: dict[str, Any]) -> dict[str, Any]:
        if "server" not in endpoint:
            return endpoint
        target["address"], port = self.addresses[endpoint["server"]]
        return {"job": endpoint["job"], "port": port}

    def _templates(self, wanted: list[dict[str, Any]]) -> None:
        for template in wanted:
            values = {name: value for name, value in template.items() if name != "source"}
            values["description"] = f"Source: {template['source']}."
            self._put(AlertTemplate, templates, template["name"], values)

    def _rules(self, wanted: list[dict[str, Any]]) -> None:
        made_from = dict(
            AlertTemplate.objects.living().filter(external_id__startswith="demo:").values_list("name", "pk")
        )
        for rule in wanted:
            values = {name: rule[name] for name in RULE_FIELDS if name in rule} | self.places[rule["at"]]
            once = {"template_id": made_from[rule["template"]]} if "template" in rule else {}
            self._put(AlertRule, rules, f"{rule.get('key') or rule['name']}@{rule['at']}", values, once)

    def _put(
        self,
        model: type[PolicyRow],
        actions: ModuleType,
        name: str,
        values: dict[str, Any],
        once: Mapping[str, Any] | None = None,
    ) -> Any:
        row, what = put(model, actions, f"demo:{name}", values, once)
        self.done[what] += 1
        return row


def load(addresses: Addresses) -> dict[str, int]:
    """Load the demo's policy; what was done, counted."""
    return Loading(addresses).run()
