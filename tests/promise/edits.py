"""Random edits of a policy by API, repeatable by their seed. Some are refused, as they should be."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from alerts.domain.layout import LAYOUTS
from tests.promise.fleet import GROUPS, NAMESPACES
from tests.promise.plane import Plane, Refused
from tests.promise.queries import AGGREGATED, LOCAL, READING, RECORDED, RECORDING, THRESHOLDS, Query

KEYS = ("Alpha", "Beta", "Gamma", "Reading", "Fleet", RECORDED)


class Editor:
    """Writes rules, changes and deletes them, moves targets and groups; ``log`` says what it did."""

    def __init__(self, plane: Plane, seed: str) -> None:
        self.plane = plane
        self.chance = random.Random(seed)
        self.log: list[str] = []
        self.refused = 0
        self._living: dict[int, str] = {}
        self._deleted: dict[int, str] = {}
        self._edits: list[tuple[int, Callable[[], None]]] = [
            (10, self._write),
            (8, self._change),
            (4, self._delete),
            (2, self._restore),
            (2, self._move_target),
            (1, self._rename_target),
            (1, self._move_group),
            (1, self._change_namespace),
            (1, self._change_layout),
            (2, self._change_values),
        ]

    def edit(self, times: int = 1) -> None:
        """That many edits; what is refused changes nothing."""
        edits = [edit for weight, edit in self._edits for _ in range(weight)]
        for _ in range(times):
            try:
                self.chance.choice(edits)()
            except Refused as refused:
                self.refused += 1
                self.log.append(f"refused: {refused}")

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        found = self.plane.call(method, path, body)
        self.log.append(f"{method} {path} {body}")
        return found

    # -- rules ---------------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        key = self.chance.choice(KEYS)
        level, name = self._scope()
        body = {"key": key, **self.plane.scope(level, name), **self._definition(key, level)}
        self._living[self._call("POST", "alert-rules", body)["id"]] = key

    def _change(self) -> None:
        if self._living:
            rule_id = self._pick(self._living)
            shown = self.plane.call("GET", f"alert-rules/{rule_id}")
            fresh = self._definition(self._living[rule_id], "group" if shown["query_template"] is None else "global")
            if shown["query_template"] is None:  # stays without
                for name in ("query_template", "variables", "unscoped", "partition_by", "allow_split"):
                    fresh.pop(name, None)
            if self.chance.random() < 0.5:
                fresh = {name: fresh[name] for name in ("config", "priority", "enabled") if name in fresh}
            self._call("PATCH", f"alert-rules/{rule_id}", fresh)

    def _delete(self) -> None:
        if self._living:
            rule_id = self._pick(self._living)
            self._call("DELETE", f"alert-rules/{rule_id}")
            self._deleted[rule_id] = self._living.pop(rule_id)

    def _restore(self) -> None:
        if self._deleted:
            rule_id = self._pick(self._deleted)
            self._call("POST", "alert-rules/restore", {"ids": [rule_id]})
            self._living[rule_id] = self._deleted.pop(rule_id)

    def _scope(self) -> tuple[str, str]:
        level = self.chance.choice(("global", "global", "namespace", "group", "group", "group", "target"))
        if level == "namespace":
            return level, self.chance.choice(NAMESPACES)
        if level == "group":
            return level, self.chance.choice([value for groups in GROUPS.values() for value in groups])
        if level == "target":
            return level, self.chance.choice(sorted(host for kind, host in self.plane.ids if kind == "target"))
        return level, ""

    def _definition(self, key: str, level: str) -> dict[str, Any]:
        """A rule's fields for this key; without a query now and then, except globally."""
        chance = self.chance
        found: dict[str, Any] = {"config": self._config(key), "priority": chance.choice((100, 100, 100, 100, 50, 200))}
        found["enabled"] = chance.choice((None, None, None, None, True, False))
        if key == RECORDED:
            found |= {"kind": "recording"}
            query = RECORDING
        else:
            found["name"] = chance.choice((None, None, None, f"{key}Renamed"))
            query = chance.choice({"Fleet": AGGREGATED, "Reading": [READING]}.get(key, LOCAL))
        if level == "global" or chance.random() < 0.4:
            found |= self._queried(query)
        else:
            found["config"].pop("template_vars", None)
            if key != RECORDED and chance.random() < 0.6:
                found["config"]["template_vars"] = {"t": chance.choice(THRESHOLDS)}
        return found

    def _queried(self, query: Query) -> dict[str, Any]:
        chance = self.chance
        found: dict[str, Any] = {"query_template": query.template, "unscoped": list(query.unscoped), "variables": []}
        if "{{" in query.template:
            found["variables"] = [{"name": "t", "type": "number", "default": chance.choice(THRESHOLDS)}]
        if query in AGGREGATED:
            found["partition_by"] = chance.choice(([], ["environment"]))
            found["allow_split"] = chance.choice((False, True))
        return found

    def _config(self, key: str) -> dict[str, Any]:
        chance = self.chance
        config: dict[str, Any] = {}
        if chance.random() < 0.3:
            config["labels"] = {"team": chance.choice(("a", "b", None))}
        if key != RECORDED:
            if chance.random() < 0.3:
                config["for_duration"] = chance.choice(("1s", "0s", None))
            if chance.random() < 0.2:
                config["severity"] = chance.choice(("warning", "critical", None))
            if chance.random() < 0.2:
                config["annotations"] = {"summary": chance.choice(("{{ $value }} of {{ $labels.target }}", None))}
            if chance.random() < 0.1:
                config["keep_firing_for"] = "1s"
        if chance.random() < 0.1:
            config["interval"] = "1s"
        return config

    # -- places --------------------------------------------------------------------------------------------------------

    def _move_target(self) -> None:
        position = {namespace: self.chance.choice(("", *groups)) for namespace, groups in GROUPS.items()}
        host = self._host()
        self.plane.move(host, position)
        self.log.append(f"moved {host} to {position}")

    def _rename_target(self) -> None:
        host = self._host()
        name = f"{host}x"
        self.plane.rename(host, name)
        self.log.append(f"renamed {host} to {name}")

    def _host(self) -> str:
        return self.chance.choice(sorted(one.host for one in self.plane.watched.values() if one.known))

    def _move_group(self) -> None:
        value, parent = self.chance.choice((("eu.1", "production"), ("eu.1", "staging"), ("postgres", "web|api")))
        above = self.plane.ids["group", self.chance.choice((parent, parent, "production"))]
        self._call("PATCH", f"groups/{self.plane.ids['group', value]}", {"parent": self.chance.choice((above, None))})

    def _change_namespace(self) -> None:
        name = self.chance.choice(NAMESPACES)
        priority = self.chance.choice((10, 50, 100, 150))
        self._call("PATCH", f"namespaces/{self.plane.ids['namespace', name]}", {"priority": priority})

    def _change_layout(self) -> None:
        layout = self.chance.choice(LAYOUTS)
        self.plane.use_layout(layout)
        self.log.append(f"layout {layout}")

    def _change_values(self) -> None:
        for one in self.plane.watched.values():
            one.number += self.chance.randrange(3)
        self.plane.show()
        self.log.append("other values")

    def _pick(self, rules: dict[int, str]) -> int:
        return self.chance.choice(sorted(rules))
