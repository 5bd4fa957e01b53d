"""Random edits of rules and of what the servers hold."""

from __future__ import annotations

from typing import Any

from tests.promise.edits import Editor
from tests.promise.fleet import GROUPS, NAMESPACES
from tests.promise.several import SeveralServers


class FleetEditor(Editor):
    """Also moves values from one server to another, says `not_in`, and makes servers overlap."""

    plane: SeveralServers

    def __init__(self, plane: SeveralServers, seed: str) -> None:
        super().__init__(plane, seed)
        self._edits += [(6, self._move_value), (3, self._exclude), (3, self._share), (3, self._select)]

    def _set(self, name: str, selector: dict[str, Any]) -> None:
        self.plane.select(name, selector)
        self.log.append(f"{name} selects {selector}")

    def _server(self) -> str:
        return self.chance.choice(sorted(self.plane.sites))

    def _move_value(self) -> None:
        """What one lists and another does not goes over."""
        sites = self.plane.sites
        lists = [
            (name, namespace, value)
            for name, site in sorted(sites.items())
            for namespace, said in site.selector.items()
            if isinstance(said, list) and len(said) > 1
            for value in said
        ]
        if lists:
            old, namespace, value = self.chance.choice(lists)
            new = self.chance.choice(sorted(name for name in sites if name != old))
            self._set(
                old, {**sites[old].selector, namespace: [v for v in sites[old].selector[namespace] if v != value]}
            )
            said = sites[new].selector.get(namespace)
            if isinstance(said, list) and value not in said:
                self._set(new, {**sites[new].selector, namespace: [*said, value]})

    def _exclude(self) -> None:
        namespace = self.chance.choice(NAMESPACES)
        name = self._server()
        self._set(name, {**self.plane.sites[name].selector, namespace: {"not_in": self._values(namespace, most=2)}})

    def _share(self) -> None:
        """A pair that holds the same."""
        one, other = self.chance.sample(sorted(self.plane.sites), 2)
        self._set(one, dict(self.plane.sites[other].selector))

    def _select(self) -> None:
        """Anything: everything now and then, or two conditions at once."""
        namespaces = self.chance.sample(NAMESPACES, self.chance.choice((0, 1, 1, 1, 2)))
        self._set(self._server(), {namespace: self._values(namespace) for namespace in sorted(namespaces)})

    def _values(self, namespace: str, most: int = 4) -> list[str]:
        values = ["", *GROUPS[namespace]]
        count = self.chance.randrange(1, min(most, len(values)) + 1)
        return sorted({*self.chance.sample(values, count), *([""] if most > 2 and count == 1 else [])})
