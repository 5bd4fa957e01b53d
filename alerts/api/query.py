"""Query parameters, as strict as bodies: an unknown, repeated, mistyped or out-of-range one is refused.

A view declares its parameters as a table of ``Parameter``; the same table is what OpenAPI shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from django.http import QueryDict

from alerts.api.problems import ApiProblem, Entry, parameter_entry

MAX_ID = 2**63 - 1
MAX_TEXT = 255


@dataclass(frozen=True)
class Parameter:
    """``many`` may be repeated and gives a list; all others give a value or ``default``."""

    name: str
    kind: Literal["text", "integer", "seconds", "boolean", "choice"] = "text"
    description: str = ""
    choices: tuple[str, ...] = ()
    minimum: int = 1
    maximum: int = MAX_ID
    min_length: int = 1
    max_length: int = MAX_TEXT
    default: Any = None
    many: bool = False
    example: Any = None

    def parse(self, text: str) -> Any:
        """The value; ``ValueError`` with words for a person."""
        if "\0" in text:
            raise ValueError("must not hold a NUL character")
        if self.kind == "integer":
            return self._integer(text)
        if self.kind == "seconds":
            return self._seconds(text)
        if text in ("True", "False") and (self.kind == "boolean" or text.lower() in self.choices):
            text = text.lower()  # as Python's clients write it
        if self.kind == "boolean":
            if text not in ("true", "false"):
                raise ValueError("must be true or false")
            return text == "true"
        if self.kind == "choice" and text not in self.choices:
            raise ValueError(f"must be one of {', '.join(self.choices)}")
        if not self.min_length <= len(text) <= self.max_length:
            raise ValueError(f"has {self.min_length} to {self.max_length} characters")
        return text

    def _integer(self, text: str) -> int:
        is_one = text.isascii() and text.isdigit() and len(text) <= 19
        if not is_one or not self.minimum <= int(text) <= self.maximum:
            raise ValueError(f"must be a whole number from {self.minimum} to {self.maximum}")
        return int(text)

    def _seconds(self, text: str) -> float:
        is_one = re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text, re.ASCII)
        if not is_one or not self.minimum <= float(text) <= self.maximum:
            raise ValueError(f"must be from {self.minimum} to {self.maximum} seconds")
        return float(text)

    @property
    def schema(self) -> dict[str, Any]:
        schemas: dict[str, dict[str, Any]] = {
            "text": {"type": "string", "minLength": self.min_length, "maxLength": self.max_length},
            "integer": {"type": "integer", "format": "int64", "minimum": self.minimum, "maximum": self.maximum},
            "seconds": {"type": "number", "minimum": self.minimum, "maximum": self.maximum},
            "boolean": {"type": "boolean"},
            "choice": {"type": "string", "enum": list(self.choices)},
        }
        schema = schemas[self.kind]
        if self.default is not None:
            schema["default"] = self.default
        return {"type": "array", "items": schema} if self.many else schema


DRY_RUN = Parameter("dry_run", "boolean", "Validate and compile, store nothing.", default=False)


def read(params: QueryDict, parameters: Iterable[Parameter]) -> dict[str, Any]:
    """Every declared parameter by name, defaults filled in; all faults are reported."""
    declared = {parameter.name: parameter for parameter in parameters}
    values: dict[str, Any] = {name: [] if it.many else it.default for name, it in declared.items()}
    faults: list[Entry] = []
    for name, texts in params.lists():
        parameter = declared.get(name)
        if parameter is None:
            faults.append(parameter_entry(name, "unknown_parameter", f"there is no query parameter {name!r} here"))
        elif len(texts) > 1 and not parameter.many:
            faults.append(parameter_entry(name, "repeated_parameter", f"{name!r} is given {len(texts)} times"))
        else:
            try:
                parsed = [parameter.parse(text) for text in texts]
                values[name] = parsed if parameter.many else parsed[0]
            except ValueError as exc:
                faults.append(parameter_entry(name, "invalid_parameter", f"{name!r} {exc}"))
    refuse(faults)
    return values


def refuse(faults: list[Entry]) -> None:
    if faults:
        raise ApiProblem(400, "invalid_parameter", faults[0]["message"], *faults[:100])


def replaced(params: Mapping[str, Any], url: str, **changes: Any) -> str:
    """``url`` with some parameters set, the others as they came."""
    query = QueryDict(mutable=True)
    query.update(params)
    for name, value in changes.items():
        query[name] = str(value)
    return f"{url}?{query.urlencode()}"
